import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import rows
import tones
import torch
import yaml
from click.testing import CliRunner
from scipy import signal
from torch import Tensor, nn

from curation import params, tables, vectors
from curation.audio import FULL_SCALE, Samples
from training import lite_cnn, shift, svm
from training.degrade import CLEAN, Condition
from training.live import Live
from training.metrics import Outcome, overall

RATE_HZ = 16000
DATA = params.Data(classes=("harmful", "safe"), clip_s=1.5, rate_hz=RATE_HZ)
CONDITIONS = shift.conditions(shift.Params.load("shift", rows.PARAMS))  # the project's own


class Heard(nn.Module):
    """Says `harmful` of what a measure of the waveforms is above 0 for."""

    def __init__(self, measure: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.measure = measure

    def forward(self, x: Tensor) -> Tensor:
        found = self.measure(x)
        return torch.stack([found, -found], dim=1)


def louder_than_24_db_below_full_scale(x: Tensor) -> Tensor:
    return 10 * x.square().mean(dim=1).log10() + 24


def lower_than_1_khz(x: Tensor) -> Tensor:
    power = torch.fft.rfft(x).abs().square()
    edge = round(1000 * x.shape[1] / RATE_HZ)
    return power[:, :edge].sum(dim=1) / power.sum(dim=1) - 0.5


class Plain(Live):
    """A model that reads the samples as they are."""

    def inputs(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return samples / FULL_SCALE, lengths


def live(rounds: dict[int, nn.Module]) -> Live:
    return Plain("m", DATA, {}, {}, rounds, None)


def everywhere(measure: Callable[[Tensor], Tensor]) -> Live:
    return live({fold: Heard(measure) for fold in range(3)})


def clips(count: int = 24) -> tuple[list[Samples], pd.DataFrame]:
    """Return sounds, the harmful ones loud and low, the safe ones soft and high, so that either tells the label."""
    rng = np.random.default_rng(0)
    bands = {"harmful": ([100, 800], -17), "safe": ([1500, 3500], -31)}
    labels = [DATA.classes[n % 2] for n in range(count)]
    sounds = []
    for number, label in enumerate(labels):
        band, level_db = bands[label]
        filtered = signal.sosfilt(
            signal.butter(6, band, "bandpass", fs=RATE_HZ, output="sos"), rng.standard_normal(18000 + 200 * number)
        )
        sounds.append((filtered * 10 ** (level_db / 20) / filtered.std()).astype(np.float32))
    table = pd.DataFrame({"clip_id": [f"clip{n:02}" for n in range(count)], "label": labels})
    return sounds, table.assign(fold=np.arange(count) // 2 % 3, group=[f"group{n // 4}" for n in range(count)])


def accuracies(said: shift.Outcomes) -> dict[Condition, float]:
    once = np.ones((1, 24))
    return {condition: float(overall(outcome, once)["balanced_accuracy",][0]) for condition, outcome in said.items()}


def test_a_model_that_keys_on_loudness_drops_on_the_gain_axis_only() -> None:
    """Both models are right about every clip as it is: only the changed clips tell what each has learnt."""
    sounds, table = clips()
    models = {"level": everywhere(louder_than_24_db_below_full_scale), "spectrum": everywhere(lower_than_1_khz)}
    said = shift.shift(models, sounds, table, CONDITIONS, seed=0)
    expected = dict.fromkeys(CONDITIONS, 1.0)
    assert accuracies(said["spectrum"]) == expected
    assert accuracies(said["level"]) == expected | {("gain_db", -12): 0.5, ("gain_db", 12): 0.5}


def test_the_project_s_axes_are_all_tried_and_the_clean_clips_too() -> None:
    assert CONDITIONS[0] == CLEAN
    assert [severity for axis, severity in CONDITIONS if axis == "snr_db"] == [20, 10, 0]
    assert len({axis for axis, _ in CONDITIONS}) == 8


def test_a_clip_is_judged_by_the_round_that_held_it_out() -> None:
    sounds, table = clips()
    constants = {0: 0.9, 1: 0.5, 2: 0.1}
    model = live(
        {
            fold: Heard(lambda x, p=p: torch.full((len(x),), p).logit().div(2))  # the other class gets it too, negated
            for fold, p in constants.items()
        }
    )
    said = shift.predict(model, sounds, table["fold"].to_numpy())
    np.testing.assert_allclose(said[:, 0], table["fold"].map(constants), atol=1e-6)
    np.testing.assert_allclose(said.sum(axis=1), 1)


def test_more_clips_than_a_batch_keep_their_order() -> None:
    sounds, _ = clips()
    model = live({0: Heard(louder_than_24_db_below_full_scale)})
    many = [*sounds, *sounds]
    said = shift.predict(model, many, np.zeros(48, np.int64))
    np.testing.assert_allclose(said[:24], said[24:], atol=1e-6)
    assert (said[:, 0] > 0.5).tolist() == [True, False] * 24


def test_the_draws_of_a_clip_do_not_depend_on_other_clips_and_change_with_the_seed() -> None:
    sounds, table = clips()
    models = {"m": everywhere(lower_than_1_khz)}
    noisy: list[Condition] = [("snr_db", 0)]
    whole, part, other = (
        shift.shift(models, sounds[start:], table[start:], noisy, seed=seed)["m"]["snr_db", 0].probabilities
        for start, seed in ((0, 0), (8, 0), (8, 1))
    )
    np.testing.assert_allclose(whole[8:], part, atol=1e-6)
    assert np.abs(part - other).max() > 1e-4


def test_judged_are_the_labelled_clips_of_the_folds_that_were_held_out() -> None:
    labels = rows.labelled(tables.LABELS, a="harmful", b="safe", c="", d="safe")
    folds = rows.table(tables.FOLDS, *({"clip_id": c, "fold": f} for c, f in zip("abcd", (-1, -1, -1, 0), strict=True)))
    groups = rows.table(tables.GROUPS, *({"clip_id": c, "group": c * 2} for c in "abcd"))
    found = shift.judged(labels, folds, groups, live({-1: nn.Identity()}))
    assert found.to_dict("list") == {
        "clip_id": ["a", "b"], "label": ["harmful", "safe"], "fold": [-1, -1], "group": ["aa", "bb"],
    }  # fmt: skip
    with pytest.raises(click.ClickException, match="Of the 1 labelled clips to judge the models by none is 'harmful'"):
        shift.judged(labels, folds, groups, live({0: nn.Identity()}))


def test_of_a_large_set_as_many_of_each_class_are_drawn_from_as_many_groups_as_possible() -> None:
    many = pd.DataFrame(
        {
            "clip_id": [f"{n:03}" for n in range(400)],
            "label": ["harmful"] * 300 + ["safe"] * 100,
            "group": [f"g{min(n, 30) if n < 300 else n}" for n in range(400)],
        }
    )
    found = shift.drawn(many, 80, seed=0)
    assert found["label"].value_counts().to_dict() == {"harmful": 40, "safe": 40}
    assert found.loc[found["label"] == "harmful", "group"].nunique() == 31
    assert found["clip_id"].is_monotonic_increasing
    pd.testing.assert_frame_equal(shift.drawn(many, 80, seed=0), found)
    assert shift.drawn(many, 80, seed=1)["clip_id"].tolist() != found["clip_id"].tolist()
    assert shift.drawn(many, 400, seed=0) is many


def test_a_source_is_a_top_folder_or_a_given_group() -> None:
    known = {"a": ("site-1/x/1.wav", "ann"), "b": ("site-1/2.wav", "bob"), "c": ("3.wav", "3.wav")}
    listed = rows.table(tables.CLIPS, *({"clip_id": c, "file": f, "group": g} for c, (f, g) in known.items()))
    found = shift.sources(listed, pd.Series(["b", "c", "a"], name="clip_id"))
    assert sorted(zip(found["source"], found["place"], strict=True)) == [
        ("3.wav", 1), ("ann", 2), ("bob", 0), ("site-1/", 0), ("site-1/", 2),
    ]  # fmt: skip


FILES = {
    "--clips": "clips.csv",
    "--audio": "clips",
    "--labels": "labels.csv",
    "--folds": "folds.csv",
    "--groups": "groups.csv",
    "--train": "train.csv",
    "--features": "features",
    "--models": "all_models",
    "--predictions": "predictions",
    "--out": "shifts.csv",
    "--metrics": "shifts.json",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a trained LiteCNN and trained support vector machines, in two sites."""
    root = tmp_path_factory.mktemp("project") / "p"
    severities = {"mp3_kbps": [64], "snr_db": [10, 0], "resamples": 100}
    labels = tones.write(
        root,
        sections={
            "lite_cnn": tones.section("lite_cnn", channels=[8]),
            "shift": yaml.safe_load(rows.PARAMS.read_text())["shift"] | severities,
            **{name: yaml.safe_load(rows.PARAMS.read_text())[name] for name in ("features", "svm")},
        },
    )
    for name, kind, columns in (
        ("labels", tables.LABELS, lambda n: {"label": labels.iloc[n]}),
        ("groups", tables.GROUPS, lambda n: {"group": f"group{n}"}),
        ("clips", tables.CLIPS, lambda n: {"file": f"site-{n % 4 // 2}/{n}.wav", "group": f"{n}.wav"}),
    ):
        listed = rows.table(kind, *({"clip_id": clip_id} | columns(n) for n, clip_id in enumerate(labels.index)))
        tables.write(listed, root / f"{name}.csv", kind)
    moved = {"--models": "all_models/lite_cnn", "--out": "predictions/lite_cnn.csv"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("joblib.cpu_count", lambda: 1)
        words = [word for pair in (tones.OPTIONS | moved).items() for word in pair]
        assert CliRunner().invoke(lite_cnn.main, words, catch_exceptions=False).exit_code == 0
        points = np.random.default_rng(0).normal(size=(len(labels), 4)) + 2 * (labels == "tone").to_numpy()[:, None]
        vectors.write(vectors.Vectors(tuple(labels.index), {"one": points.astype(np.float32)}), Path("features"))
        options = {name: tones.OPTIONS[name] for name in ("--train", "--folds")} | {
            "--features": "features",
            "--models": "all_models/svm",
            "--out": "predictions/svm.csv",
        }
        words = [word for pair in options.items() for word in pair]
        assert CliRunner().invoke(svm.main, words, catch_exceptions=False).exit_code == 0
    return root


def run(**changed: str) -> click.testing.Result:
    words = [word for pair in (FILES | {f"--{name}": path for name, path in changed.items()}).items() for word in pair]
    return CliRunner().invoke(shift.main, words, catch_exceptions=False)


def test_the_stage_writes_the_same_bytes_twice_and_the_clean_clips_are_as_training_predicted_them(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    assert run().output == "shift: 18 clips under 12 conditions, models lite_cnn, svm\n"
    written = [Path(name).read_bytes() for name in ("shifts.csv", "shifts.json")]
    run()
    assert [Path(name).read_bytes() for name in ("shifts.csv", "shifts.json")] == written

    both = tables.read(Path("shifts.csv"), tables.SHIFTS).set_index("axis")
    table = both[both["model"] == "lite_cnn"]
    wide = tables.read(Path("predictions/lite_cnn.csv"), tables.PREDICTIONS).pivot_table(
        index="clip_id", columns="label", values="probability"
    )
    truth = np.arange(18) % 2
    once = overall(Outcome(truth, wide[["tone", "noise"]].to_numpy()), np.ones((1, 18)))
    assert table.loc["clean", "balanced_accuracy"] == pytest.approx(once["balanced_accuracy",][0], abs=1e-5)
    assert table.loc["clean", "roc_auc"] == pytest.approx(once["roc_auc",][0], abs=1e-5)
    assert table.loc[["source"], "source"].tolist() == ["site-0/"]  # the other one has four clips of each class
    summary = json.loads(written[1])["lite_cnn"]
    changed = table.drop(["clean", "source"])["balanced_accuracy"]
    assert (summary["clips"], summary["worst"]["value"]) == (18, pytest.approx(changed.min(), abs=1e-5))

    (new,) = both[both["model"] == "svm"].reset_index().to_dict("records")
    assert (new["axis"], new["source"], new["clips"]) == ("new_source", "site-0/", 10)
    known = tables.read(Path("predictions/svm.csv"), tables.PREDICTIONS).pivot_table(
        index="clip_id", columns="label", values="probability"
    )
    here = [n for n in range(18) if n % 4 < 2]
    once = overall(Outcome(truth[here], known[["tone", "noise"]].to_numpy()[here]), np.ones((1, 10)))
    assert new["balanced_accuracy"] - new["change"] == pytest.approx(once["balanced_accuracy",][0], abs=1e-5)
    summary = json.loads(written[1])["svm"]
    assert set(summary) == {"new_source"}
    assert summary["new_source"]["change"] == pytest.approx(new["change"], abs=1e-5)


def test_where_clips_or_models_are_missing_one_line_says_so(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    Path("none").mkdir(exist_ok=True)
    assert run(models="none").output == "Error: none holds no trained models. `dvc repro train` makes them.\n"
    predictions = tables.read(Path("predictions/lite_cnn.csv"), tables.PREDICTIONS)
    tables.write(predictions[predictions["clip_id"] != "clip03"], Path("none/lite_cnn.csv"), tables.PREDICTIONS)
    assert "has not predicted 1 of the 18 clips to judge it by, such as clip03" in run(predictions="none").output
