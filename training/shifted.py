"""Whether models are judged by clips too similar to what they learned from: what changes and new sources cost."""

from collections.abc import Mapping
from typing import Any

from curation.markdown import code, interval
from training import robustness
from training.cause import Cause
from training.findings import Findings

COSTLY = 0.1  # of balanced accuracy; where no change can cost as much, the evaluation holds
NAME = "too similar evaluation"


def cause(found: Findings) -> Cause:
    """Return whether a model does worse on changed clips, or on one source, known or new, than the evidence says."""
    figure = " ".join(robustness.sentences(found.robustness))
    sound = {model: said for model, said in found.robustness.items() if robustness.beyond_chance(said)}
    shaken = {model: said for model, said in sound.items() if robustness.loses(said) or _weak_source(said)}
    best = sorted(shaken.values(), key=lambda said: -said["clean"]["value"])[:1]
    lost = [said["new_source"] for said in found.robustness.values() if robustness.loses_elsewhere(said)]
    if advice := [*map(_advice, best), *map(_elsewhere, lost)]:
        return Cause(NAME, "supported", figure, " ".join(advice))
    changes = found.shifts.loc[found.shifts["model"].isin(list(sound)), ["change", "change_low"]].dropna(how="all")
    if sound and (changes["change_low"] > -COSTLY).all():
        return Cause(NAME, "cleared", figure, "")
    return Cause(NAME, "not known", figure, "")


def _weak_source(said: Mapping[str, Any]) -> bool:
    source, clean = said.get("worst_source", {"high": None}), said["clean"]
    return source["high"] is not None and source["high"] < clean["low"]


def _advice(said: Mapping[str, Any]) -> str:
    if robustness.loses(said):
        where, figure = robustness.worst_case(said), interval(said["worst"])
        return (
            f"If the models are to hear {where}, record such clips to learn from and to judge by; "
            f"until then count on a balanced accuracy of {figure}."
        )
    source = said["worst_source"]
    return f"Record more at {code(source['source'])}; until then count on {interval(source)} there."


def _elsewhere(source: Mapping[str, Any]) -> str:
    return (
        f"Record at more places than {code(source['source'])} and the others; until then count on {interval(source)} "
        "at one that is new."
    )
