"""Encoders of the Wav2Vec 2.0 family: from scratch, from a bundle of torchaudio, or from a folder of weights."""

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import click
import safetensors.torch
import torch
import torchaudio
from pydantic import Field, model_validator
from safetensors import SafetensorError
from torch import Tensor
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model

from curation import params
from training import huggingface, mel

Config: TypeAlias = dict[str, Any]  # arguments of torchaudio.models.wav2vec2_model, or of wavlm_model
SCRATCH = "scratch"
CONFIG, WEIGHTS, DIGEST = "config.json", "model.safetensors", "model.safetensors.sha256"
RATE = "sample_rate"  # a key of config.json that is no argument


class Scratch(params.Section):
    """Key `scratch`: the size of a model without pretrained weights."""

    convolutions: tuple[tuple[int, int, int], ...] = Field(min_length=1)  # channels, kernel and stride in samples
    width: int = Field(ge=8)  # of the transformer
    heads: int = Field(ge=1)  # of each attention; divides the width
    layers: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"`heads` must divide `width`, and {self.heads} does not divide {self.width}")
        return self


def config(p: Scratch) -> Config:
    """Return the arguments of `wav2vec2_model` for a model from scratch.

    It normalises over channels. Over time, as WAV2VEC2_BASE does, would take the spectrum out of a steady sound.
    """
    return {
        "extractor_mode": "layer_norm",
        "extractor_conv_layer_config": [list(convolution) for convolution in p.convolutions],
        "extractor_conv_bias": False,
        "encoder_embed_dim": p.width,
        "encoder_projection_dropout": p.dropout,
        "encoder_pos_conv_kernel": 16,
        "encoder_pos_conv_groups": p.heads,
        "encoder_num_layers": p.layers,
        "encoder_num_heads": p.heads,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 2 * p.width,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": p.dropout,
        "encoder_layer_norm_first": True,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }


def empty(arguments: Config) -> Wav2Vec2Model:
    """Return an encoder whose weights mean nothing yet: a WavLM where the arguments are those of one."""
    return (wavlm_model if "encoder_num_buckets" in arguments else wav2vec2_model)(**arguments)


def scratch(p: Scratch, resolution: mel.Params, *, rate_hz: int) -> tuple[Wav2Vec2Model, Config]:
    """Return a new encoder whose first convolution starts as mel-spaced band-passes and learns on from there.

    As SincNet does: Ravanelli and Bengio, SLT 2018, doi 10.1109/SLT.2018.8639585.
    """
    encoder = empty(config(p))
    channels, kernel, _ = p.convolutions[0]
    first = encoder.feature_extractor.conv_layers[0].conv
    with torch.no_grad():
        first.weight.copy_(mel.band_passes(channels, kernel, resolution, rate_hz=rate_hz)[:, None])
    return encoder, config(p)


def pretrained(weights: str, *, rate_hz: int) -> tuple[Wav2Vec2Model, Config]:
    """Return the encoder in the folder `weights` or of the bundle `weights`, and its arguments.

    It comes without dropout of attention weights, which fairseq leaves out when it fine-tunes, too: a step takes an
    eighth less time.

    Raises:
        click.ClickException: there are no such weights, they are broken, or they are for another sample rate.
    """
    encoder, arguments, wanted_hz = local(Path(weights)) if Path(weights).is_dir() else bundle(weights)
    if wanted_hz not in (None, rate_hz):
        raise click.ClickException(f"{weights} wants `data.rate_hz: {wanted_hz}` in params.yaml, not {rate_hz}.")
    for layer in encoder.encoder.transformer.layers:
        layer.attention.dropout = 0.0
    return encoder, arguments | {"encoder_attention_dropout": 0.0}


