"""Train a Wav2Vec 2.0 classifier on the waveform, from scratch or from pretrained weights, and predict with it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import click
import numpy as np
import safetensors.torch
import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor
from torchaudio.models import Wav2Vec2Model

from curation import files, params
from training import augment, checkpoints, encoders, frozen, mel, recipes, train
from training.classifier import Wav2Vec2
from training.encoders import SCRATCH, Scratch
from training.recipe import Recipe

NEW_VIEWS = (
    "wav2vec2: `augment` lets the frozen layers hear something new in every epoch, so they are computed every time. "
    "`augment: null` in params.yaml computes them once."
)


Decay: TypeAlias = Annotated[float, Field(gt=0, le=10)]
Mp3: TypeAlias = Annotated[int, Field(ge=32, le=64)]  # what MP3 has at any sample rate
Opus: TypeAlias = Annotated[int, Field(ge=6, le=128)]


class Augment(params.Section):
    """Key `augment`: how the training clips are varied; 0 or null leaves a step out."""

    crop_s: float = Field(gt=0)  # length of a training view
    speed: float = Field(ge=0, lt=1)  # largest change of tempo and pitch together, as a share
    tempo: float = Field(ge=0, le=0.5)  # of tempo alone
    pitch: float = Field(ge=0, le=0.5)  # of pitch alone
    reverberation_s: tuple[Decay, Decay] | None  # least and most time until the tail of a room has died by 60 dB
    snr_db: tuple[float, float] | None  # least and most distance to the noise that is added
    mp3_kbps: tuple[Mp3, Mp3] | None  # least and most bitrate
    opus_kbps: tuple[Opus, Opus] | None
    gain_db: float = Field(ge=0, le=60)  # largest change of level


class Params(Recipe):
    """Section `wav2vec2` of params.yaml."""

    weights: str  # `scratch`, a bundle of torchaudio.pipelines, or a folder with config.json and model.safetensors
    unfrozen_layers: Annotated[int, Field(ge=0)] | Literal["all"]  # that learn, from the top; 0: only the head does
    layer_decay: float = Field(gt=0, le=1)  # the learning rate of a layer is that of the layer above times this
    gradient_checkpointing: bool  # whether layers are computed twice to save memory
    processes: int = Field(ge=1)  # that share each batch; with several, rounds are trained one after another
    scratch: Scratch
    dropout: float = Field(ge=0, lt=1)  # before the head
    augment: Augment | None  # None: training sees the clips as they are, and frozen layers see them once

    @model_validator(mode="after")
    def _scratch_learns(self) -> Self:
        if self.weights == SCRATCH and self.unfrozen_layers != "all":
            raise ValueError("weights from scratch know nothing yet, so `unfrozen_layers` must be `all`")
        return self

    @model_validator(mode="after")
    def _each_process_has_clips(self) -> Self:
        if 2 * self.processes > self.batch_clips and self.processes > 1:
            raise ValueError(f"{self.processes} `processes` share a batch: they need `batch_clips` of twice as many")
        return self

    @property
    def once(self) -> bool:
        """Whether frozen layers see each clip once: where every epoch lets them hear the same."""
        return self.unfrozen_layers != "all" and self.augment is None


def inputs(samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the clips with the sound of each at mean 0 and variance 1, as half floats, and the lengths as they are."""
    x = torch.zeros(samples.shape, dtype=torch.float16)
    for row, (clip, length) in enumerate(zip(samples, lengths.tolist(), strict=True)):
        sound = clip[:length].float()
        x[row, :length] = ((sound - sound.mean()) / sound.std(correction=0).clamp_min(1)).half()
    return x, lengths


def prepare(
    samples: Tensor, lengths: Tensor, p: Params, build: Callable[[], Wav2Vec2], folder: Path
) -> tuple[Tensor, Tensor]:
    """Return `inputs`, or what frozen layers that hear the same in every epoch say of them, kept in `folder`."""
    x, lengths = inputs(samples, lengths)
    if not p.once:
        if p.unfrozen_layers != "all":
            click.echo(NEW_VIEWS, err=True)
        return x, lengths
    device, model = Fabric(accelerator="auto", devices=1).device, build()
    weights, clips = frozen.digest(*model.encoder.state_dict().values()), frozen.digest(x, lengths)
    name = checkpoints.key(weights=weights, clips=clips, layers=model.frozen_layers)
    model.eval().to(device)
    said = frozen.once(
        lambda view: model.lower(view.to(device)), x, lengths, folder / f"{name[:16]}.f16", block_clips=p.batch_clips
    )
    return said, torch.full((len(said),), said.shape[-1])


