"""Place groups in folds by a hash that no new clip and no new label can move."""

import hashlib
from collections.abc import Sequence

import pandas as pd

TEST = -1
SALTS_TRIED = 2000  # before it is said that none works


def fold_of(groups: pd.Series, salt: str, test_share: float, folds: int) -> pd.Series:
    """Return the fold of each clip, 0 to `folds` - 1 or `TEST`, a function of its group and of the salt alone."""
    fold = {group: _draw(f"{salt}\n{group}", test_share, folds) for group in groups.unique()}
    return groups.map(fold).astype("int64")


def _draw(text: str, test_share: float, folds: int) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    is_test = int.from_bytes(digest[:8]) < test_share * 2**64
    return TEST if is_test else int.from_bytes(digest[8:16]) % folds


def gaps(label: pd.Series, fold: pd.Series, classes: Sequence[str], numbers: Sequence[int]) -> list[tuple[str, int]]:
    """Return which classes have no clip in which of the folds `numbers`."""
    found = set(zip(label, fold, strict=True))
    return [(one, number) for one in classes for number in numbers if (one, number) not in found]
