import json
from pathlib import Path

import numpy as np
import pytest
import tones
import torch
import yaml
from click.testing import CliRunner
from pydantic import ValidationError
from rows import PARAMS
from safetensors.torch import save_file
from torchaudio.models import wav2vec2_model

from curation import params, tables
from training import augment, classifier, clips, encoders, fit, mel, rounds, wav2vec2

SCRATCH = {"convolutions": [[16, 64, 32], [16, 8, 4]], "width": 16, "heads": 2, "layers": 3, "dropout": 0.1}
SECTION = tones.section("wav2vec2", scratch=SCRATCH, peak_rate=0.01)
SECTION["augment"] |= {"crop_s": 0.5, "speed": 0.05, "snr_db": [20, 40]}
DATA = params.Data(**tones.DATA)
RESOLUTION = mel.Params(window_s=0.032, hop_s=0.02, bands=16, min_hz=0, max_hz=4000)
CONFIG = encoders.config(encoders.Scratch(**SCRATCH))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    """Run the stage in a new project and return its folder."""
    tones.write(folder, sections={"wav2vec2": SECTION | changes})
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(wav2vec2.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a folder with a small random encoder."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.manual_seed(7)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(wav2vec2_model(**CONFIG).state_dict(), folder / "model.safetensors")
    return folder


def frozen(weights: Path, **changes: object) -> dict[str, object]:
    """Return the section with weights of which the lower layers hear each clip once."""
    return SECTION | {"weights": str(weights), "unfrozen_layers": 1, "augment": None} | changes


def new(**changes: object) -> wav2vec2.Wav2Vec2:
    return wav2vec2.build(wav2vec2.Params(**SECTION | changes), RESOLUTION, DATA)


def test_from_scratch_it_tells_tones_from_noise_in_clips_it_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tones.write(tmp_path / "p", sections={"wav2vec2": SECTION})
    monkeypatch.chdir(tmp_path / "p")
    result = CliRunner().invoke(wav2vec2.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (tones.predicted(Path("predictions.csv")) == labels).mean() > 0.9


def test_the_same_project_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (run(tmp_path / name, monkeypatch, min_steps=3) for name in ("one", "two"))
    for file in ("predictions.csv", "models/fold_2.safetensors", "models/model.json", "live/fold_0/params.yaml"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


@pytest.mark.parametrize("augment", [SECTION["augment"], None])
def test_weights_from_a_folder_are_used_and_named(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, augment: dict[str, object] | None
) -> None:
    folder = run(tmp_path / "p", monkeypatch, weights=str(weights), unfrozen_layers=0, min_steps=2, augment=augment)
    card = json.loads((folder / "models/model.json").read_text())
    assert (card["weights"], card["encoder"]) == (str(weights), json.loads(json.dumps(CONFIG)))
    assert yaml.safe_load((folder / "live/fold_0/params.yaml").read_text())["weights"] == str(weights)
    model = wav2vec2.load(folder / "models", "fold_0")
    for name, value in encoders.local(weights)[0].state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)


def test_a_model_that_was_loaded_predicts_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(tmp_path / "p", monkeypatch, min_steps=3)
    model = wav2vec2.load(folder / "models", "fold_1")
    written = tables.read(folder / "predictions.csv", tables.PREDICTIONS).pivot_table(
        index="clip_id", columns="label", values="probability"
    )
    held_out = ["clip02", "clip03", "clip08"]
    x, lengths = wav2vec2.inputs(*clips.read(folder / "clips", held_out, DATA))
    with torch.inference_mode():
        again = model(augment.repeat(x.float(), lengths, 8000)).softmax(dim=1)
    np.testing.assert_allclose(again, written.loc[held_out, ["tone", "noise"]], atol=1e-4)


def test_each_clip_is_normalised_over_its_sound_alone() -> None:
    samples = torch.tensor([[100, -300, 500, 0, 0], [1, -3, 5, -7, 9]], dtype=torch.int16)
    x, _ = wav2vec2.inputs(samples, torch.tensor([3, 5]))
    for row, length in zip(x.float(), (3, 5), strict=True):
        torch.testing.assert_close(row[:length].mean(), torch.tensor(0.0), atol=1e-3, rtol=0)
        torch.testing.assert_close(row[:length].std(correction=0), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert x[0, 3:].tolist() == [0, 0]


def test_how_much_padding_follows_the_sound_changes_nothing() -> None:
    sound = torch.from_numpy(np.random.default_rng(0).integers(-999, 999, (1, 3000)).astype(np.int16))
    model = new().eval()
    logits = []
    for padding in (0, 1000, 5000):
        x, lengths = wav2vec2.inputs(torch.nn.functional.pad(sound, (0, padding)), torch.tensor([3000]))
        logits.append(model(augment.repeat(x.float(), lengths, 8000)))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_frozen_layers_from_scratch_are_refused() -> None:
    with pytest.raises(ValidationError, match="`unfrozen_layers` must be `all`"):
        wav2vec2.Params(**SECTION | {"unfrozen_layers": 2})


def test_the_model_of_params_yaml_is_small() -> None:
    p, resolution = wav2vec2.Params.load("wav2vec2", PARAMS), mel.Params.load("mel", PARAMS)
    model = wav2vec2.build(p, resolution, params.Data.load("data", PARAMS))
    assert 100_000 < sum(weight.numel() for weight in model.parameters()) < 400_000


def test_frozen_layers_are_computed_once_and_tell_tones_from_noise(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    lower = classifier.Wav2Vec2.lower
    monkeypatch.setattr(classifier.Wav2Vec2, "lower", lambda self, x: heard.append(len(x)) or lower(self, x))
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)  # a worker would count elsewhere
    labels = tones.write(tmp_path / "p", sections={"wav2vec2": frozen(weights, unfrozen_layers=1)})
    monkeypatch.chdir(tmp_path / "p")
    result = CliRunner().invoke(wav2vec2.main, tones.ARGUMENTS, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert sum(heard) == 1 + len(labels)  # one for the shape
    assert (tones.predicted(Path("predictions.csv")) == labels).mean() > 0.8
    assert not Path(".checkpoints").exists()


@pytest.mark.parametrize("unfrozen", [0, 1, 3])
def test_a_training_from_what_was_kept_is_the_training_from_the_waveforms(
    tmp_path: Path, weights: Path, unfrozen: int
) -> None:
    p = wav2vec2.Params(**frozen(weights, unfrozen_layers=unfrozen, mixup_alpha=0.0, epochs=4, min_steps=1))
    samples = torch.from_numpy(np.random.default_rng(0).integers(-999, 999, (12, 8000)).astype(np.int16))
    samples[::2, 4000:] = 0
    lengths = torch.tensor([4000, 8000] * 6)
    turn = rounds.Round(0, torch.arange(8), torch.arange(8, 10), torch.arange(10, 12))
    targets, ones = torch.eye(2)[torch.arange(12) % 2], torch.ones(12)
    found = []
    for name, (x, n) in {
        "kept": wav2vec2.prepare(samples, lengths, p, lambda: wav2vec2.build(p, RESOLUTION, DATA), tmp_path / "kept"),
        "anew": wav2vec2.inputs(samples, lengths),
    }.items():
        held = clips.Clips(x, n, targets, ones)
        model = fit.fit(
            lambda: wav2vec2.build(p, RESOLUTION, DATA),
            held,
            turn,
            p,
            vary=lambda x, lengths, rng: wav2vec2.vary(x, lengths, rng, p.augment, rate_hz=8000),
            live=tmp_path / name / "live",
            checkpoint=tmp_path / name / "state.pt",
            key="k",
        )
        found.append((fit.predict(model, held, torch.arange(12), p), history(tmp_path / name / "state.pt")))
    (kept, kept_history), (anew, anew_history) = found
    torch.testing.assert_close(kept, anew, atol=2e-3, rtol=0)
    for one, two in zip(kept_history, anew_history, strict=True):
        assert one == pytest.approx(two, abs=2e-3)
    assert kept_history[0]["train_loss"] != pytest.approx(kept_history[-1]["train_loss"], abs=0.01)


def history(path: Path) -> list[dict[str, float]]:
    return torch.load(path, weights_only=True)["state"]["history"]


def test_a_clip_has_no_other_view_without_augment() -> None:
    x = torch.arange(6.0)[None]
    rng = np.random.default_rng(0)
    assert wav2vec2.vary(x, torch.tensor([4]), rng, None, rate_hz=8000).tolist() == [[0, 1, 2, 3, 0, 1]]
    said = torch.randn(2, 5, 3)
    assert torch.equal(wav2vec2.vary(said, torch.tensor([3, 3]), rng, None, rate_hz=8000), said)


STEPS: list[dict[str, object]] = [
    {"speed": 0.2},
    {"tempo": 0.2},
    {"pitch": 0.2},
    {"reverberation_s": [0.1, 0.4]},
    {"snr_db": [10, 20]},
    {"mp3_kbps": [32, 64]},
    {"opus_kbps": [6, 12]},
    {"gain_db": 6.0},
]


def test_each_augmentation_is_tested_here() -> None:
    assert [*wav2vec2.Augment.model_fields] == ["crop_s", *(name for step in STEPS for name in step)]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_each_augmentation_is_off_until_asked_for_and_drawn_by_the_generator(step: dict[str, object]) -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32))
    off = {name: None if isinstance(value, list) else 0 for known in STEPS for name, value in known.items()}
    views = [
        wav2vec2.vary(
            x,
            torch.tensor([8000, 6000]),
            np.random.default_rng(seed),
            wav2vec2.Augment(**{"crop_s": 0.5} | off | given),
            rate_hz=8000,
        )
        for seed, given in ((0, {}), (0, step), (0, step), (1, step))
    ]
    assert all(value in x.flatten() for value in views[0].flatten()[:20])
    assert {(view.shape, view.dtype) for view in views} == {((2, 4000), torch.float32)}
    assert [torch.equal(views[1], view) for view in views] == [False, True, True, False]


@pytest.mark.parametrize("step", [{"mp3_kbps": [8, 64]}, {"opus_kbps": [6, 500]}, {"reverberation_s": [0, 1]}], ids=str)
def test_what_no_encoder_and_no_room_can_do_is_refused(step: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"greater than|less than"):
        wav2vec2.Augment(**SECTION["augment"] | step)


def test_with_augment_frozen_layers_hear_every_view_and_the_way_out_is_said(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, lengths = torch.ones(2, 8000, dtype=torch.int16), torch.tensor([8000, 8000])
    p = wav2vec2.Params(**SECTION | {"weights": str(weights), "unfrozen_layers": 1})
    x, _ = wav2vec2.prepare(samples, lengths, p, lambda: wav2vec2.build(p, RESOLUTION, DATA), tmp_path / "kept")
    assert x.shape == samples.shape
    assert "`augment: null` in params.yaml computes them once" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_the_weights_and_not_only_their_name_determine_the_training(weights: Path) -> None:
    p = wav2vec2.Params(**frozen(weights))
    _, before = wav2vec2.start(p, RESOLUTION, DATA)
    torch.manual_seed(8)
    save_file(wav2vec2_model(**CONFIG).state_dict(), weights / "model.safetensors")
    _, after = wav2vec2.start(p, RESOLUTION, DATA)
    assert before["sha256"] != after["sha256"]
    assert before["encoder"] == after["encoder"]


def test_a_lack_of_memory_gets_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav2vec2, "vary", tones.out_of_memory)
    result = tones.refused(tmp_path, monkeypatch, wav2vec2.main, {"wav2vec2": SECTION})
    assert "Memory ran out with batches of 6 clips of 0.5 s, and 18 clips kept" in result.output
    assert "`augment.crop_s`, set `gradient_checkpointing: true`, or free fewer `unfrozen_layers`;" in result.output


def test_a_batch_is_too_small_to_be_shared_by_so_many() -> None:
    with pytest.raises(ValidationError, match="4 `processes` share a batch: they need `batch_clips` of twice as many"):
        wav2vec2.Params(**SECTION | {"processes": 4})


@pytest.mark.slow
def test_two_processes_that_share_the_batches_give_the_result_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = {"dropout": 0.0, "scratch": SCRATCH | {"dropout": 0.0}, "min_steps": 12, "batch_clips": 7}  # odd batches
    one, two = (run(tmp_path / str(n), monkeypatch, processes=n, **exact) for n in (1, 2))
    for name in ("fold_0", "fold_1", "fold_2"):
        file = f"live/{name}/plots/metrics/train_loss.tsv"
        losses = [np.loadtxt(folder / file, skiprows=1)[:, -1] for folder in (one, two)]
        np.testing.assert_allclose(*losses, atol=1e-4)
        assert abs(losses[0][-1] - losses[0][0]) > 0.1
    predicted = [tables.read(folder / "predictions.csv", tables.PREDICTIONS) for folder in (one, two)]
    np.testing.assert_allclose(*(table["probability"] for table in predicted), atol=1e-3)
    assert not (two / ".checkpoints").exists()
