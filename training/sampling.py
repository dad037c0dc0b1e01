"""The batches of an epoch: the training list as it stands, or drawn so that the classes come evenly."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Sampler: TypeAlias = Literal["listed", "once", "weighted", "balanced"]


def batches(label: Integers, sampler: Sampler, count: int, rng: np.random.Generator) -> list[Integers]:
    """Return `count` batches of about the same size: positions in `label`, as many as there are in all.

    Args:
        label: class of each draw of the training list.
        sampler: `listed` takes every draw once, and so does `once`, whose list is to name each clip once; `weighted`
            takes draws with replacement, each class as likely as the others; `balanced` fills every batch with the
            same number of each class, one class's draws in turn.
        count: number of batches.
        rng: source of the draws.
    """
    if sampler in ("listed", "once"):
        order = rng.permutation(len(label))
    elif sampler == "weighted":
        _, place, counts = np.unique(label, return_inverse=True, return_counts=True)
        order = rng.choice(len(label), len(label), p=1 / (counts[place] * len(counts)))
    else:
        order = _alternating(label, rng)
    return np.array_split(order, count)


def _alternating(label: Integers, rng: np.random.Generator) -> Integers:
    """Return as many positions as there are, one of each class in turn, in shuffled rounds through each class."""
    classes = np.unique(label)
    rounds = -(-len(label) // len(classes))
    columns = []
    for one in classes:
        own = np.flatnonzero(label == one)
        columns.append(np.concatenate([rng.permutation(own) for _ in range(-(-rounds // len(own)))])[:rounds])
    order: Integers = np.column_stack(columns).ravel()[: len(label)]
    return order
