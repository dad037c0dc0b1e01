from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from corpus import esc10

from curation import ingest, nuisances, sample, shortcuts, tables
from curation.sample_plan import plan

P = shortcuts.Params(folds=5, shuffles=100, seed=0)
CLIPS = [f"c{number:03}" for number in range(80)]


def corpus(seed: int = 0, **columns: object) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return clips, labels and groups of 80 clips in 40 groups, measures at random, but for `columns`."""
    rng = np.random.default_rng(seed)
    clips = rows.table(tables.CLIPS, *({"clip_id": clip_id} for clip_id in CLIPS))
    for name, column in tables.CLIPS.columns.items():
        if column.kind == "float":
            clips[name] = rng.normal(size=len(clips))
    labels = rows.labelled(tables.LABELS, **dict(zip(CLIPS, label(), strict=True)))
    groups = rows.table(tables.GROUPS, *({"clip_id": one, "group": str(n // 2)} for n, one in enumerate(CLIPS)))
    return clips.assign(**columns), labels, groups


def label() -> list[str]:
    return [("harmful", "safe")[number // 2 % 2] for number in range(80)]


def audit(*corpus: pd.DataFrame) -> pd.DataFrame:
    return shortcuts.shortcuts(*corpus, P)[0]


def test_a_measure_that_tells_the_label_is_named_first_with_its_clips() -> None:
    mostly = ["mp3" if name == "harmful" and number >= 16 else "wav" for number, name in enumerate(label())]
    found = audit(*corpus(codec=mostly))
    assert found.loc[0, "measure"] == "codec"
    assert found.loc[0, "auc"] > 0.85 > found.loc[0, "chance_auc"]
    named = found.set_index("measure").loc["codec", ["where", "label", "clips", "share"]].tolist()
    assert named == ["codec mp3", "harmful", 32, 1.0]


def test_values_that_lie_apart_on_both_sides_are_found() -> None:
    safe_between = [(-1.0) ** (number // 4) if name == "harmful" else 0.0 for number, name in enumerate(label())]
    found = audit(*corpus(dc_offset=safe_between)).set_index("measure")
    assert found.loc["dc_offset", "auc"] > 0.95


def test_luck_is_called_a_shortcut_in_few_of_many_corpora() -> None:
    best = [audit(*corpus(seed)).iloc[0] for seed in range(30)]
    assert sum(first["auc"] > first["chance_auc"] for first in best) <= 5  # 1.5 expected; more in 1 of 200


def test_what_tells_the_group_does_not_tell_the_label() -> None:
    found = audit(*corpus(codec=[f"codec {number // 2}" for number in range(80)]))
    assert found.set_index("measure").loc["codec", "auc"] < 0.6


def test_missing_values_are_a_value() -> None:
    absent = [np.nan if name == "safe" else 1.0 for name in label()]
    found = audit(*corpus(snr_db=absent)).set_index("measure")
    assert found.loc["noise", "auc"] == 1
    assert found.loc["noise", "where"] in {"snr_db unknown", "snr_db 1 to 1"}


def test_clips_without_a_label_say_nothing() -> None:
    clips, labels, groups = corpus()
    codecs = pd.Series(["mp3" if name == "harmful" else "wav" for name in label()])
    labels.loc[labels.index % 2 == 0, "label"] = ""
    found = audit(clips.assign(codec=codecs), labels, groups)
    assert found.loc[0, ["measure", "clips"]].tolist() == ["all", 20]


def share_right(**columns: object) -> float:
    """Return the share of clips whose label all measures together tell."""
    said = shortcuts.shortcuts(*corpus(**columns), P)[1]
    likeliest = said.loc[said.groupby("clip_id")["probability"].idxmax()].set_index("clip_id")["label"]
    return float((likeliest.loc[CLIPS] == label()).mean())


def test_who_hears_only_the_recorder_tells_what_it_gives_away_and_nothing_else() -> None:
    assert share_right(codec=["mp3" if name == "harmful" else "wav" for name in label()]) > 0.95
    assert 0.3 < share_right() < 0.7
    assert 0.3 < share_right(codec=[f"codec {number // 2}" for number in range(80)]) < 0.7  # of the group


@pytest.mark.parametrize("constant", [0.0, np.nan])
def test_a_measure_without_differences_tells_nothing(constant: float) -> None:
    found = audit(*corpus(snr_db=constant)).set_index("measure")
    assert found.loc["noise", "auc"] == 0.5


def test_the_stage_writes_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rows.PARAMS.parent)
    arguments = ["--out", str(tmp_path / "shortcuts.csv"), "--nuisance", str(tmp_path / "nuisance.csv")]
    for kind, table in zip((tables.CLIPS, tables.LABELS, tables.GROUPS), corpus(), strict=True):
        tables.write(table, tmp_path / kind.name, kind)
        arguments += [f"--{Path(kind.name).stem}", str(tmp_path / kind.name)]
    result = CliRunner().invoke(shortcuts.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "tells most, AUC 0." in result.output
    assert set(tables.read(tmp_path / "shortcuts.csv", tables.SHORTCUTS)["measure"]) == {*nuisances.MEASURES, "all"}
    said = tables.read(tmp_path / "nuisance.csv", tables.NUISANCE)
    assert said.groupby("clip_id")["probability"].sum().to_dict() == pytest.approx(dict.fromkeys(CLIPS, 1.0))


def heard(raw: Path, table: Path, root: Path) -> pd.DataFrame:
    """Ingest recordings as stage `ingest` does, and return the audit of the clips by their given labels and groups."""
    arguments = ["--raw", raw, "--table", table, "--clips", root / "clips"]
    arguments += ["--out", root / "clips.csv", "--rejects", root / "rejects.csv"]
    result = CliRunner().invoke(ingest.main, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    clips = tables.read(root / "clips.csv", tables.CLIPS)
    named = [clips[["clip_id", name]].to_dict("records") for name in ("label", "group")]
    labels, groups = (rows.table(kind, *part) for kind, part in zip((tables.LABELS, tables.GROUPS), named, strict=True))
    return shortcuts.shortcuts(clips, labels, groups, shortcuts.Params.load("shortcuts"))[0].set_index("measure")


@pytest.mark.slow
def test_on_real_recordings_it_is_found_that_shorter_ones_were_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ESC-10 has clips of 5 s, shorter sounds filled up with zeros, more of them safe."""
    folder = esc10()
    monkeypatch.chdir(rows.PARAMS.parent)
    listed = pd.read_csv(folder / "clips.csv", dtype=str).rename(columns={"recording": "group"})
    tables.write(listed[list(tables.RAW.columns)], tmp_path / "raw.csv", tables.RAW)
    found = heard(folder / "audio", tmp_path / "raw.csv", tmp_path)
    print(found[["auc", "chance_auc", "where"]])
    for measure in ("padding", "silence"):
        assert found.loc[measure, "auc"] > found.loc[measure, "chance_auc"] + 0.02
        assert 0.6 < found.loc[measure, "auc"] < 0.7
    assert found.loc["padding", "where"].startswith("trailing_silence_s")
    assert found.loc["padding", "label"] == "safe"


@pytest.mark.slow
def test_the_shortcut_planted_in_the_sample_is_named_first_and_well_above_luck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rows.PARAMS.parent)
    sample.make(plan(0), tmp_path / "raw", tmp_path / "raw.csv", tmp_path / "truth.csv")
    found = heard(tmp_path / "raw", tmp_path / "raw.csv", tmp_path).drop(index="all")
    print(found[["auc", "chance_auc", "where"]])
    assert found.index[0] == "bandwidth"
    assert found.loc["bandwidth", "auc"] > found.loc["bandwidth", "chance_auc"] + 0.02
