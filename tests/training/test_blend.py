import json
from pathlib import Path

import click
import pandas as pd
import pytest
import rows
from click.testing import CliRunner

from curation import files, tables
from training import blend as stage
from training.blend import blend


def table(**harmful: float) -> pd.DataFrame:
    """Return predictions from the probability of the first class."""
    pairs = [(clip, label, p) for clip, of in harmful.items() for label, p in (("harmful", of), ("safe", 1 - of))]
    return rows.table(tables.PREDICTIONS, *({"clip_id": c, "label": label, "probability": p} for c, label, p in pairs))


def harmful(found: pd.DataFrame) -> dict[str, float]:
    return found[found["label"] == "harmful"].set_index("clip_id")["probability"].to_dict()


def test_two_equal_models_blend_to_that_model() -> None:
    one = table(a=0.9, b=0.2)
    pd.testing.assert_frame_equal(blend({"x": one, "y": one.iloc[::-1]})[list(one)], one)


def test_who_is_sure_and_right_outweighs_who_is_unsure_and_wrong() -> None:
    found = harmful(blend({"x": table(a=0.95, b=0.6), "y": table(a=0.4, b=0.05)}))
    assert found == pytest.approx({"a": 0.675, "b": 0.325})


def test_models_that_predict_different_clips_are_refused() -> None:
    with pytest.raises(click.ClickException, match="x and y do not predict the same: clip 'b'"):
        blend({"x": table(a=0.9, b=0.2), "y": table(a=0.9)})


def test_the_stage_says_of_which_models_the_blend_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = {"rate_hz": 8000, "clip_s": 1.0, "classes": ["harmful", "safe"], "rounds": ["fold_0"]}
    words = ["--models", "models/blend", "--out", "blend.csv"]
    for name, said in (("one", 0.8), ("two", 0.6)):
        files.write_json(built | {"model": name, "channels": [8]}, Path(f"models/{name}/model.json"))
        tables.write(table(a=said), Path(f"{name}.csv"), tables.PREDICTIONS)
        words += ["--of", f"models/{name}", "--said", f"{name}.csv"]
    result = CliRunner().invoke(stage.main, words, catch_exceptions=False)
    assert result.output == "blend: the mean of one and two\n"
    assert harmful(tables.read(Path("blend.csv"), tables.PREDICTIONS)) == pytest.approx({"a": 0.7})
    said = json.loads(Path("models/blend/model.json").read_text())
    assert said == built | {"model": "blend", "of": ["one", "two"]}
