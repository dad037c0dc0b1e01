"""Say what changed in data, metrics and params between two revisions."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from curation import params, versions
from curation.changes import Changes, markdown
from curation.snapshot import Row, Snapshot, parse

EPILOG = """\b
A and B are branches, tags or commits. Without A: where this branch left main.
Without B: the files as they are here.

\b
Examples:
  earmark diff                     this branch, with what is not committed
  earmark diff HEAD                what is not committed
  earmark diff v1 v2 > review.md   two releases
  earmark diff --json main HEAD

\b
Exit status: 0 done; 1 something changed, with --exit-code; 2 no such revision,
or one that cannot be read; 130 interrupted.
"""


def diff(before: Snapshot, after: Snapshot) -> Changes:
    """Return what changed, as JSON: a key for each kind of change, and none where nothing changed.

    `diff(b, a)` is `diff(a, b)` with `added` and `removed`, `before` and `after`, and the sign of `difference`
    swapped. Files of clips are named as in `after`.
    """
    changes: Changes = {
        "clips": _only(_clips(before), _clips(after)),
        "labels": _by_clip(before, after, _label),
        "rejects": _only(before.rejects, after.rejects),
        "balance": _balance(before, after),
        "sources": _by_clip(before, after, _source),
        "folds": _by_clip(before, after, _fold),
        "train": _by_clip(before, after, _use),
        "metrics": _metrics(before, after),
        "params": _pairs(_settings(before), _settings(after)),
    }
    return {kind: change for kind, change in changes.items() if change}


def _only(before: Mapping[Any, Row], after: Mapping[Any, Row]) -> Changes:
    found = {
        "added": [dict(after[key]) for key in sorted(after.keys() - before)],
        "removed": [dict(before[key]) for key in sorted(before.keys() - after)],
    }
    return {way: rows for way, rows in found.items() if rows}


def _clips(one: Snapshot) -> dict[str, Row]:
    return {
        clip_id: {"clip_id": clip_id, "file": row.get("file", ""), "label": one.label(clip_id)}
        for clip_id, row in one.clips.items()
    }


def _by_clip(before: Snapshot, after: Snapshot, look: Callable[[Snapshot, str], Any]) -> list[Changes]:
    """Return what `look` sees changed in the clips that both revisions have."""
    both = sorted(before.clips.keys() & after.clips)
    seen = ((clip_id, look(before, clip_id), look(after, clip_id)) for clip_id in both)
    return [
        {"clip_id": clip_id, "file": after.clips[clip_id].get("file", ""), "before": old, "after": new}
        for clip_id, old, new in seen
        if old != new
    ]


def _label(one: Snapshot, clip_id: str) -> Row:
    return {"label": one.label(clip_id), "origin": one.labels.get(clip_id, {}).get("origin", "")}


def _source(one: Snapshot, clip_id: str) -> Row:
    return {column: one.clips[clip_id].get(column, "") for column in ("file", "group")}


def _fold(one: Snapshot, clip_id: str) -> str:
    return one.folds.get(clip_id, {}).get("fold", "")


def _use(one: Snapshot, clip_id: str) -> str:
    """Return whether a clip is trained on, or why not; how often it is drawn is not told apart."""
    row = one.train.get(clip_id, {})
    return row.get("why", "") if row.get("times", "0") == "0" else "used"


def _balance(before: Snapshot, after: Snapshot) -> Changes:
    old, new = _sizes(before), _sizes(after)
    none = {"clips": 0, "minutes": 0.0, "groups": 0}
    labels = sorted(old.keys() | new) if old != new else []
    return {label: {"before": old.get(label, none), "after": new.get(label, none)} for label in labels}


def _sizes(one: Snapshot) -> dict[str, dict[str, float]]:
    clips: dict[str, list[str]] = {}
    for clip_id in sorted(one.clips):
        clips.setdefault(one.label(clip_id), []).append(clip_id)
    return {
        label: {
            "clips": len(ids),
            "minutes": round(sum(one.duration_s[clip_id] for clip_id in ids) / 60, 3),
            "groups": len({one.clips[clip_id].get("group") for clip_id in ids}),
        }
        for label, ids in clips.items()
    }


def _metrics(before: Snapshot, after: Snapshot) -> Changes:
    """Return the figures that differ, by model and metric (of one class: `recall.safe`)."""
    found: Changes = {}
    for (model, *metric), pair in _pairs(_figures(before), _figures(after)).items():
        found.setdefault(model, {})[".".join(metric)] = pair | {"difference": _difference(**pair)}
    return found


def _figures(one: Snapshot) -> dict[tuple[str, ...], Changes]:
    """Return the value of each metric, with the ends of its interval where it has one, by its path."""
    return {
        path: {end: leaf[end] for end in ("value", "low", "high") if end in leaf}
        if isinstance(leaf, Mapping)
        else {"value": leaf}
        for path, leaf in _leaves(one.metrics, until="value")
    }


def _difference(before: Changes | None, after: Changes | None) -> float | None:
    old, new = (before or {}).get("value"), (after or {}).get("value")
    if isinstance(old, int | float) and isinstance(new, int | float):
        return float(f"{new - old:.6g}")
    return None


def _settings(one: Snapshot) -> dict[str, Any]:
    return {".".join(path): leaf for path, leaf in _leaves(one.params)}


def _leaves(value: Any, *path: str, until: str | None = None) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Yield what is nested in `value` with its path, down to the mappings that have the key `until`."""
    if isinstance(value, Mapping) and until not in value:
        for key, item in value.items():
            yield from _leaves(item, *path, str(key), until=until)
    elif path:
        yield path, value


