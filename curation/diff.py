"""Say what changed in data, metrics and params between two revisions."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.agreement import agreement
from curation.judged import exchanged
from curation.snapshot import REJECTS, REVIEWS, TEST, Snapshot, places
from curation.verdict import Changes

NO_SIZE: dict[str, float | None] = {"clips": 0, "minutes": 0.0, "groups": 0}


def diff(before: Snapshot, after: Snapshot) -> Changes:
    """Return what changed, as JSON: a key for each kind of change, and none where nothing changed.

    `diff(b, a)` is `diff(a, b)` with `added` and `removed`, `before` and `after`, and the sign of `difference`
    swapped. Files of clips are named as in `after`. docs/review.md describes every key.
    """
    place = places(after.clips.index, before.clips.index)
    gone = np.setdiff1d(np.arange(len(before.clips)), place)
    old, new = before.clips.iloc[place[place >= 0]], after.clips[place >= 0]  # the clips that both have
    lacks = before.lacks | after.lacks
    shared = [column for column in REVIEWS if f"reviews.{column}" not in lacks]
    changes: Changes = {
        "clips": _present({"added": _listed(after.clips[place < 0]), "removed": _listed(before.clips.iloc[gone])}),
        "labels": _labels(old, new, before.reviews, after.reviews, known=_known(lacks, "labels", "origin")),
        "answers": _only(before.reviews, after.reviews, shared),
        "agreement": _agreement(before, after),
        "rejects": _rejects(before, after),
        "balance": _balance(before.clips, after.clips, lacks),
        "files": _moved(old, new, "file") if _known(lacks, "clips", "file") else [],
        "groups": _moved(old, new, "group") if _grouped(lacks) else [],
        "folds": _moved(old, new, "fold") if _known(lacks, "folds", "fold") else [],
        "train": _moved(old, new, "use") if _known(lacks, "train", "times", "why") else [],
        "judged": _present(exchanged(before, after)),
        "metrics": _metrics(before, after),
        "params": _pairs(_settings(before), _settings(after)),
    }
    return _present(changes)


def _known(lacks: Collection[str], table: str, *columns: str) -> bool:
    return not {table, *(f"{table}.{column}" for column in columns)} & {*lacks}


def _grouped(lacks: Collection[str]) -> bool:
    return _known(lacks, "clips", "group") or _known(lacks, "groups", "group")


def _listed(clips: pd.DataFrame) -> list[Changes]:
    return records(clips[["file", "label", "group", "fold"]].reset_index())


def records(table: pd.DataFrame) -> list[Changes]:
    """Return the rows of a table as mappings."""
    columns = (table[name].tolist() for name in table.columns)
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _present(found: Changes) -> Changes:
    return {key: rows for key, rows in found.items() if rows}


def _only(before: pd.DataFrame, after: pd.DataFrame, key: list[str]) -> Changes:
    """Return the rows whose `key` one of the tables has alone."""
    old, new = before.set_index(key).index, after.set_index(key).index
    return _present(
        {
            "added": records(after[old.get_indexer(new) < 0].sort_values(key)),
            "removed": records(before[new.get_indexer(old) < 0].sort_values(key)),
        }
    )


def _rejects(before: Snapshot, after: Snapshot) -> Changes:
    """Return the rows that one side has alone; nothing where a side has clips and no table of what gave none."""
    if any("rejects" in one.lacks and "clips" not in one.lacks for one in (before, after)):
        return {}
    lacks = before.lacks | after.lacks
    return _only(before.rejects, after.rejects, [column for column in REJECTS if f"rejects.{column}" not in lacks])


def _labels(old: pd.DataFrame, new: pd.DataFrame, *reviews: pd.DataFrame, known: bool) -> list[Changes]:
    """Return the clips whose label or, where it is `known`, its origin changed, with all answers to them."""
    columns = ["label", "origin"]
    changed = old["label"] != new["label"]
    if known:
        changed |= old["origin"] != new["origin"]
    every = pd.concat(reviews).drop_duplicates()
    asked = every[every["clip_id"].isin(list(new.index[changed]))].sort_values(list(REVIEWS))
    answers: dict[str, list[Changes]] = {}
    for answer in records(asked):
        answers.setdefault(answer["clip_id"], []).append(answer)
    named = records(new.loc[changed, ["file", "fold"]].reset_index())
    states = (records(one.loc[changed, columns]) for one in (old, new))
    return [
        {**clip, "before": was, "after": now, "answers": answers.get(clip["clip_id"], [])}
        for clip, was, now in zip(named, *states, strict=True)
    ]


def _agreement(before: Snapshot, after: Snapshot) -> Changes:
    found = {when: agreement(one.reviews, one.clips["given"]) for when, one in (("before", before), ("after", after))}
    return dict(found) if found["before"] != found["after"] else {}


def _moved(old: pd.DataFrame, new: pd.DataFrame, column: str) -> list[Changes]:
    """Return the clips of both revisions whose `column` changed."""
    moved = new["file"].to_frame().assign(before=old[column], after=new[column])
    return records(moved[old[column] != new[column]].reset_index())


def _balance(before: pd.DataFrame, after: pd.DataFrame, lacks: Collection[str]) -> list[Changes]:
    """Return clips, minutes and groups by split and label, all of them when one of them changed.

    What a side does not know is None on both, and without folds there is one split.
    """
    unknown = {
        "minutes": not _known(lacks, "clips", "duration_s"),
        "groups": not _grouped(lacks),
    }
    told = dict.fromkeys((name for name, one in unknown.items() if one and "clips" not in lacks))
    folds = "clips" in lacks or _known(lacks, "folds", "fold")
    old, new = (_sizes(clips if folds else clips.assign(fold="")) for clips in (before, after))
    old, new = ({key: sizes | told for key, sizes in one.items()} for one in (old, new))
    return [
        {
            "split": split if folds else "all",
            "label": label,
            "before": old.get((split, label), NO_SIZE | told),
            "after": new.get((split, label), NO_SIZE | told),
        }
        for split, label in sorted(old.keys() | new if old != new else ())
    ]


def _sizes(clips: pd.DataFrame) -> dict[tuple[str, str], dict[str, float | None]]:
    sizes = (
        pa.table(
            {
                "test": pa.array(clips["fold"] == TEST),
                "label": pa.array(clips["label"]),
                "duration_s": pa.array(clips["duration_s"]),
                "group": pd.factorize(clips["group"])[0],  # numbers are counted faster than texts
            }
        )
        .group_by(["test", "label"], use_threads=False)  # a sum of floats depends on its order
        .aggregate([("group", "count"), ("duration_s", "sum"), ("group", "count_distinct")])
    )
    found = (sizes[name].to_pylist() for name in sizes.column_names)
    return {
        ("test" if test else "training", label): {"clips": n, "minutes": round(seconds / 60, 3), "groups": groups}
        for test, label, n, seconds, groups in zip(*found, strict=True)
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
