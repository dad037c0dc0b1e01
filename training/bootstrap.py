"""Confidence intervals by resampling groups, since the clips of one group are not independent."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from training.metrics import Floats

LEVEL = 0.95
CHUNK = 4_000_000  # weights in memory at a time, 32 MB
BLOCKS = 200  # of groups, at most, for the jackknife

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; an end is NaN where too few resamples define the figure."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the interval has two ends."""
        return not (np.isnan(self.low) or np.isnan(self.high))

    def __format__(self, spec: str) -> str:
        """Return the figure with its interval, all in the format `spec`."""
        ends = f"[{self.low:{spec}}, {self.high:{spec}}]" if self.known else "(no interval)"
        return f"{self.value:{spec}} {ends}"


def estimate(
    figures: Callable[[Floats], Mapping[Key, Floats]], groups: NDArray[np.int64], resamples: int, *, seed: int
) -> dict[Key, Estimate]:
    """Return each figure of the sample with its bias-corrected and accelerated interval.

    Efron 1987, doi:10.1080/01621459.1987.10478410. In simulated sets of 30 to 100 groups, 89 to 96 % of the intervals
    hold the truth; for a good model and a dozen groups of the rare class, where errors are few, 87 % of those of
    balanced accuracy do (`tests/training/test_bootstrap.py`).

    A resample may lack a class: figures that need it are NaN there and rest on the other resamples, or have no
    interval when these are fewer than half. An interval without width says that no resample could differ, for
    instance because the model made no error; with few groups that is no proof of perfection.

    Args:
        figures: gives for weights of shape (resamples, clips) each figure, shape (resamples,); see `metrics`.
        groups: number of each clip's group, from 0, none left out, shape (clips,).
        resamples: how many.
        seed: of the resamples.
    """
    once = figures(np.ones((1, len(groups))))
    resampled = drawn(figures, groups, resamples, seed=seed)
    left_out = _collect(figures, _jackknife(groups))
    return {key: _bca(float(value[0]), resampled[key], left_out[key]) for key, value in once.items()}


def drawn(
    figures: Callable[[Floats], Mapping[Key, Floats]], groups: NDArray[np.int64], resamples: int, *, seed: int
) -> dict[Key, Floats]:
    """Return each figure of each resample, shape (resamples,); the arguments are those of `estimate`."""
    return _collect(figures, _draws(groups, resamples, np.random.default_rng(seed)))


def _draws(groups: NDArray[np.int64], resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield how often each clip is drawn, when as many groups as there are are drawn with replacement."""
    count = int(groups.max()) + 1
    step = max(1, CHUNK // len(groups))
    for start in range(0, resamples, step):
        times = rng.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - start))
        yield times[:, groups].astype(np.float64)


def _jackknife(groups: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield weights that leave out one group each, or one block of groups where these are many."""
    block = groups % BLOCKS
    step = max(1, CHUNK // len(groups))
    for start in range(0, int(block.max()) + 1, step):
        left_out = np.arange(start, min(start + step, int(block.max()) + 1))
        yield (block != left_out[:, None]).astype(np.float64)


def _collect(figures: Callable[[Floats], Mapping[Key, Floats]], chunks: Iterator[Floats]) -> dict[Key, Floats]:
    parts = [figures(weights) for weights in chunks]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _bca(value: float, drawn: Floats, left_out: Floats) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < len(drawn) / 2:
        return Estimate(value, np.nan, np.nan)
    below = ((defined < value).mean() + (defined <= value).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    pull = np.nanmean(left_out) - left_out[~np.isnan(left_out)]
    size = (pull**2).sum()
    acceleration = (pull**3).sum() / (6 * size**1.5) if size > 0 else 0.0
    shifted = bias + ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    share = ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-9))  # beyond its pole: the extreme
    low, high = np.quantile(defined, share)
    return Estimate(value, float(low), float(high))
