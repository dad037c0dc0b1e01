"""The folders in huggingface/ were written by transformers 5.23.0: small random models, and what they say."""

import json
import shutil
from pathlib import Path

import click
import pytest
import torch
from safetensors.torch import load_file, save_file

from training import encoders

WRITTEN = Path(__file__).parent / "huggingface"


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm", "ctc"])
def test_weights_of_transformers_say_what_they_say_there(name: str) -> None:
    encoder, arguments, rate_hz = encoders.local(WRITTEN / name)
    said = load_file(WRITTEN / name / "said.safetensors")
    encoder.eval()
    with torch.inference_mode():
        torch.testing.assert_close(encoder.extract_features(said["x"])[0][0], said["first"])
        torch.testing.assert_close(encoder(said["x"])[0], said["last"])
    assert ("encoder_num_buckets" in arguments) == (name == "wavlm")
    assert rate_hz == (8000 if name == "hubert" else None)


def test_older_names_of_the_positions_are_understood(tmp_path: Path) -> None:
    folder = shutil.copytree(WRITTEN / "hubert", tmp_path / "hubert")
    state = load_file(folder / "model.safetensors")
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        state = {key.replace(new, old): value for key, value in state.items()}

    save_file(state, folder / "model.safetensors")
    assert any(key.endswith("weight_g") for key in state)
    one, two = (encoders.local(path)[0].state_dict() for path in (folder, WRITTEN / "hubert"))
    assert all(torch.equal(one[key], two[key]) for key in two)


@pytest.mark.parametrize(
    ("key", "value"), [("model_type", "whisper"), ("hidden_act", "relu"), ("conv_pos_batch_norm", True)]
)
def test_models_that_torchaudio_cannot_build_are_refused(tmp_path: Path, key: str, value: object) -> None:
    folder = shutil.copytree(WRITTEN / "hubert", tmp_path / "hubert")
    config = json.loads((folder / "config.json").read_text()) | {key: value}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(click.ClickException, match=f"config.json has `{key}: {value}`, and only .* is possible"):
        encoders.local(folder)


def test_a_configuration_without_a_key_names_it(tmp_path: Path) -> None:
    folder = shutil.copytree(WRITTEN / "hubert", tmp_path / "hubert")
    config = json.loads((folder / "config.json").read_text())
    del config["conv_stride"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(click.ClickException, match=r"can be used .no 'conv_stride'"):
        encoders.local(folder)
