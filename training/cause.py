"""A possible cause of a poor model: what speaks for it or against it, and what to do."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["supported", "cleared", "not known"]


@dataclass(frozen=True)
class Cause:
    """A cause with its evidence. `figure` and `advice` are Markdown with text of the data in code spans."""

    name: str
    verdict: Verdict
    figure: str  # what supports or clears it, or what is missing
    advice: str
    gain: float | None = None  # of balanced accuracy, as far as it can be estimated
    minutes: float | None = None  # of human work, at least; 0: a machine's time only; None: not known
