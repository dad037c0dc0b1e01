"""How large a difference between two models must be to be found among so many groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training import bootstrap, metrics

MULTIPLE = 2.8  # standard errors: 1.96 for a 95 % interval without 0, and 0.84 for 80 % power


def detectable(
    outcomes: Sequence[metrics.Outcome], groups: NDArray[np.int64], resamples: int, *, seed: int
) -> list[float]:
    """Return for each model the smallest difference in balanced accuracy that is found in four of five cases.

    The minimum detectable effect is 2.8 standard errors (Bloom 1995, doi:10.1177/0193841X9501900504), here of the
    paired difference to a rival, by resampled groups. The rival is thought of as uncertain as the model itself; its
    resamples go with the model's as little as those of any other model here do, not at all where there is no other. NaN
    where no resample differs, for instance because the model makes no error.

    Args:
        outcomes: of all models, on the same clips.
        groups: number of each clip's group, shape (clips,).
        resamples: how many.
        seed: of the resamples.
    """

    def accuracies(weights: metrics.Floats) -> dict[int, metrics.Floats]:
        return {number: metrics.balanced_accuracy(outcome, weights) for number, outcome in enumerate(outcomes)}

    drawn = np.array([*bootstrap.drawn(accuracies, groups, resamples, seed=seed).values()])
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    spread = drawn.std(axis=1)
    apart = drawn - drawn.mean(axis=1, keepdims=True)
    both = np.outer(spread, spread)
    together = np.divide(apart @ apart.T / drawn.shape[1], both, out=np.zeros_like(both), where=both > 0)
    np.fill_diagonal(together, 0 if len(outcomes) == 1 else 1)  # no model is its own rival
    found = MULTIPLE * spread * np.sqrt(2 * (1 - together.min(axis=1)))
    return [float(one) if one > 0 else np.nan for one in found]
