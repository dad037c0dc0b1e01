import hashlib
import json
import pickle
import urllib.error
from pathlib import Path

import click
import pytest
import torch
import torchaudio
from pydantic import ValidationError
from safetensors.torch import save_file
from torchaudio.models import wav2vec2_model
from torchaudio.pipelines import Wav2Vec2Bundle

from training import encoders

SIZE = {"convolutions": [[16, 64, 32], [16, 8, 4]], "width": 16, "heads": 2, "layers": 3, "dropout": 0.1}
CONFIG = encoders.config(encoders.Scratch(**SIZE))
WAVLM = CONFIG | {"encoder_num_buckets": 8, "encoder_max_distance": 20, "encoder_layer_norm_first": False}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a folder with a small random encoder."""
    return write(tmp_path / "weights")


def write(folder: Path, config: encoders.Config = CONFIG, **more: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | more))
    save_file(encoders.empty(config).state_dict(), folder / "model.safetensors")
    return folder


def stub(
    monkeypatch: pytest.MonkeyPatch, name: str, state: dict[str, torch.Tensor], path: Path, kind: str = "Wav2Vec2"
) -> None:
    """Make `name` a small bundle, its file where torch keeps what it has downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(path))
    (path / "hub/checkpoints").mkdir(parents=True)
    torch.save(state, path / "hub/checkpoints/small.pth")
    config = WAVLM if kind == "WavLM" else CONFIG
    made = Wav2Vec2Bundle("small.pth", config, 8000, _normalize_waveform=True, _model_type=kind)
    monkeypatch.setattr(f"torchaudio.pipelines.{name}", made)


@pytest.mark.parametrize(("name", "kind"), [("WAV2VEC2_BASE", "Wav2Vec2"), ("WAVLM_BASE", "WavLM")])
def test_a_bundle_of_torchaudio_is_loaded_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    known = encoders.empty(WAVLM if kind == "WavLM" else CONFIG)
    stub(monkeypatch, name, known.state_dict(), tmp_path, kind)
    encoder, arguments = encoders.pretrained(name, rate_hz=8000)
    for key, value in known.state_dict().items():
        assert torch.equal(encoder.state_dict()[key], value)
    encoders.fill(encoders.empty(arguments), encoder.state_dict())


@pytest.mark.parametrize("name", ["WAV2VEC2_BASE", "WAV2VEC2_XLSR53", "HUBERT_BASE", "WAVLM_BASE"])
def test_the_bundles_are_there_and_their_arguments_build_an_encoder(name: str) -> None:
    with torch.device("meta"):
        encoder = encoders.empty(getattr(torchaudio.pipelines, name)._params)
    assert len(encoder.encoder.transformer.layers) in (12, 24)


def test_a_bundle_with_code_in_it_runs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    stub(monkeypatch, "WAV2VEC2_BASE", {}, tmp_path)
    torch.save({"weight": Evil()}, tmp_path / "hub/checkpoints/small.pth", pickle_module=pickle)
    with pytest.raises(click.ClickException, match="what was downloaded is broken"):
        encoders.bundle("WAV2VEC2_BASE")
    assert not (tmp_path / "ran").exists()


def test_a_download_that_broke_off_names_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, "WAV2VEC2_BASE", wav2vec2_model(**CONFIG).state_dict(), tmp_path)
    file = tmp_path / "hub/checkpoints/small.pth"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(click.ClickException, match=r"is broken .*delete a broken file in .*/hub/checkpoints"):
        encoders.bundle("WAV2VEC2_BASE")


def test_a_bundle_that_cannot_be_downloaded_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, **_: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchaudio.pipelines._wav2vec2.utils.load_state_dict_from_url", refuse)
    with pytest.raises(click.ClickException, match=r"HUBERT_BASE cannot be .*no network.*folder with weights"):
        encoders.bundle("HUBERT_BASE")


@pytest.mark.parametrize("name", ["wav2vec3", "Wav2Vec2Bundle", "__file__"])
def test_weights_that_are_nothing_known_are_refused(name: str) -> None:
    with pytest.raises(click.ClickException, match=f"'{name}' is neither a folder here nor a bundle"):
        encoders.pretrained(name, rate_hz=8000)


def test_a_folder_is_read_with_its_sample_rate(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", WAVLM, sample_rate=16000)
    encoder, arguments, rate_hz = encoders.local(folder)
    assert (arguments, rate_hz) == (json.loads(json.dumps(WAVLM)), 16000)
    assert encoder.encoder.transformer.layers[0].attention.rel_attn_embed.weight.shape == (8, 2)
    with pytest.raises(click.ClickException, match=r"w wants `data.rate_hz: 16000` in params.yaml, not 8000"):
        encoders.pretrained(str(folder), rate_hz=8000)
    encoder, arguments = encoders.pretrained(str(folder), rate_hz=16000)
    assert {layer.attention.dropout for layer in encoder.encoder.transformer.layers} == {0.0}
    assert arguments["encoder_attention_dropout"] == 0.0


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_folder_without_its_files_is_named(weights: Path, broken: str, content: str) -> None:
    (weights / broken).write_text(content)
    with pytest.raises(click.ClickException, match=r"weights: no Wav2Vec 2.0 weights .*It must hold config.json"):
        encoders.local(weights)
    (weights / broken).unlink()
    with pytest.raises(click.ClickException, match=r"no Wav2Vec 2\.0 weights"):
        encoders.local(weights)


def test_a_truncated_file_is_refused_with_and_without_its_digest(weights: Path) -> None:
    file = weights / "model.safetensors"
    whole = file.read_bytes()
    (weights / "model.safetensors.sha256").write_text(f"{hashlib.sha256(whole).hexdigest()}  model.safetensors\n")
    encoders.local(weights)
    file.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(click.ClickException, match=r"truncated or changed: its SHA-256 is .* delete the folder"):
        encoders.local(weights)
    (weights / "model.safetensors.sha256").unlink()
    encoders.local(weights)
    file.write_bytes(whole[:-4])
    with pytest.raises(click.ClickException, match=r"no Wav2Vec 2\.0 weights"):
        encoders.local(weights)


def test_weights_of_another_architecture_say_what_differs(weights: Path) -> None:
    other = encoders.empty(CONFIG | {"encoder_num_layers": 4, "encoder_ff_interm_features": 48}).state_dict()
    save_file(other, weights / "model.safetensors")
    with pytest.raises(
        click.ClickException, match=r"16 are too many, first encoder.*layers\.3\..*; 9 are of another shape, first "
    ):
        encoders.local(weights)
    save_file({"a": torch.zeros(1)}, weights / "model.safetensors")
    with pytest.raises(click.ClickException, match=r"are missing, first encoder\..*; 1 are too many, first a"):
        encoders.local(weights)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 does not divide 16"):
        encoders.Scratch(**SIZE | {"heads": 3})
