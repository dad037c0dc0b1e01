"""Sections on what became of the models between two revisions."""

from collections.abc import Iterator

from curation.markdown import code
from curation.section import Section, as_json, number, text
from curation.verdict import HEADLINE, Changes, effect, signed, some, sources

HEADLINES = (HEADLINE, "mcc", "roc_auc", "worst_case")
STATES = {  # of a model: what is said where it is not so, and where it is
    "collapsed": ("not collapsed", "collapsed"),
    "at_chance": ("better than chance", "no better than chance"),
    "faults": ("nothing", ""),  # these are words themselves
}


def models(changes: Changes) -> Iterator[Section]:
    """Tell the headlines of every model, then all other metrics."""
    compared = changes.get("comparison", {})
    metrics = {
        model: {name: pair for name, pair in named.items() if name not in STATES}
        for model, named in changes.get("metrics", {}).items()
    }
    header = ("model", "metric", "before", "after", "same clips: difference", "in words")
    rows = {
        (model, name): _metric(model, name, metrics.get(model, {}).get(name), found)
        for model in sorted({*metrics, *compared})
        for found in [compared.get(model, {"metrics": {}})]
        for name in dict.fromkeys([*HEADLINES, *metrics.get(model, {}), *found["metrics"]])
        if name in metrics.get(model, {}) or name in found["metrics"]
    }
    sizes = [
        f"{code(model)}: {found['clips']} clips, {found['groups']} groups"
        + (", luck of other folds allowed for" if "refolded" in found else "")
        for model, found in compared.items()
    ]
    how = (
        f"Differences are of the clips that both revisions predict ({'; '.join(some(sizes))}), by the later labels, "
        "with 95 % intervals from resampled groups. More than noise is what swapping old and new, group by group, "
        "makes in fewer than 5 of 100 cases, by the earlier labels too. The luck of a training run comes on top."
    )
    headlines = [row for (_, name), row in rows.items() if name in HEADLINES]
    yield Section("Models", header, headlines, how if sizes else "", folds=False)
    yield Section("Other metrics", header, [row for (_, name), row in rows.items() if name not in HEADLINES])


def states(metrics: Changes) -> Section:
    """Tell what is wrong with the models, where that changed."""
    rows = [
        [code(model), *(_state(named, when) or "-" for when in ("before", "after"))]
        for model, named in metrics.items()
        if not STATES.keys().isdisjoint(named)
    ]
    return Section("What is wrong with the models", ("model", "before", "after"), rows)


def _state(metrics: Changes, when: str) -> str:
    """Return what is wrong with a model as `evaluate` words it, else which of the states it is in."""
    said = {name: (metrics[name][when] or {}).get("value") for name in STATES if name in metrics}
    if isinstance(faults := said.get("faults"), list):
        return ", ".join(text(str(fault)) for fault in faults) or STATES["faults"][0]
    return ", ".join(STATES[name][value] for name, value in said.items() if value in (0, 1))


def _metric(model: str, name: str, pair: Changes | None, compared: Changes) -> list[str]:
    pair, paired = pair or {"before": None, "after": None, "difference": None}, compared["metrics"].get(name)
    cells = [code(model), code(name), _figure(pair["before"]), _figure(pair["after"])]
    if paired is None:
        return [*cells, "-", "-"]
    return [*cells, signed(paired["difference"]) + _interval(paired, "+.3f"), effect(name, compared)]


def attribution(compared: Changes) -> Section:
    """Tell what comes from new labels of judged clips, and what from the models."""
    rows = [
        [
            code(model),
            code(name),
            *(number(cells[whose][when]) for whose in ("before", "after") for when in ("before", "after")),
            *map(signed, sources(cells)),
        ]
        for model, found in compared.items()
        for name, cells in found.get("attribution", {}).items()
    ]
    combinations = ("old model, old labels", "old, new", "new, old", "new model, new labels")
    header = ("model", "metric", *combinations, "from the labels", "from the model", "from it by old labels")
    return Section("Labels of judged clips changed: what comes from them, what from the model", header, rows)


def _figure(figure: Changes | None) -> str:
    """Return a metric's value with its interval, where it has one."""
    if figure is None:
        return "-"
    value = figure.get("value")
    if isinstance(value, str):
        return code(value)
    if isinstance(value, int | float):
        return f"{number(value)}{_interval(figure, '.3f')}"
    return as_json(value)


def _interval(figure: Changes, how: str) -> str:
    ends = [figure.get("low"), figure.get("high")]
    return f" [{ends[0]:{how}}, {ends[1]:{how}}]" if all(isinstance(end, float) for end in ends) else ""
