"""What changed between two revisions, as Markdown for a pull request or a terminal."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from curation.markdown import code, table

Changes: TypeAlias = dict[str, Any]  # JSON, made by `curation.diff`

HEADLINES = ("collapsed", "balanced_accuracy")  # the metrics that stand in the first line
SHOWN = 20  # rows of a list
UNFOLDED = 8  # longer lists are folded


def markdown(changes: Changes, *, before: str, after: str) -> str:
    """Return a line that says it all, then a section for each kind of change.

    Args:
        changes: from `curation.diff.diff`.
        before: name of the earlier revision.
        after: name of the later one.
    """
    said = "; ".join([*_counts(changes), *_headlines(changes)]) or "nothing changed"
    return "\n\n".join([f"**From {code(before)} to {code(after)}:** {said}.", *_sections(changes)])


def _counts(changes: Changes) -> Iterator[str]:
    clips, rejects = changes.get("clips", {}), changes.get("rejects", {})
    counted = {
        "added": clips.get("added"),
        "removed": clips.get("removed"),
        "relabelled": _relabelled(changes),
        "with their label from elsewhere": _confirmed(changes),
        "newly rejected": rejects.get("added"),
        "no longer rejected": rejects.get("removed"),
        "with another file or group": changes.get("sources"),
        "in another fold": changes.get("folds"),
        "newly in or out of training": changes.get("train"),
    }
    if told := ", ".join(f"{len(found)} {what}" for what, found in counted.items() if found):
        yield f"clips: {told}"
    if settings := changes.get("params"):
        yield f"params: {len(settings)} changed"


def _headlines(changes: Changes) -> Iterator[str]:
    for model, metrics in changes.get("metrics", {}).items():
        for name in HEADLINES:
            if name in metrics:
                yield f"{code(model)} {name} {_figure(metrics[name]['before'])} → {_figure(metrics[name]['after'])}"


def _relabelled(changes: Changes) -> list[Changes]:
    return [clip for clip in changes.get("labels", []) if clip["before"]["label"] != clip["after"]["label"]]


def _confirmed(changes: Changes) -> list[Changes]:
    return [clip for clip in changes.get("labels", []) if clip["before"]["label"] == clip["after"]["label"]]


def _sections(changes: Changes) -> Iterator[str]:
    clips, rejects = changes.get("clips", {}), changes.get("rejects", {})
    yield from _listed("Clips added", ("clip_id", "file", "label"), clips.get("added", []))
    yield from _listed("Clips removed", ("clip_id", "file", "label"), clips.get("removed", []))
    yield from _moved("Clips relabelled", _relabelled(changes), ("label", "origin"))
    yield from _moved("Clips with their label from elsewhere", _confirmed(changes), ("label", "origin"))
    yield from _listed("Newly rejected", ("file", "start_s", "label", "reason", "detail"), rejects.get("added", []))
    yield from _listed("No longer rejected", ("file", "start_s", "label", "reason"), rejects.get("removed", []))
    yield from _balance(changes.get("balance", {}))
    yield from _moved("Clips with another file or group", changes.get("sources", []), ("file", "group"))
    yield from _moved("Clips in another fold", changes.get("folds", []))
    yield from _moved("Clips newly in or out of training", changes.get("train", []))
    yield from _metrics(changes.get("metrics", {}))
    settings = [
        [code(key), _json(pair["before"]), _json(pair["after"])] for key, pair in changes.get("params", {}).items()
    ]
    yield from _section("Params", ("key", "before", "after"), settings)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Changes]) -> Iterator[str]:
    return _section(title, columns, [[_text(row.get(column, "")) for column in columns] for row in rows])


def _moved(title: str, clips: Sequence[Changes], columns: Sequence[str] = ()) -> Iterator[str]:
    """Tell the clips whose state changed; the state is a text or has `columns`."""

    def state(value: Changes | str) -> str:
        return " ".join(_text(value[column]) for column in columns) if isinstance(value, dict) else _text(value)

    rows = [
        [_text(clip["clip_id"]), _text(clip["file"]), state(clip["before"]), state(clip["after"])] for clip in clips
    ]
    return _section(title, ("clip_id", "file", "before", "after"), rows)


def _balance(balance: Changes) -> Iterator[str]:
    columns = ("clips", "minutes", "groups")
    rows = [
        [
            code(label) if label else "not labelled",
            *(f"{pair['before'][name]:g} → {pair['after'][name]:g}" for name in columns),
        ]
        for label, pair in balance.items()
    ]
    return _section("Class balance", ("label", *columns), rows)


def _metrics(metrics: Changes) -> Iterator[str]:
    rows = [
        [code(model), code(name), _figure(pair["before"]), _figure(pair["after"]), _signed(pair["difference"])]
        for model, changed in metrics.items()
        for name, pair in changed.items()
    ]
    return _section("Metrics", ("model", "metric", "before", "after", "difference"), rows)


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the table under its title, which holds no text of the data, folded when long; nothing without rows."""
    if rows:
        more = f"\n\nand {len(rows) - SHOWN} more; `--json` has them all" if len(rows) > SHOWN else ""
        body = table(header, rows[:SHOWN]) + more
        folded = f"<details><summary>{title} ({len(rows)})</summary>\n\n{body}\n\n</details>"
        yield folded if len(rows) > UNFOLDED else f"**{title}**\n\n{body}"


def _figure(figure: Changes | None) -> str:
    """Return a metric's value with its interval, where it has one."""
    if figure is None:
        return "-"
    value, ends = figure.get("value"), [figure.get("low"), figure.get("high")]
    interval = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if all(isinstance(end, float) for end in ends) else ""
    if isinstance(value, str):
        return code(value)
    return f"{value:.3f}{interval}" if isinstance(value, float) else _json(value)


def _signed(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:+.3g}"


def _text(text: str) -> str:
    return code(text) if text else "-"


def _json(value: object) -> str:
    return "-" if value is None else code(json.dumps(value, ensure_ascii=False, default=str))
