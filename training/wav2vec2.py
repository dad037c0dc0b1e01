"""Train a Wav2Vec 2.0 classifier on the waveform, from scratch or from pretrained weights, and predict with it."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import click
import numpy as np
import safetensors.torch
import torch
import torchaudio
from pydantic import Field, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from curation import files, params
from training import augment, fit, mel, recipes, train

Config: TypeAlias = dict[str, Any]  # arguments of torchaudio.models.wav2vec2_model
SCRATCH = "scratch"


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


class Augment(params.Section):
    """Key `augment`: how the training clips are varied."""

    crop_s: float = Field(gt=0)  # length of a training view
    speed: float = Field(ge=0, lt=1)  # largest change of tempo and pitch, as a share
    snr_db: tuple[float, float] | None  # least and most distance to the noise that is added; null: none


class Params(fit.Recipe):
    """Section `wav2vec2` of params.yaml."""

    weights: str  # `scratch`, a bundle of torchaudio.pipelines, or a folder with config.json and model.safetensors
    unfrozen_layers: Annotated[int, Field(ge=0)] | Literal["all"]  # that learn, from the top; 0: only the head does
    scratch: Scratch
    dropout: float = Field(ge=0, lt=1)  # before the head
    augment: Augment

    @model_validator(mode="after")
    def _scratch_learns(self) -> Self:
        if self.weights == SCRATCH and self.unfrozen_layers != "all":
            raise ValueError("weights from scratch know nothing yet, so `unfrozen_layers` must be `all`")
        return self


class Wav2Vec2(nn.Module):
    """A Wav2Vec 2.0 encoder, mean and maximum over time of its layers in learned shares, and a linear head.

    Baevski et al., wav2vec 2.0, NeurIPS 2020, arXiv 2006.11477; the shares after SUPERB, Yang et al., Interspeech 2021,
    doi 10.21437/Interspeech.2021-1775. Its input has no padding to mask: see `augment.repeat`.
    """

    def __init__(
        self, encoder: Wav2Vec2Model, classes: int, *, dropout: float, unfrozen_layers: int | Literal["all"]
    ) -> None:
        super().__init__()
        layers = encoder.encoder.transformer.layers
        width = layers[0].final_layer_norm.normalized_shape[0]
        self.encoder = encoder
        self.shares = nn.Parameter(torch.zeros(len(layers)))  # before the softmax
        self.head = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(dropout), nn.Linear(2 * width, classes))
        self.learned = [encoder] if unfrozen_layers == "all" else [*layers[max(0, len(layers) - unfrozen_layers) :]]
        encoder.requires_grad_(False)
        for module in self.learned:
            module.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation, but leave what is frozen in evaluation: without dropout."""
        super().train(mode)
        self.encoder.eval()
        for module in self.learned:
            module.train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (clips, classes), of waveforms, shape (clips, samples)."""
        layers, _ = self.encoder.extract_features(x)
        pooled = torch.stack([torch.cat([layer.mean(dim=1), layer.amax(dim=1)], dim=1) for layer in layers])
        logits: Tensor = self.head(torch.einsum("l,lcw->cw", self.shares.softmax(dim=0), pooled))
        return logits


def inputs(samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the clips with the sound of each at mean 0 and variance 1, as half floats, and the lengths as they are."""
    x = torch.zeros(samples.shape, dtype=torch.float16)
    for row, (clip, length) in enumerate(zip(samples, lengths.tolist(), strict=True)):
        sound = clip[:length].float()
        x[row, :length] = ((sound - sound.mean()) / sound.std(correction=0).clamp_min(1)).half()
    return x, lengths


def vary(x: Tensor, lengths: Tensor, rng: np.random.Generator, p: Augment, *, rate_hz: int) -> Tensor:
    """Return a training view of each waveform, shape (clips, crop): another start, speed and noise."""
    x = augment.crop(x, lengths, round(p.crop_s * rate_hz), speed=p.speed, rng=rng)
    return x if p.snr_db is None else augment.add_noise(x, snr_db=p.snr_db, rng=rng)


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


def scratch(p: Scratch, resolution: mel.Params, *, rate_hz: int) -> Wav2Vec2Model:
    """Return a new encoder whose first convolution starts as mel-spaced band-passes and learns on from there.

    As SincNet does: Ravanelli and Bengio, SLT 2018, doi 10.1109/SLT.2018.8639585.
    """
    encoder = wav2vec2_model(**config(p))
    channels, kernel, _ = p.convolutions[0]
    first = encoder.feature_extractor.conv_layers[0].conv
    with torch.no_grad():
        first.weight.copy_(mel.band_passes(channels, kernel, resolution, rate_hz=rate_hz)[:, None])
    return encoder


