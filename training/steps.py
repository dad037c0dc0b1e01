"""Say what to do next, ranked by what it should bring and by the human work that it takes."""

from collections.abc import Iterator, Sequence

from curation.markdown import code
from training.cause import Cause
from training.findings import Findings


def steps(found: Findings, causes: Sequence[Cause]) -> list[Cause]:
    """Return the causes that ask for something, the most rewarding first.

    A supported cause that takes no human work comes first, then what brings most balanced accuracy a minute, then
    supported causes without an estimate, then what is not known.
    """
    open_causes = [cause for cause in [*causes, *_rejects(found)] if cause.advice]
    return sorted(open_causes, key=_rank)


def _rank(cause: Cause) -> tuple[int, float]:
    if cause.verdict == "supported" and cause.minutes == 0:
        return 0, 0.0
    if cause.gain and cause.minutes:
        return 1, -cause.gain / cause.minutes
    return (2 if cause.verdict == "supported" else 3), cause.minutes or 0.0


def _rejects(found: Findings) -> Iterator[Cause]:
    """Name the first recording that gave no clip."""
    for file, detail in found.rejects[["file", "detail"]].head(1).to_numpy():
        figure = f"{len(found.rejects)} recordings or parts of them gave no clip."
        advice = f"Mend what `data/rejects.csv` lists, first {code(file)}: {code(detail)}"
        yield Cause("rejected recordings", "supported", figure, advice)


def reward(cause: Cause) -> str:
    """Return in brackets what following the advice should bring, and what it takes."""
    parts = [
        "" if cause.gain is None else f"about {cause.gain:+.2f} balanced accuracy",
        "" if cause.minutes is None else f"{cause.minutes:.1f} minutes" if cause.minutes else "no human work",
    ]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""
