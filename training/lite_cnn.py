"""Train LiteCNN, a small convolutional network on log-mel spectrograms, and predict with it."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_model
from torch import Tensor, nn
from tqdm import tqdm

from curation import params
from training import augment, mel, recipes, train
from training.recipe import Recipe

DILATIONS = tuple(itertools.product((1, 2, 4, 8), (1, 2, 4, 8)))  # of the patterns, in bands and in frames
KERNELS = 8  # patterns of each dilation
QUARTERS = 4  # where in the spectrum a pattern lies matters, but not to a band
THRESHOLD_DB = 10.0  # deviation of the patterns' thresholds
SOFTNESS_DB = 1.0  # around a threshold, so that explanations have a slope to follow
HIDDEN = 128  # units that learn what occurrences mean


class Augment(params.Section):
    """Key `augment`: how the training clips are varied; 0 leaves a step out."""

    crop_s: float = Field(gt=0)  # length of a training view
    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...]  # that clips are played at, beside their own
    tempo: float = Field(ge=0, lt=1)  # largest change of tempo, as a share
    pitch: float = Field(ge=0, lt=1)  # largest change of pitch, as a share
    gain_db: float = Field(ge=0)  # largest change of level
    tilt_db: float = Field(ge=0)  # largest change of the highest band, and the other way of the lowest
    snr_db: tuple[float, float] | None  # least and most distance to the noise that is added; null: none
    mask_bands: int = Field(ge=0)  # longest run of hidden bands
    mask_s: float = Field(ge=0)  # longest hidden time


class Params(Recipe):
    """Section `lite_cnn` of params.yaml."""

    channels: tuple[int, ...] = Field(min_length=1)  # of each convolution; each halves bands and frames
    dropout: float = Field(ge=0, lt=1)
    augment: Augment


class LiteCNN(nn.Module):
    """Two looks at a log-mel spectrogram whose logits add up: convolutions that learn, and `Patterns` that do not.

    The convolutions are strided, and what they find goes to a linear head.
    """

    def __init__(self, bands: int, channels: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bands)  # brings each band to mean 0, variance 1 of the training clips
        kernels = [5] + [3] * (len(channels) - 1)
        pairs = zip([1, *channels], channels, kernels, strict=False)
        self.blocks = nn.Sequential(*(_block(*pair) for pair in pairs))
        left = -(-bands // 2 ** len(channels))
        self.patterns = Patterns(classes)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * left * channels[-1], classes))
        self.to(memory_format=torch.channels_last)  # a third faster on a CPU

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (clips, classes), of spectrograms in dB, shape (clips, bands, frames)."""
        logits: Tensor = self.head(self.seen(x)) + self.patterns(x)
        return logits

    def seen(self, x: Tensor) -> Tensor:
        """Return what the convolutions find, shape (clips, features): mean and maximum over time of each band left."""
        found = self.blocks(self.norm(x)[:, None].contiguous(memory_format=torch.channels_last))
        return torch.cat([found.mean(dim=3), found.amax(dim=3)], dim=1).flatten(1)

    def heads(self) -> list[nn.Linear]:
        """Return the layers whose sum the logits are, the one with the bias first."""
        return [self.head[-1], self.patterns.meaning[-1]]  # type: ignore[list-item]  # that of a Sequential is a Module