def _pairs(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> dict[Any, Changes]:
    keys = dict.fromkeys([*after, *before])
    pairs = {key: {"before": before.get(key), "after": after.get(key)} for key in keys}
    return {key: pair for key, pair in pairs.items() if pair["before"] != pair["after"]}


def _snapshot(revision: str | None, data: Path, metrics: Path) -> Snapshot:
    """Return what `revision` (None: the workspace) holds."""
    commit = None if revision is None else versions.resolve(revision)
    paths = {name: data / f"{name}.csv" for name in ("clips", "labels", "rejects", "folds", "train")}
    paths |= {"metrics": metrics, "params": params.PATH}
    texts = {name: versions.read(path, commit) for name, path in paths.items()}
    if not any(texts.values()):
        raise versions.RevisionError(
            f"{revision or 'This folder'} has none of {', '.join(map(str, paths.values()))}. "
            "Run this in the folder of dvc.yaml, and name a revision that has them."
        )
    try:
        return parse(texts)
    except ValueError as error:
        name, _, why = str(error).partition(": ")
        place = f"{paths[name]} of {revision}" if revision else str(paths[name])
        raise versions.RevisionError(f"{place} cannot be read: {why}. `git log -- {paths[name]}` shows it.") from error


@click.command(epilog=EPILOG)
@click.argument("before", metavar="[A]", required=False)
@click.argument("after", metavar="[B]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON, all of them.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when anything changed.")
@click.option(
    "--data", type=click.Path(path_type=Path), default="data", show_default=True, help="Where the tables are."
)
@click.option(
    "--metrics", type=click.Path(path_type=Path), default="reports/metrics.json", show_default=True, help="The metrics."
)
@click.pass_context
def main(
    context: click.Context,
    before: str | None,
    after: str | None,
    as_json: bool,
    exit_code: bool,
    data: Path,
    metrics: Path,
) -> None:
    """Say what changed in clips, labels, metrics and params from revision A to B, as Markdown."""
    before = before or versions.branching_point()[:10]
    changes = diff(_snapshot(before, data, metrics), _snapshot(after, data, metrics))
    if as_json:
        click.echo(json.dumps(changes, indent=2, default=str))
    else:
        click.echo(markdown(changes, before=before, after=after or "the files here"))
    context.exit(1 if exit_code and changes else 0)


if __name__ == "__main__":
    main()
