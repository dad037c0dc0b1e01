"""Pass or fail the models: none collapsed or at chance, metrics within their bounds, the test set as it was sealed."""

import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from curation import params, seal, tables, versions

WORDS = {True: "pass", False: "FAIL", None: "skip"}


class Params(params.Section):
    """Section `gate` of params.yaml: bounds by the name of the metric, as in `balanced_accuracy` or `recall.safe`."""

    at_least: dict[str, float]
    low_at_least: dict[str, float]  # for the lower end of the metric's 95 % interval
    at_most: dict[str, float]


@dataclass(frozen=True)
class Check:
    """One demand on one model, or on the test set."""

    model: str
    passed: bool | None  # None: it could not be checked
    words: str


def gate(evidence: Mapping[str, Mapping[str, Any]], p: Params) -> list[Check]:
    """Return the checks of each model, by the metrics that stage `evaluate` wrote.

    Raises:
        click.ClickException: a bound is for a metric that is not there.
    """
    return [check for model in evidence for check in _checks(model, evidence[model], p)]


def _checks(model: str, measured: Mapping[str, Any], p: Params) -> Iterator[Check]:
    yield Check(model, not (measured["collapsed"] or measured["at_chance"]), "; ".join(measured["faults"]) or "sound")
    demands = (
        ("value", operator.ge, "at least", p.at_least),
        ("low", operator.ge, "lower end at least", p.low_at_least),
        ("value", operator.le, "at most", p.at_most),
    )
    for end, holds, wanted, bounds in demands:
        for name, bound in bounds.items():
            figure = _figure(name, model, measured)
            got = figure.get(end)  # None: too few groups for an interval
            passed = got is not None and holds(got, bound)
            yield Check(model, passed, f"{_words(name, figure)}, {wanted} {bound:g}")


def _sealed(data: Path) -> Iterator[Check]:
    """Yield whether the test set is the one sealed last, and whether older seals still stand; nothing without seals."""
    path, subject = data / "seal.csv", "test set"
    try:
        rewritten = seal.rewritten(path)
    except versions.RevisionError as error:
        rewritten = False
        if path.exists():
            yield Check(subject, None, f"whether {path} only grew is not known: {error.message}")
    if rewritten:
        yield Check(subject, False, f"{path} may only grow, but rows of main were altered or are gone: restore them")
    if path.exists():
        seals = tables.read(path, tables.SEAL)
        labels, folds = tables.read(data / "labels.csv", tables.LABELS), tables.read(data / "folds.csv", tables.FOLDS)
        why = seal.broken(seals, *seal.fingerprint(labels, folds)) if len(seals) else "no seal"
        yield Check(subject, not why, why or f"as sealed on {seals['date'].iloc[-1]}: {seals['reason'].iloc[-1]!r}")


def _figure(name: str, model: str, measured: Mapping[str, Any]) -> Mapping[str, float | None]:
    metric, _, label = name.partition(".")
    figure = measured.get(metric)
    figure = figure.get(label) if label and isinstance(figure, dict) else figure
    if not isinstance(figure, dict) or "value" not in figure:
        known = ", ".join(key for key, value in measured.items() if isinstance(value, dict))
        raise click.ClickException(
            f"params.yaml: section `gate` has a bound for {name!r}, which {model!r} has no figure for. The metrics are "
            f"{known}; precision, recall and f1 are written with a class, as in `recall.safe`."
        )
    return figure


def _words(name: str, figure: Mapping[str, float | None]) -> str:
    low, high = figure.get("low"), figure.get("high")
    interval = "no interval" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"
    return f"{name} {figure['value']:.3f} {interval}"


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.ClickException(f"{path} is not JSON in UTF-8: {error}. `dvc repro evaluate` writes it.") from error
    needed = {"collapsed", "at_chance", "faults"}
    models = evidence.values() if isinstance(evidence, dict) else []
    if not models or not all(isinstance(model, dict) and needed <= set(model) for model in models):
        raise click.ClickException(f"{path} holds no evidence on a model. `dvc repro evaluate` writes it.")
    return dict(evidence)


@click.command()
@click.option(
    "--metrics",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default="reports/metrics.json",
    show_default=True,
    help="What stage `evaluate` wrote.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where the tables are."
)
@click.pass_context
def main(context: click.Context, metrics: Path, data: Path) -> None:
    """Pass or fail the models, and the seal of the test set; exits 1 when one fails."""
    checks = [*gate(_read(metrics), Params.load("gate")), *_sealed(data)]
    for check in checks:
        click.echo(f"{WORDS[check.passed]}  {check.model}: {check.words}")
    context.exit(1 if any(check.passed is False for check in checks) else 0)


if __name__ == "__main__":
    main()
