import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import joblib
import numpy as np
import pytest
import soundfile
import tones
import torch
import yaml
from click.testing import CliRunner
from rows import PARAMS

from curation import params, tables
from training import augment, clips, lite_cnn, mel, recipes, train

SECTION = tones.section("lite_cnn", channels=[8, 16], peak_rate=0.01)
SECTION["augment"] |= {"crop_s": 0.5, "mask_bands": 2, "mask_s": 0.05}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    """Run the stage in a new project and return its folder."""
    tones.write(folder, sections={"lite_cnn": SECTION | changes})
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(lite_cnn.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder


def test_it_tells_tones_from_noise_in_clips_it_has_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = tones.write(tmp_path / "p", sections={"lite_cnn": SECTION})
    monkeypatch.chdir(tmp_path / "p")
    result = CliRunner().invoke(lite_cnn.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = tones.predicted(Path("predictions.csv"))
    assert (found == labels).mean() > 0.9
    assert not Path(".checkpoints").exists()


def test_a_test_fold_is_predicted_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = tones.write(tmp_path / "p", sections={"lite_cnn": SECTION}, clips=24, test=4)
    monkeypatch.chdir(tmp_path / "p")
    result = CliRunner().invoke(lite_cnn.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert tones.predicted(Path("predictions.csv")).to_dict() == labels.iloc[-4:].to_dict()
    assert sorted(path.name for path in Path("models").iterdir()) == ["model.json", "test.safetensors"]


def test_the_same_project_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (run(tmp_path / name, monkeypatch, min_steps=4) for name in ("one", "two"))
    written = [p.relative_to(one) for folder in ("models", "live") for p in (one / folder).rglob("*") if p.is_file()]
    assert len(written) == 3 + 1 + 3 * 3
    for file in [Path("predictions.csv"), *written]:
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_training_goes_on_only_with_the_sound_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []

    def killed(*arguments: object, **_: object) -> None:
        keys.append(arguments[-2])
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_round", killed)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    tones.write(tmp_path, sections={"lite_cnn": SECTION})
    monkeypatch.chdir(tmp_path)
    for sound in (None, None, np.random.default_rng(1).normal(0, 0.1, 8000)):
        if sound is not None:
            soundfile.write("clips/clip00.wav", sound, 8000, subtype="PCM_16")
        CliRunner().invoke(lite_cnn.main, tones.ARGUMENTS)
    assert keys[0] == keys[1] != keys[2]


def test_a_model_that_was_loaded_predicts_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(tmp_path / "p", monkeypatch, min_steps=4)
    model = lite_cnn.load(folder / "models", "fold_1")
    written = tables.read(folder / "predictions.csv", tables.PREDICTIONS).pivot_table(
        index="clip_id", columns="label", values="probability"
    )
    held_out = ["clip02", "clip03", "clip08", "clip09", "clip14", "clip15"]
    samples, lengths = clips.read(folder / "clips", held_out, params.Data(**tones.DATA))
    x, frames = lite_cnn.inputs(samples, lengths, mel.Params.load("mel"), rate_hz=8000)
    with torch.inference_mode():
        again = model(augment.repeat(x, frames, x.shape[-1])).softmax(dim=1)
    np.testing.assert_allclose(again, written.loc[held_out, ["tone", "noise"]], atol=1e-5)


def test_how_much_padding_follows_the_sound_changes_nothing() -> None:
    p = mel.Params(window_s=0.032, hop_s=0.02, bands=16, min_hz=0, max_hz=4000)
    sound = torch.from_numpy(np.random.default_rng(0).integers(-999, 999, (1, 3000)).astype(np.int16))
    model = lite_cnn.LiteCNN(16, [8, 16], 2, dropout=0).eval()
    logits = []
    for padding in (0, 1000, 5000):
        x, frames = lite_cnn.inputs(torch.nn.functional.pad(sound, (0, padding)), torch.tensor([3000]), p, rate_hz=8000)
        logits.append(model(augment.repeat(x, frames, 50)))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_the_clips_at_other_speeds_follow_the_clips_as_they_are() -> None:
    p = mel.Params(window_s=0.032, hop_s=0.02, bands=16, min_hz=0, max_hz=4000)
    samples = torch.from_numpy(np.random.default_rng(0).integers(-999, 999, (70, 4000)).astype(np.int16))
    lengths = torch.randint(1, 4000, (70,), generator=torch.Generator().manual_seed(0))
    x, frames = lite_cnn.inputs(samples, lengths, p, rate_hz=8000, speeds=[0.8, 1.25])
    versions = (samples, lengths), *(augment.at_speed(samples, lengths, speed) for speed in (0.8, 1.25))
    for n, (played, sounds) in enumerate(versions):
        alone, sound_frames = lite_cnn.inputs(played, sounds, p, rate_hz=8000)
        torch.testing.assert_close(x[70 * n : 70 * (n + 1)], alone)
        assert torch.equal(frames[70 * n : 70 * (n + 1)], sound_frames)


RECIPES = [name for name, of in yaml.safe_load(PARAMS.read_text())["recipes"].items() if of["model"] == "lite_cnn"]


@pytest.mark.parametrize("recipe", [None, *RECIPES])
def test_every_model_of_params_yaml_is_light(tmp_path: Path, recipe: str | None) -> None:
    sections = yaml.safe_load(PARAMS.read_text())
    sections["lite_cnn"]["recipe"] = recipe
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    p, resolution = recipes.load(lite_cnn.Params, "lite_cnn", tmp_path / "params.yaml"), mel.Params.load("mel", PARAMS)
    model = lite_cnn.LiteCNN(resolution.bands, p.channels, 2, p.dropout)
    assert sum(weight.numel() for weight in model.parameters()) < 200_000


def test_a_pattern_is_found_where_it_was_put_in_its_quarter_of_the_bands_at_any_level() -> None:
    patterns = lite_cnn.Patterns(2)
    flat = torch.full((1, 64, 40), -50.0)
    put = flat.clone()
    bands, frames = lite_cnn.DILATIONS[0]
    assert (bands, frames) == (1, 1)
    put[0, 20:23, 10:13] += 60 * patterns.shapes[0].view(3, 3)  # the second quarter
    before, after = (patterns.occurrences(x)[0].view(-1, lite_cnn.QUARTERS)[0] for x in (flat, put))
    found = after - before
    assert found.abs().argmax() == 1
    assert found[1] > 0
    assert found[[0, 2, 3]].abs().max() < 1e-6
    torch.testing.assert_close(patterns.occurrences(put - 25), patterns.occurrences(put), atol=1e-4, rtol=0)


def test_occurrences_are_those_of_a_dilated_convolution_of_each_clip() -> None:
    patterns = lite_cnn.Patterns(2)
    x = 20 * torch.randn(3, 32, 25, generator=torch.Generator().manual_seed(0))
    expected = []
    for number, (bands, frames) in enumerate(lite_cnn.DILATIONS):
        own = slice(lite_cnn.KERNELS * number, lite_cnn.KERNELS * (number + 1))
        padded = torch.nn.functional.pad(x[:, None], (frames, frames, bands, bands), mode="replicate")
        kernels = patterns.shapes[own].view(-1, 1, 3, 3)
        responses = torch.nn.functional.conv2d(padded, kernels, dilation=(bands, frames))
        found = ((responses - patterns.thresholds_db[own, :, None]) / lite_cnn.SOFTNESS_DB).sigmoid()
        expected += [found.unflatten(2, (lite_cnn.QUARTERS, -1)).mean(dim=(3, 4)).flatten(1)]
    torch.testing.assert_close(patterns.occurrences(x), torch.cat(expected, dim=1))


def test_where_in_the_bands_a_sound_lies_makes_a_difference_to_the_convolutions() -> None:
    torch.manual_seed(0)
    model = lite_cnn.LiteCNN(64, [8, 8], 2, dropout=0).eval()
    model.patterns.meaning[-1].weight.data.zero_()
    low, high = torch.full((2, 1, 64, 40), -60.0)
    low[:, 10], high[:, 42] = 0, 0  # two steps of the strides apart would look the same to a mean over the bands
    with torch.inference_mode():
        assert (model(low) - model(high)).abs().max() > 0.01


@pytest.mark.parametrize(
    "changes", [{"gain_db": 6.0}, {"tilt_db": 6.0}, {"snr_db": [10, 20]}, {"tempo": 0.2}, {"pitch": 0.2}], ids=str
)
def test_each_augmentation_is_off_until_asked_for_and_drawn_by_the_generator(changes: dict[str, object]) -> None:
    x, lengths = -40 + torch.rand(4, 16, 50), torch.full((4,), 50)
    plain = SECTION["augment"] | {"mask_bands": 0, "mask_s": 0.0}
    resolution = mel.Params(window_s=0.032, hop_s=0.02, bands=16, min_hz=0, max_hz=4000)
    views = [
        lite_cnn.vary(x, lengths, np.random.default_rng(seed), lite_cnn.Augment(**plain | given), resolution=resolution)
        for seed, given in ((0, {}), (0, changes), (0, changes), (1, changes))
    ]
    assert all(view in x.flatten() for view in views[0].flatten()[:20])
    assert [torch.equal(views[1], view) for view in views] == [False, True, True, False]


@pytest.mark.parametrize(("module", "name"), [(lite_cnn, "vary"), (mel, "log_mel"), (clips, "_read")])
def test_a_lack_of_memory_gets_advice_wherever_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    monkeypatch.setattr(module, name, tones.out_of_memory)
    result = tones.refused(tmp_path, monkeypatch, lite_cnn.main, {"lite_cnn": SECTION})
    assert "Memory ran out with batches of 6 clips of 0.5 s, and 18 clips kept, 0.00029 GB as samples" in result.output
    assert (
        "In section `lite_cnn` of params.yaml lower `batch_clips` or `augment.crop_s`, or name fewer `augment.speeds`;"
        in result.output
    )


def test_a_recipe_of_params_yaml_makes_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = yaml.safe_load(PARAMS.read_text())["recipes"]
    tones.write(tmp_path / "p", sections={"lite_cnn": SECTION | {"recipe": "lite_cnn_v1"}, "recipes": known})
    monkeypatch.chdir(tmp_path / "p")
    result = CliRunner().invoke(lite_cnn.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    card = json.loads(Path("models/model.json").read_text())
    assert card["channels"] == known["lite_cnn_v1"]["channels"] != SECTION["channels"]
    blocks = lite_cnn.load(Path("models"), "fold_0").blocks
    assert [block[0].out_channels for block in blocks] == card["channels"]


@pytest.mark.slow
def test_a_stage_killed_again_and_again_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"min_steps": 60, "epochs": 20, "checkpoint_s": 0}
    whole = run(tmp_path / "whole", monkeypatch, **changes)
    killed = tmp_path / "killed"
    tones.write(killed, sections={"lite_cnn": SECTION | changes})
    command = [sys.executable, "-m", "training.lite_cnn", *tones.ARGUMENTS]
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent)}
    kills = 0
    for name in ("fold_0", "fold_0", "fold_1", "fold_2"):
        process = subprocess.Popen(command, cwd=killed, env=environment)
        before = written = killed / ".checkpoints" / f"{name}.pt"
        at_start = written.stat().st_mtime_ns if before.exists() else 0
        while process.poll() is None and (not written.exists() or written.stat().st_mtime_ns == at_start):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 4
    subprocess.run(command, cwd=killed, env=environment, check=True)
    for file in ("predictions.csv", "models/fold_0.safetensors", "live/fold_1/plots/metrics/train_loss.tsv"):
        assert (killed / file).read_bytes() == (whole / file).read_bytes()
    assert not (killed / ".checkpoints").exists()


@pytest.mark.slow
def test_nothing_of_a_killed_stage_goes_on_training(tmp_path: Path) -> None:
    tones.write(tmp_path / "p", sections={"lite_cnn": SECTION | {"epochs": 100_000, "checkpoint_s": 0}})
    command = [sys.executable, "-m", "training.lite_cnn", *tones.ARGUMENTS]
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent)}
    process = subprocess.Popen(command, cwd=tmp_path / "p", env=environment, start_new_session=True)
    saves = tmp_path / "p/.checkpoints"
    try:
        while not (saves / "fold_0.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        time.sleep(2 * train.WATCH_S)
        states = []
        for _ in range(2):
            states.append({path: path.stat().st_mtime_ns for path in saves.iterdir()})
            time.sleep(2)  # epochs of a few clips, each of them saved
        assert states[0] == states[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
