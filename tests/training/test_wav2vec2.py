import json
import urllib.error
from pathlib import Path

import click
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
from torchaudio.pipelines import Wav2Vec2Bundle

from curation import params, tables
from training import augment, clips, mel, wav2vec2

SCRATCH = {"convolutions": [[16, 64, 32], [16, 8, 4]], "width": 16, "heads": 2, "layers": 3, "dropout": 0.1}
SECTION = tones.section("wav2vec2", scratch=SCRATCH, peak_rate=0.01)
SECTION["augment"] |= {"crop_s": 0.5, "speed": 0.05, "snr_db": [20, 40]}
DATA = params.Data(**tones.DATA)
RESOLUTION = mel.Params(window_s=0.032, hop_s=0.02, bands=16, min_hz=0, max_hz=4000)
CONFIG = wav2vec2.config(wav2vec2.Scratch(**SCRATCH))


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


def classifier(**changes: object) -> wav2vec2.Wav2Vec2:
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


@pytest.mark.parametrize(("unfrozen", "learned"), [(0, []), (1, [2]), (2, [1, 2]), (9, [0, 1, 2]), ("all", [0, 1, 2])])
def test_only_unfrozen_layers_and_the_head_change(weights: Path, unfrozen: int | str, learned: list[int]) -> None:
    model = classifier(weights=str(weights), unfrozen_layers=unfrozen).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD((w for w in model.parameters() if w.requires_grad), lr=1.0)
    model(torch.randn(2, 4000))[:, 0].sum().backward()
    optimizer.step()
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    layers = {name.split(".layers.")[1][0] for name in changed if ".layers." in name}
    assert layers == {str(layer) for layer in learned}
    assert any(name.startswith("head") for name in changed)
    assert any("feature_extractor" in name for name in changed) == (unfrozen == "all")


def test_frozen_layers_have_no_dropout(weights: Path) -> None:
    x = torch.randn(2, 4000)
    model = classifier(weights=str(weights), unfrozen_layers=0, dropout=0).train()
    assert torch.equal(model(x), model(x))
    model = classifier(weights=str(weights), unfrozen_layers=1, dropout=0).train()
    assert not torch.equal(model(x), model(x))


def test_weights_from_a_folder_are_used_and_named(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path / "p", monkeypatch, weights=str(weights), unfrozen_layers=0, min_steps=2)
    card = json.loads((folder / "models/model.json").read_text())
    assert (card["weights"], card["encoder"]) == (str(weights), json.loads(json.dumps(CONFIG)))
    assert yaml.safe_load((folder / "live/fold_0/params.yaml").read_text())["weights"] == str(weights)
    model = wav2vec2.load(folder / "models", "fold_0")
    for name, value in wav2vec2.local(weights)[0].state_dict().items():
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
    model = classifier().eval()
    logits = []
    for padding in (0, 1000, 5000):
        x, lengths = wav2vec2.inputs(torch.nn.functional.pad(sound, (0, padding)), torch.tensor([3000]))
        logits.append(model(augment.repeat(x.float(), lengths, 8000)))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_a_bundle_of_torchaudio_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = wav2vec2_model(**CONFIG)
    small = Wav2Vec2Bundle("small.pth", CONFIG, 8000, _normalize_waveform=True, _model_type="Wav2Vec2")
    monkeypatch.setattr("torchaudio.pipelines.WAV2VEC2_BASE", small)
    monkeypatch.setattr(
        "torchaudio.pipelines._wav2vec2.utils.load_state_dict_from_url", lambda url, **_: known.state_dict()
    )
    model = classifier(weights="WAV2VEC2_BASE", unfrozen_layers=1)
    for name, value in known.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)


def test_a_bundle_that_cannot_be_downloaded_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, **_: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchaudio.pipelines._wav2vec2.utils.load_state_dict_from_url", refuse)
    small = Wav2Vec2Bundle("small.pth", CONFIG, 8000, _normalize_waveform=False, _model_type="Wav2Vec2")
    monkeypatch.setattr("torchaudio.pipelines.HUBERT_BASE", small)
    with pytest.raises(
        click.ClickException, match=r"HUBERT_BASE cannot be downloaded .*no network.*folder with weights"
    ):
        wav2vec2.bundle("HUBERT_BASE", rate_hz=8000)


def test_a_bundle_of_another_sample_rate_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"WAV2VEC2_BASE wants `data.rate_hz: 16000`"):
        wav2vec2.bundle("WAV2VEC2_BASE", rate_hz=8000)


def test_weights_that_are_nothing_known_are_refused() -> None:
    with pytest.raises(click.ClickException, match="'wav2vec3': neither `scratch`, nor a folder here, nor a bundle"):
        wav2vec2.bundle("wav2vec3", rate_hz=8000)


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_a_folder_without_its_files_is_named(weights: Path, broken: str) -> None:
    (weights / broken).write_text("{")
    with pytest.raises(click.ClickException, match=r"weights: no Wav2Vec 2.0 weights .*It must hold config.json"):
        wav2vec2.local(weights)
    (weights / broken).unlink()
    with pytest.raises(click.ClickException, match=r"no Wav2Vec 2\.0 weights"):
        wav2vec2.local(weights)


def test_frozen_layers_from_scratch_are_refused() -> None:
    with pytest.raises(ValidationError, match="`unfrozen_layers` must be `all`"):
        wav2vec2.Params(**SECTION | {"unfrozen_layers": 2})


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 does not divide 16"):
        wav2vec2.Scratch(**SCRATCH | {"heads": 3})


def test_the_model_of_params_yaml_is_small() -> None:
    p, resolution = wav2vec2.Params.load("wav2vec2", PARAMS), mel.Params.load("mel", PARAMS)
    model = wav2vec2.build(p, resolution, params.Data.load("data", PARAMS))
    assert 100_000 < sum(weight.numel() for weight in model.parameters()) < 400_000