def local(folder: Path) -> tuple[Wav2Vec2Model, Config, int | None]:
    """Return the encoder in a folder, its arguments, and the sample rate that it was trained with, where known.

    The folder holds `model.safetensors` and a `config.json`: either the arguments of torchaudio's `wav2vec2_model` or
    `wavlm_model`, or the configuration that Hugging Face transformers writes.

    Raises:
        click.ClickException: a file is missing, broken or does not fit.
    """
    try:
        arguments = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = safetensors.torch.load(_content(folder))
        rate_hz = arguments.pop(RATE, None)
        if "model_type" in arguments:
            rate_hz = huggingface.rate_hz(folder)
            arguments, state = huggingface.config(arguments), huggingface.weights(state, arguments)
        encoder = empty(arguments)
        fill(encoder, state)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise click.ClickException(
            f"{folder}: no Wav2Vec 2.0 weights that can be used ({_line(error)}). It must hold {CONFIG}, the arguments "
            f"of torchaudio.models.wav2vec2_model or a configuration of transformers, and {WEIGHTS}, the weights of "
            "such a model. `earmark weights NAME` fetches a bundle of torchaudio."
        ) from error
    return encoder, arguments, rate_hz


def _content(folder: Path) -> bytes:
    """Return the file of weights, which must have the digest that stands beside it, where one does."""
    content = (folder / WEIGHTS).read_bytes()
    if (folder / DIGEST).exists():
        found, written = hashlib.sha256(content).hexdigest(), (folder / DIGEST).read_text(encoding="utf-8").split()[:1]
        if written != [found]:
            raise ValueError(
                f"{WEIGHTS} was truncated or changed: its SHA-256 is {found[:12]}..., {DIGEST} says "
                f"{(written or ['nothing'])[0][:12]}...; delete the folder and fetch it again"
            )
    return content


def fill(encoder: Wav2Vec2Model, state: Mapping[str, Tensor]) -> None:
    """Give the encoder its weights.

    Raises:
        ValueError: they are those of another architecture.
    """
    mine = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    faults = {
        "missing": sorted(mine.keys() - given.keys()),
        "too many": sorted(given.keys() - mine.keys()),
        "of another shape": sorted(name for name in mine.keys() & given.keys() if mine[name] != given[name]),
    }
    if said := [f"{len(names)} are {fault}, first {names[0]}" for fault, names in faults.items() if names]:
        raise ValueError(f"of {len(mine)} tensors that {CONFIG} asks for, {'; '.join(said)}")
    encoder.load_state_dict(state)


def bundle(name: str) -> tuple[Wav2Vec2Model, Config, int]:
    """Return a pretrained encoder of torchaudio, downloaded at its first use, its arguments and its sample rate.

    Raises:
        click.ClickException: there is no such bundle, or it cannot be downloaded.
    """
    found = getattr(torchaudio.pipelines, name, None)
    if not isinstance(found, torchaudio.pipelines.Wav2Vec2Bundle):
        raise click.ClickException(
            f"{name!r} is neither a folder here nor a bundle of torchaudio.pipelines such as WAV2VEC2_BASE, "
            f"WAV2VEC2_XLSR53, HUBERT_BASE or WAVLM_BASE. `wav2vec2.weights: {SCRATCH}` needs neither."
        )
    try:
        encoder = found.get_model(dl_kwargs={"weights_only": True})
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise click.ClickException(
            f"The weights of {name} cannot be downloaded, or what was downloaded is broken ({_line(error)}). Connect "
            f"to the network, delete a broken file in {torch.hub.get_dir()}/checkpoints, or set `wav2vec2.weights` in "
            f"params.yaml to a folder with weights or to `{SCRATCH}`."
        ) from error
    bare: Wav2Vec2Model = getattr(encoder, "model", encoder)  # without the wrapper that normalises a whole batch
    bare.aux = None  # of bundles for speech recognition
    return bare, {**found._params, "aux_num_out": None}, round(found.sample_rate)


def _line(error: Exception) -> str:
    said = f"no {error}" if isinstance(error, KeyError) else str(error)
    return said.splitlines()[0] if said else type(error).__name__
