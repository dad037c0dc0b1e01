from pathlib import Path

import click
import numpy as np
import pytest
import served
import tones
from click.testing import CliRunner
from served import HEARD, KNOWN, NEW

from curation import tables
from training import lite_cnn, live, wav2vec2

ROUNDS = {"fold_0": 0.9, "fold_1": 0.5, "fold_2": 0.1}


def load(root: Path) -> live.Live:
    return live.load(root / "models/lite_cnn", root / "data/predictions/lite_cnn.csv", root / "data/folds.csv")


def says(root: Path, clip_id: str) -> float:
    """Return the probability of the first class."""
    found = live.probabilities(load(root), clip_id, root / "data/clips")
    assert sum(found.values()) == pytest.approx(1)
    return found["harmful"]


def test_a_clip_that_training_predicted_keeps_that_prediction(tmp_path: Path) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    (tmp_path / f"data/clips/{KNOWN}.wav").unlink()
    assert says(tmp_path, KNOWN) == 0.8


def test_of_a_clip_without_a_fold_all_rounds_speak_together(tmp_path: Path) -> None:
    served.write(tmp_path, rounds={"fold_0": 0.9, "fold_1": 0.6, "fold_2": 0.3}, folds={KNOWN: 0})
    assert says(tmp_path, NEW) == pytest.approx(0.6)


@pytest.mark.parametrize(("fold", "probability"), [(0, 0.9), (1, 0.5), (2, 0.1)])
def test_of_a_new_clip_the_round_speaks_that_has_not_heard_its_group(
    tmp_path: Path, fold: int, probability: float
) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0, NEW: fold})
    assert says(tmp_path, NEW) == pytest.approx(probability)


def test_of_a_clip_that_the_only_round_may_have_learnt_nobody_speaks(tmp_path: Path) -> None:
    served.write(tmp_path, rounds={"test": 0.7}, folds={KNOWN: -1, NEW: -1, HEARD: 2})
    assert says(tmp_path, NEW) == pytest.approx(0.7)
    with pytest.raises(click.ClickException, match=f"may have learnt from clip {HEARD}"):
        says(tmp_path, HEARD)


@pytest.mark.parametrize(
    ("module", "section"),
    [
        (lite_cnn, tones.section("lite_cnn", channels=[8], min_steps=4)),
        (
            wav2vec2,
            tones.section(
                "wav2vec2",
                min_steps=4,
                scratch={"convolutions": [[16, 64, 32]], "width": 16, "heads": 2, "layers": 1, "dropout": 0.1},
            ),
        ),
    ],
    ids=["lite_cnn", "wav2vec2"],
)
def test_it_says_of_a_held_out_clip_what_training_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module, section
) -> None:
    """The predictions of a trained model, taken away one by one, come back from the weights."""
    tones.write(tmp_path / "p", sections={module.__name__.rpartition(".")[2]: section})
    monkeypatch.chdir(tmp_path / "p")
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    assert CliRunner().invoke(module.main, tones.ARGUMENTS, catch_exceptions=False).exit_code == 0
    predictions = tables.read(Path("predictions.csv"), tables.PREDICTIONS)
    asked = ["clip00", "clip03", "clip17"]
    tables.write(predictions[~predictions["clip_id"].isin(asked)], Path("fewer.csv"), tables.PREDICTIONS)
    model = live.load(Path("models"), Path("fewer.csv"), Path("folds.csv"))
    written = predictions.pivot_table(index="clip_id", columns="label", values="probability")
    for clip_id in asked:
        found = live.probabilities(model, clip_id, Path("clips"))
        np.testing.assert_allclose(list(found.values()), written.loc[clip_id, list(found)], atol=1e-5)


def test_the_version_is_that_of_the_weights(tmp_path: Path) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    version = load(tmp_path).version
    assert version.startswith("lite_cnn-")
    served.write_model(tmp_path / "models/lite_cnn", ROUNDS)
    assert load(tmp_path).version == version
    served.write_model(tmp_path / "models/lite_cnn", ROUNDS | {"fold_2": 0.11})
    versions = {version, load(tmp_path).version}
    path = tmp_path / "data/predictions/lite_cnn.csv"
    path.write_text(path.read_text().replace("0.8", "0.7").replace("0.2", "0.3"))
    assert len(versions | {load(tmp_path).version}) == 3


def latest(root: Path) -> live.Latest:
    files = ("models/lite_cnn", "data/predictions/lite_cnn.csv", "data/folds.csv", "reports/metrics.json")
    return live.Latest(*(root / file for file in files))


def test_a_model_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    current = latest(tmp_path)
    first = current()
    assert current() is first
    served.write_model(tmp_path / "models/lite_cnn", ROUNDS | {"fold_0": 0.2})
    assert current().version != first.version


def test_a_temperature_that_evaluate_has_written_is_read_at_once_and_is_another_version(tmp_path: Path) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    current = latest(tmp_path)
    seen = [current()]
    (tmp_path / "reports").mkdir()
    for text in ('{"lite_cnn": {"temperature": 2.0}}', '{"lite_cnn": {"clips": 1}, "wav2vec2": {"temperature": 3.0}}'):
        (tmp_path / "reports/metrics.json").write_text(text)
        seen.append(current())
    assert [found.temperature for found in seen] == [1.0, 2.0, 1.0]
    assert seen[0].version == seen[2].version != seen[1].version


def test_while_a_model_is_away_it_is_refused_and_then_it_is_back(tmp_path: Path) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    current = latest(tmp_path)
    version = current().version
    away = (tmp_path / "models").rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(click.ClickException, match=r"model.json does not exist. `dvc repro train` makes it"):
            current()
    away.rename(tmp_path / "models")
    assert current().version == version


def test_a_model_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    read = live.load

    def overtaken(*paths: Path) -> live.Live:
        found = read(*paths)
        served.write_model(tmp_path / "models/lite_cnn", ROUNDS | {"fold_2": 0.2})
        return found

    monkeypatch.setattr(live, "load", overtaken)
    with pytest.raises(click.ClickException, match="is being written"):
        latest(tmp_path)()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("models/lite_cnn/fold_1.safetensors", b"no weights"),
        ("models/lite_cnn/model.json", b"{"),
        ("models/lite_cnn/model.json", b"[]"),
        ("models/lite_cnn/model.json", b'{"classes": ["harmful", "safe"], "rate_hz": 8000, "clip_s": 1}'),
        ("data/predictions/lite_cnn.csv", b"clip_id,label,probability\naaaaaaaaaaaaaaaa,dog,1\n"),
    ],
)
def test_a_damaged_model_is_a_refusal_in_words(tmp_path: Path, file: str, content: bytes) -> None:
    served.write(tmp_path, rounds=ROUNDS, folds={KNOWN: 0})
    (tmp_path / file).write_bytes(content)
    with pytest.raises(click.ClickException, match=r"`dvc repro train` makes it, `dvc pull` fetches it"):
        load(tmp_path)
