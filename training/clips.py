"""Clips in memory, as the models see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from curation import params
from curation.clips import clip_path


@dataclass(frozen=True)
class Clips:
    """What a model reads of each clip, and what the training list says of it; rows are clips.

    Training may hear the clips in other versions too: `x` and `lengths` then go on with all clips in the second
    version, and so on. 10,000 clips take 0.4 GB a version as log-mel spectrograms and 2.6 GB as samples.
    """

    x: Tensor  # of shape (versions * clips, ..., time)
    lengths: Tensor  # int64: how much of the time is sound; the rest is padding
    targets: Tensor  # float32 of shape (clips, classes): 1 in the column of the label, all 0 without one
    weights: Tensor  # float32: weight in the loss

    def drawn(self, rows: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the rows of `x` where a version of each clip of `rows` is, any of them as likely."""
        clips = len(self.targets)
        return rows + clips * torch.from_numpy(rng.integers(len(self.x) // clips, size=len(rows)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the name of a file that `x` is read from to a worker, not what is in it: that may be gigabytes."""
        if (file := self.x.untyped_storage().filename) is None:
            return Clips, (self.x, self.lengths, self.targets, self.weights)
        return _reopened, (file, self.x.shape, self.lengths, self.targets, self.weights)


def _reopened(file: str, shape: torch.Size, *rest: Tensor) -> Clips:
    """Return clips of which `x` is read from the file, and never written to it."""
    return Clips(torch.from_file(file, size=shape.numel(), dtype=torch.float16).view(shape), *rest)


def read(folder: Path, clip_ids: Sequence[str], data: params.Data) -> tuple[Tensor, Tensor]:
    """Return the samples of the clips, int16 of shape (clips, samples), and how many of each are sound.

    Raises:
        click.ClickException: a clip is missing or is not as `data` says.
    """
    shown = tqdm(clip_ids, desc="read clips", unit="clip", disable=None, delay=2)
    samples = np.empty((len(clip_ids), round(data.clip_s * data.rate_hz)), np.int16)
    for row, clip_id in zip(samples, shown, strict=True):
        row[:] = _read(clip_path(clip_id, folder), data)
    return torch.from_numpy(samples), torch.tensor([sound(row) for row in samples])


def sound(samples: NDArray[np.int16]) -> int:
    """Return the number of samples before the trailing zeros, at least 1."""
    loud = np.flatnonzero(samples)
    return int(loud[-1]) + 1 if len(loud) else 1


def _read(path: Path, data: params.Data) -> NDArray[np.int16]:
    try:
        samples, rate_hz = soundfile.read(path, dtype="int16")
    except (soundfile.LibsndfileError, OSError) as error:
        raise click.ClickException(f"{path} cannot be read ({error}). `dvc repro ingest` writes the clips.") from error
    expected = (round(data.clip_s * data.rate_hz),)
    if rate_hz != data.rate_hz or samples.shape != expected:
        raise click.ClickException(
            f"{path} has {rate_hz} Hz and shape {samples.shape}; `data` in params.yaml wants {data.rate_hz} Hz "
            f"and {expected}. `dvc repro ingest` writes the clips anew."
        )
    return np.asarray(samples)
