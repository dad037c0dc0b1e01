"""Write the page for a terminal: whether models collapsed, why perhaps, and what to do next."""

from collections.abc import Iterator, Sequence

from curation import markdown
from curation.markdown import code
from training import evidence, stock
from training.cause import Cause
from training.findings import Findings
from training.steps import reward, steps

STEPS = 4  # at most, beside the gate: who is told ten things does none


def insights(found: Findings, causes: Sequence[Cause]) -> str:
    """Return the page in Markdown."""
    blocks = [
        "# Where data and models stand",
        f"**{evidence.headline(found)}**",
        "\n".join(f"- {evidence.diagnosis(found, model)}" for model in found.metrics),
        "## Evidence",
        _evidence(found),
        "\n".join(
            f"- {line}" for line in (evidence.resolution(found), *evidence.notes(found), evidence.judged_by(found))
        ),
        "## Likely causes",
        "\n".join(f"- {line}" for line in _causes(causes)),
        "## What to do next",
        "\n".join(f"{number}. {line}" for number, line in enumerate(_steps(found, causes), 1)),
        "## The data",
        markdown.table(stock.HEADER, [*stock.labels(found)], numbers=True),
        "\n".join(f"- {stage}: {line}" for stage, line in stock.stages(found).items()),
    ]
    return "\n\n".join(blocks) + "\n"


def _evidence(found: Findings) -> str:
    """Return a table of all classes together, then one of the first."""
    first, rows = found.classes[0], [*evidence.rows(found)]
    of_first = {f"{key} {first}": f"{name} of {code(first)}" for key, name in evidence.OF_CLASS.items()}
    return "\n\n".join(
        markdown.table(
            ("model", *shown.values()),
            [(name, *(figures[key] for key in shown)) for name, figures in rows],
            numbers=True,
        )
        for shown in (evidence.WHOLE, of_first)
    )


def _causes(causes: Sequence[Cause]) -> Iterator[str]:
    for verdict in ("supported", "not known"):
        yield from (f"{verdict}: **{one.name}**. {one.figure}" for one in causes if one.verdict == verdict)
    yield f"cleared: {', '.join(one.name for one in causes if one.verdict == 'cleared') or 'none'}"


def _steps(found: Findings, causes: Sequence[Cause]) -> Iterator[str]:
    for cause in steps(found, causes)[:STEPS]:
        yield f"{cause.advice}{reward(cause)}"
    yield "Run `earmark gate`: it passes or fails the models by the bounds in params.yaml."