class Patterns(nn.Module):
    """How often random patterns occur in each quarter of the bands, and a small network that learns what that means.

    A pattern is 3 by 3 points of the spectrogram, spread by its dilation, whose weights sum to 0: an edge, a sweep, a
    pulse, a harmonic, whatever the level. It occurs where it exceeds its threshold. Nothing of it is learned, so a
    hundred clips are enough: ROCKET in two dimensions, Dempster et al. 2020, doi 10.1007/s10618-020-00701-z.
    """

    shapes: Tensor  # one a row
    thresholds_db: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = torch.randn(len(DILATIONS) * KERNELS, 3 * 3, generator=generator)
        shapes -= shapes.mean(dim=1, keepdim=True)
        self.register_buffer("shapes", nn.functional.normalize(shapes))
        self.register_buffer("thresholds_db", THRESHOLD_DB * torch.randn(len(shapes), 1, generator=generator))
        found = len(shapes) * QUARTERS
        self.meaning = nn.Sequential(
            nn.BatchNorm1d(found, affine=False),
            nn.Linear(found, HIDDEN),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(HIDDEN, classes, bias=False),  # the head has one
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (clips, classes), of spectrograms in dB, shape (clips, bands, frames)."""
        logits: Tensor = self.meaning(self.occurrences(x))
        return logits

    def occurrences(self, x: Tensor) -> Tensor:
        """Return the share of the time and of a quarter of the bands that each pattern is found in."""
        clips, n_bands, n_frames = x.shape
        shares = []
        parts = zip(DILATIONS, torch.split(self.shapes, KERNELS), torch.split(self.thresholds_db, KERNELS), strict=True)
        for (bands, frames), shapes, thresholds_db in parts:
            padded = nn.functional.pad(x[:, None], (frames, frames, bands, bands), mode="replicate")[:, 0]
            starts = itertools.product((0, bands, 2 * bands), (0, frames, 2 * frames))
            points = torch.stack([padded[:, low : low + n_bands, at : at + n_frames] for low, at in starts])
            above = torch.addmm(-thresholds_db, shapes, points.flatten(1), beta=1 / SOFTNESS_DB, alpha=1 / SOFTNESS_DB)
            found = above.sigmoid_().view(KERNELS, clips, QUARTERS, -1)  # one product, in place: thrice as fast
            shares.append(found.mean(dim=3).transpose(0, 1).flatten(1))
        return torch.cat(shares, dim=1)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def inputs(
    samples: Tensor, lengths: Tensor, p: mel.Params, *, rate_hz: int, speeds: Sequence[float] = ()
) -> tuple[Tensor, Tensor]:
    """Return log-mel spectrograms, and how many frames of each are sound.

    The first are those of the clips as they are, then come those of all clips at each of `speeds`: what
    `clips.Clips.drawn` chooses from.

    Args:
        samples: int16 of shape (clips, samples).
        lengths: how many of each are sound.
        p: the resolution in time and frequency.
        rate_hz: sample rate.
        speeds: above 1 shorter and higher, below 1 longer and lower; what then goes beyond a clip's length is cut off.
    """
    x, sounds = [mel.log_mel(samples, p, rate_hz=rate_hz)], [lengths]
    blocks = range(0, len(samples), mel.BLOCK)
    for speed, start in tqdm([*itertools.product(speeds, blocks)], "speeds", unit="block", disable=None, delay=2):
        block = slice(start, start + mel.BLOCK)
        played, sound = augment.at_speed(samples[block], lengths[block], speed)
        x.append(mel.log_mel(played, p, rate_hz=rate_hz))
        sounds.append(sound)
    return torch.cat(x), mel.frames(torch.cat(sounds), p, rate_hz=rate_hz)


def vary(x: Tensor, lengths: Tensor, rng: np.random.Generator, p: Augment, *, resolution: mel.Params) -> Tensor:
    """Return a training view of each spectrogram, shape (clips, bands, crop): another start, tempo, sound, masks."""
    x = augment.crop(x, lengths, round(p.crop_s / resolution.hop_s), speed=p.tempo, rng=rng)
    if p.pitch:
        x = augment.shift_bands(x, mel.centres_hz(resolution), pitch=p.pitch, rng=rng)
    if p.snr_db is not None:
        x = augment.add_noise_power(x, snr_db=p.snr_db, rng=rng)
    if p.gain_db or p.tilt_db:
        x = augment.level(x, gain_db=p.gain_db, tilt_db=p.tilt_db, rng=rng)
    return augment.spec_augment(x, bands=p.mask_bands, frames=round(p.mask_s / resolution.hop_s), rng=rng)


def load(folder: Path, name: str) -> LiteCNN:
    """Return the model of round `name` from the folder that `main` wrote, ready to predict."""
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    model = LiteCNN(card["mel"]["bands"], card["channels"], len(card["classes"]), dropout=0)
    load_model(model, folder / f"{name}.safetensors")
    return model.eval()


@click.command()
@train.options
def main(**paths: Path) -> None:
    """Train LiteCNN in rounds and write what each predicts for the clips it has not seen."""
    data, resolution, p = params.Data.load("data"), mel.Params.load("mel"), recipes.load(Params, "lite_cnn")
    train.train(
        train.Paths(**paths),
        data,
        p,
        inputs=lambda samples, lengths: inputs(
            samples, lengths, resolution, rate_hz=data.rate_hz, speeds=p.augment.speeds
        ),
        build=lambda: LiteCNN(resolution.bands, p.channels, len(data.classes), p.dropout),
        vary=lambda x, lengths, rng: vary(x, lengths, rng, p.augment, resolution=resolution),
        card={"model": "lite_cnn", "channels": p.channels, "mel": resolution.model_dump()},
        view_s=p.augment.crop_s,
        spare=", or name fewer `augment.speeds`",
    )


if __name__ == "__main__":
    from training.lite_cnn import main as importable  # what workers are sent they must import, and not from `__main__`

    importable()