def vary(x: Tensor, lengths: Tensor, rng: np.random.Generator, p: Augment | None, *, rate_hz: int) -> Tensor:
    """Return a training view of each waveform, shape (clips, crop): another start, pitch, room, noise, codec, level.

    Without `p` the view is the clip as it is; of what frozen layers say there is no other view.
    """
    if p is None:
        return augment.repeat(x, lengths, x.shape[-1])
    n = round(p.crop_s * rate_hz)
    x = augment.crop(x, lengths, math.ceil(n * (1 + p.tempo)), speed=p.speed, rng=rng)
    if p.tempo or p.pitch:
        x = augment.stretch(x, n, tempo=p.tempo, pitch=p.pitch, rng=rng)
    if p.reverberation_s:
        x = augment.reverberate(x, decay_s=p.reverberation_s, rate_hz=rate_hz, rng=rng)
    if p.snr_db:
        x = augment.add_noise(x, snr_db=p.snr_db, rng=rng)
    if kbps := {codec: rates for codec, rates in (("mp3", p.mp3_kbps), ("opus", p.opus_kbps)) if rates}:
        x = augment.coded(x, kbps=kbps, rate_hz=rate_hz, rng=rng)
    return augment.gain(x, gain_db=p.gain_db, rng=rng) if p.gain_db else x


def start(p: Params, resolution: mel.Params, data: params.Data) -> tuple[Wav2Vec2Model, dict[str, files.Json]]:
    """Return the encoder that `p` names, and what identifies it: its arguments and a hash of pretrained weights."""
    if p.weights == SCRATCH:
        encoder, arguments = encoders.scratch(p.scratch, resolution, rate_hz=data.rate_hz)
        return encoder, {"encoder": arguments}
    encoder, arguments = encoders.pretrained(p.weights, rate_hz=data.rate_hz)
    return encoder, {"sha256": frozen.digest(*encoder.state_dict().values()), "encoder": arguments}


def build(p: Params, resolution: mel.Params, data: params.Data) -> Wav2Vec2:
    """Return a new classifier."""
    encoder, _ = start(p, resolution, data)
    return Wav2Vec2(
        encoder,
        len(data.classes),
        dropout=p.dropout,
        unfrozen_layers=p.unfrozen_layers,
        layer_decay=p.layer_decay,
        gradient_checkpointing=p.gradient_checkpointing,
    )


def load(folder: Path, name: str) -> Wav2Vec2:
    """Return the model of round `name` from the folder that `main` wrote, ready to predict."""
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    model = Wav2Vec2(encoders.empty(card["encoder"]), len(card["classes"]), dropout=0, unfrozen_layers=0)
    safetensors.torch.load_model(model, folder / f"{name}.safetensors")
    return model.eval()


@click.command()
@train.options
def main(**paths: Path) -> None:
    """Train Wav2Vec 2.0 in rounds and write what each predicts for the clips it has not seen."""
    data, resolution, p = params.Data.load("data"), mel.Params.load("mel"), recipes.load(Params, "wav2vec2")
    _, known = start(p, resolution, data)
    train.train(
        train.Paths(**paths),
        data,
        p,
        inputs=lambda samples, lengths: prepare(
            samples, lengths, p, lambda: build(p, resolution, data), paths["checkpoint"]
        ),
        build=lambda: build(p, resolution, data),
        vary=lambda x, lengths, rng: vary(x, lengths, rng, p.augment, rate_hz=data.rate_hz),
        card={"model": "wav2vec2", "weights": p.weights, **known},
        view_s=p.augment.crop_s if p.augment else data.clip_s,
        spare=", set `gradient_checkpointing: true`, or free fewer `unfrozen_layers`",
        processes=p.processes,
    )


if __name__ == "__main__":
    from training.wav2vec2 import main as importable  # what workers are sent they must import, and not from `__main__`

    importable()