def build(p: Params, resolution: mel.Params, data: params.Data) -> Wav2Vec2:
    """Return a new classifier."""
    encoder, _ = start(p, resolution, rate_hz=data.rate_hz)
    return Wav2Vec2(encoder, len(data.classes), dropout=p.dropout, unfrozen_layers=p.unfrozen_layers)


def start(p: Params, resolution: mel.Params, *, rate_hz: int) -> tuple[Wav2Vec2Model, dict[str, files.Json]]:
    """Return the encoder that `p` names, and what one must know to build it again."""
    if p.weights == SCRATCH:
        return scratch(p.scratch, resolution, rate_hz=rate_hz), {"encoder": config(p.scratch)}
    if Path(p.weights).is_dir():
        return local(Path(p.weights))
    return bundle(p.weights, rate_hz=rate_hz), {}


def local(folder: Path) -> tuple[Wav2Vec2Model, dict[str, files.Json]]:
    """Return the encoder in a folder, and what identifies it.

    The folder holds `config.json`, the arguments of `wav2vec2_model`, and `model.safetensors`, its weights.

    Raises:
        click.ClickException: a file is missing or does not fit.
    """
    try:
        arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = (folder / "model.safetensors").read_bytes()
        encoder = wav2vec2_model(**arguments)
        encoder.load_state_dict(safetensors.torch.load(weights))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise click.ClickException(
            f"{folder}: no Wav2Vec 2.0 weights ({error}). It must hold config.json, the arguments of "
            "torchaudio.models.wav2vec2_model, and model.safetensors, the weights of such a model."
        ) from error
    return encoder, {"sha256": hashlib.sha256(weights).hexdigest(), "encoder": arguments}


def bundle(name: str, *, rate_hz: int) -> Wav2Vec2Model:
    """Return a pretrained encoder of torchaudio, downloaded at its first use.

    Raises:
        click.ClickException: there is no such bundle, it wants another sample rate, or it cannot be downloaded.
    """
    found = getattr(torchaudio.pipelines, name, None)
    if not isinstance(found, torchaudio.pipelines.Wav2Vec2Bundle):
        raise click.ClickException(
            f"`wav2vec2.weights` in params.yaml is {name!r}: neither `{SCRATCH}`, nor a folder here, nor a bundle of "
            "torchaudio.pipelines such as WAV2VEC2_BASE, WAV2VEC2_XLSR53, HUBERT_BASE or WAVLM_BASE."
        )
    if found.sample_rate != rate_hz:
        raise click.ClickException(
            f"{name} wants `data.rate_hz: {found.sample_rate:.0f}` in params.yaml, not {rate_hz}."
        )
    try:
        encoder = found.get_model()
    except (OSError, RuntimeError) as error:
        raise click.ClickException(
            f"The weights of {name} cannot be downloaded ({error}). Connect to the network, or set `wav2vec2.weights` "
            f"in params.yaml to a folder with weights or to `{SCRATCH}`."
        ) from error
    bare: Wav2Vec2Model = getattr(encoder, "model", encoder)  # without the wrapper that normalises a whole batch
    return bare


def load(folder: Path, name: str) -> Wav2Vec2:
    """Return the model of round `name` from the folder that `main` wrote, ready to predict."""
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    arguments = card.get("encoder")
    encoder = wav2vec2_model(**arguments) if arguments else bundle(card["weights"], rate_hz=card["rate_hz"])
    model = Wav2Vec2(encoder, len(card["classes"]), dropout=0, unfrozen_layers=0)
    safetensors.torch.load_model(model, folder / f"{name}.safetensors")
    return model.eval()


@click.command()
@train.options
def main(**paths: Path) -> None:
    """Train Wav2Vec 2.0 in rounds and write what each predicts for the clips it has not seen."""
    data, resolution, p = params.Data.load("data"), mel.Params.load("mel"), recipes.load(Params, "wav2vec2")
    _, known = start(p, resolution, rate_hz=data.rate_hz)
    train.train(
        train.Paths(**paths),
        data,
        p,
        inputs=inputs,
        build=lambda: build(p, resolution, data),
        vary=lambda x, lengths, rng: vary(x, lengths, rng, p.augment, rate_hz=data.rate_hz),
        card={"model": "wav2vec2", "weights": p.weights, **known},
    )


if __name__ == "__main__":
    from training.wav2vec2 import main as importable  # what workers are sent they must import, and not from `__main__`

    importable()
