"""Say in a sentence or two what a change of data comes to."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from curation.markdown import code

Changes: TypeAlias = dict[str, Any]  # JSON, made by `curation.diff` and `training.compare`; see docs/review.md

HEADLINE = "balanced_accuracy"  # the metric that the verdict goes by: of a dozen, one would differ by chance
SHOWN = 8  # models, alarms and notes
NOISE = 0.05  # a difference that chance makes more often may be noise
LOWER_IS_BETTER = ("aurc", "brier", "ece", "log_loss")


def verdict(changes: Changes) -> str:
    """Return in a sentence or two, as Markdown, what whoever approves the change must know."""
    if not changes:
        return "Nothing changed."
    alarms = "; ".join(some(list(_alarms(changes))))
    said = [f"Look twice: {alarms}."] if alarms else []
    compared = changes.get("comparison", {})
    effects = [f"{code(model)} {effect(HEADLINE, found)}{_sources(found)}" for model, found in compared.items()]
    said.append(
        f"Balanced accuracy on the same clips: {', '.join(some(effects))}." if effects else "No model to compare."
    )
    return " ".join(said)


def _alarms(changes: Changes) -> Iterator[str]:
    if gone := changes.get("answers", {}).get("removed"):
        yield f"{_many(len(gone), 'answer')} of people gone or altered"
    if moved := [clip for clip in changes.get("folds", []) if clip["before"] and clip["after"]]:
        yield f"{_many(len(moved), 'clip')} moved between folds"
    if gone := changes.get("judged", {}).get("removed"):
        whys = sorted(Counter(clip["why"] for clip in gone).items())
        told = ", ".join(f"{count} {code(why)}" for why, count in whys)
        yield f"models no longer judged by {_many(len(gone), 'clip')} ({told})"
    if tested := [clip for clip in relabelled(changes) if clip["fold"] == "-1" and clip["after"]["label"]]:
        yield f"{_many(len(tested), 'test clip')} relabelled"
    elif judged := max((found.get("relabelled", 0) for found in changes.get("comparison", {}).values()), default=0):
        yield f"{_many(judged, 'judged clip')} relabelled"
    for model, metrics in changes.get("metrics", {}).items():
        now = {name: (metrics.get(name, {}).get("after") or {}).get("value") for name in ("collapsed", "at_chance")}
        if 1 in now.values():
            yield f"{code(model)} {'has collapsed' if now['collapsed'] == 1 else 'is now no better than chance'}"


def effect(name: str, found: Changes) -> str:
    """Return what the paired difference of a metric comes to, in words.

    Whoever gives the labels can make either model the better one: where they changed, the old ones are asked too.
    """
    now = _words(name, found["metrics"][name])
    was = _words(name, found["by_old_labels"][name]) if "by_old_labels" in found else now
    clear = {"new": now, "old": was}
    told = [f"{words} by the {whose} labels" for whose, words in clear.items() if words in ("better", "worse")]
    if now == was or not told:
        return now
    return ", ".join(told) if len(told) > 1 else f"{told[0]} only"


def _sources(found: Changes) -> str:
    cells = found.get("attribution", {}).get(HEADLINE)
    if cells is None:
        return ""
    labels, model, by_old = map(signed, sources(cells))
    return f" ({labels} from the labels, {model} from the model, {by_old} from it by the old labels)"


def sources(cells: Changes) -> tuple[float | None, float | None, float | None]:
    """Return what labels and model add to a metric, one after the other, and what the model adds by the old labels."""
    old, new = cells["before"], cells["after"]
    steps = ((old["before"], old["after"]), (old["after"], new["after"]), (old["before"], new["before"]))
    labels, model, by_old = (None if None in (was, now) else now - was for was, now in steps)
    return labels, model, by_old


def signed(difference: float | None) -> str:
    """Return a difference with its sign."""
    return "-" if difference is None else f"{difference:+.3f}"


def _words(name: str, figures: Changes) -> str:
    if figures["p"] is None or figures["difference"] is None:
        return "too few groups to tell"
    if figures["difference"] == figures["low"] == figures["high"] == 0:
        return "the same"
    if figures["p"] > NOISE:
        return "may be noise"
    return "better" if (figures["difference"] > 0) != (name in LOWER_IS_BETTER) else "worse"


def counts(changes: Changes) -> Iterator[str]:
    """Yield how many clips, answers and params changed in which way."""
    clips, rejects = changes.get("clips", {}), changes.get("rejects", {})
    counted = {
        "relabelled": relabelled(changes),
        "added": clips.get("added"),
        "removed": clips.get("removed"),
        "newly rejected": rejects.get("added"),
        "no longer rejected": rejects.get("removed"),
        "regrouped": changes.get("groups"),
        "in another fold": changes.get("folds"),
        "in another file": changes.get("files"),
        "with their label from elsewhere": confirmed(changes),
        "newly in or out of training": changes.get("train"),
    }
    if told := ", ".join(f"{len(found)} {what}" for what, found in counted.items() if found):
        yield f"clips: {told}"
    if answers := changes.get("answers", {}).get("added"):
        yield _many(len(answers), "new answer")
    if settings := changes.get("params"):
        yield f"{_many(len(settings), 'param')} changed"


def relabelled(changes: Changes) -> list[Changes]:
    """Return the clips that have another label."""
    return [clip for clip in changes.get("labels", []) if clip["before"]["label"] != clip["after"]["label"]]


def confirmed(changes: Changes) -> list[Changes]:
    """Return the clips that have the same label from elsewhere."""
    return [clip for clip in changes.get("labels", []) if clip["before"]["label"] == clip["after"]["label"]]


def some(texts: Sequence[str], shown: int = SHOWN) -> list[str]:
    """Return the first few texts, and how many more there are."""
    more = len(texts) - shown
    return [*texts[:shown], f"and {more} more"] if more > 0 else list(texts)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
