"""The tables, metrics and params of one revision, read leniently: an older one may have had other columns."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import yaml
from numpy.typing import NDArray

TEST = "-1"  # the fold that models are judged by, where there is one
ANSWER = ("annotation_id", "annotation_utc")  # of which a row of reviews is a version; older tables have neither
HEADER = 100_000  # bytes, more than one has
REVIEWS = ("clip_id", "annotator", "reviewed_utc", "answer", "seconds", "shown", "note", *ANSWER)
REJECTS = ("file", "start_s", "label", "reason", "detail")
COLUMNS = {
    "clips": ("clip_id", "file", "label", "group", "duration_s"),
    "labels": ("clip_id", "label", "origin"),
    "groups": ("clip_id", "group"),
    "folds": ("clip_id", "fold"),
    "train": ("clip_id", "times", "why"),
    "reviews": REVIEWS,
    "rejects": REJECTS,
}


@dataclass(frozen=True)
class Snapshot:
    """What one revision holds; what it lacks is empty. All cells but `duration_s` and probabilities are text."""

    clips: pd.DataFrame  # by clip_id: file, given, label, origin, group, fold, use, duration_s
    reviews: pd.DataFrame  # columns as in `tables.REVIEWS`
    rejects: pd.DataFrame  # columns as in `tables.REJECTS`
    flags: pd.DataFrame  # columns as in `tables.FLAGS`
    predictions: Mapping[str, pd.DataFrame]  # by model, `scores` among them: clip_id, and a probability a class
    metrics: Mapping[str, Any]  # by model, nested
    params: Mapping[str, Any]  # by section, nested
    lacks: frozenset[str]  # tables, and columns as in `clips.group`, that are not there: nothing can be said of them


def parse(texts: Mapping[str, bytes | None]) -> Snapshot:
    """Return what these files say: their content by their name without ending; None, there is no such file.

    Raises:
        ValueError: a content is not the CSV, JSON or YAML it should be; the message begins with its name.
    """
    models = {name.rpartition("/")[2]: name for name in texts if name == "scores" or name.startswith("predictions/")}
    return Snapshot(
        clips=_clips(texts),
        reviews=_reviews(texts),
        rejects=_table(texts, "rejects", REJECTS, key=("file", "start_s", "reason")),
        flags=_table(texts, "flags", ("clip_id", "reason", "score", "suggested"), key=("clip_id", "reason")),
        predictions={model: _probabilities(texts, name) for model, name in sorted(models.items())},
        metrics=_metrics(texts),
        params=_nested(texts, "params", yaml.safe_load),
        lacks=frozenset(_lacking(texts)),
    )


def places(ids: pd.Index, among: pd.Index) -> NDArray[np.int64]:
    """Return where each of `ids` is in `among`, -1: it is not there. Pandas takes three times as long for a million."""
    found = pyarrow.compute.index_in(pa.array(ids, pa.string()), value_set=pa.array(among, pa.string()))
    return np.asarray(found.fill_null(-1), dtype=np.int64)


def _lacking(texts: Mapping[str, bytes | None]) -> Iterator[str]:
    for name, columns in COLUMNS.items():
        content = texts.get(name) or b""
        header = next(csv.reader([content[:HEADER].partition(b"\n")[0].decode(errors="replace")]), [])
        missing = [column for column in columns if column not in header]
        yield from (f"{name}.{column}" for column in missing) if header else (name,)
    yield from (name for name in ("metrics",) if not texts.get(name))


def _clips(texts: Mapping[str, bytes | None]) -> pd.DataFrame:
    clips = _table(texts, "clips", COLUMNS["clips"]).set_index("clip_id")
    clips = clips.rename(columns={"label": "given"})

    def beside(name: str) -> pd.DataFrame:
        table = _table(texts, name, COLUMNS[name]).set_index("clip_id")
        if table.empty:  # to look up a million clips in nothing takes a second
            return pd.DataFrame(index=clips.index, columns=list(table.columns), dtype="str")
        if table.index.equals(clips.index):
            return table
        return table.reset_index(drop=True).reindex(places(clips.index, table.index)).set_axis(clips.index)

    labels, train, groups = (beside(name) for name in ("labels", "train", "groups"))
    used = ~train["times"].isin(["0", ""]) & train["times"].notna()
    return clips.assign(
        label=labels["label"].where(labels["label"].notna(), clips["given"]),
        origin=labels["origin"].fillna(""),
        group=groups["group"].where(groups["group"].notna(), clips["group"]),
        fold=beside("folds")["fold"].fillna(""),
        use=train["why"].fillna("").mask(used, "used"),
        duration_s=_numbers(clips["duration_s"], "clips"),
    )


def _reviews(texts: Mapping[str, bytes | None]) -> pd.DataFrame:
    """Return people's answers; two versions of one second are told apart where the table can tell them apart."""
    reviews = _table(texts, "reviews", REVIEWS, key=REVIEWS[:3], unique=(*REVIEWS[:3], *ANSWER[:1]))
    when = pd.to_datetime(reviews["reviewed_utc"], utc=True, format="ISO8601", errors="coerce")
    if len(odd := reviews.loc[when.isna(), "reviewed_utc"]):
        raise ValueError(f"reviews: `reviewed_utc` is {odd.iloc[0]!r}, not a time")
    return reviews


def _metrics(texts: Mapping[str, bytes | None]) -> Mapping[str, Any]:
    """Return the metrics, with the worst case of changed clips among those of each model."""
    metrics, shifts = (_nested(texts, name, _json) for name in ("metrics", "shifts"))
    worst = {
        model: found["worst"] for model, found in shifts.items() if isinstance(found, Mapping) and "worst" in found
    }
    measured = {model: metrics.get(model, {}) for model in worst}
    return {
        **metrics,
        **{model: {**of, "worst_case": worst[model]} for model, of in measured.items() if isinstance(of, Mapping)},
    }


def _probabilities(texts: Mapping[str, bytes | None], name: str) -> pd.DataFrame:
    long = _table(texts, name, ("clip_id", "label", "probability"), key=("clip_id", "label"))
    return long.assign(probability=_numbers(long["probability"], name)).pivot_table(
        index="clip_id", columns="label", values="probability"
    )


def _table(
    texts: Mapping[str, bytes | None],
    name: str,
    columns: Sequence[str],
    *,
    key: Sequence[str] = ("clip_id",),
    unique: Sequence[str] = (),
) -> pd.DataFrame:
    """Return these columns as text, empty where the file has no such column, sorted by `key`, or by `unique`."""
    content = texts.get(name)
    if not content:
        return pd.DataFrame({column: pd.Series(dtype="str") for column in columns})
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(content if content.endswith(b"\n") else content + b"\n"),  # a bare header is a table too
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=b'"' in content),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns,
                include_missing_columns=True,
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"{name}: {error}") from error
    if missing := [column for column in key if len(table) and table[column].null_count]:
        raise ValueError(f"{name}: the table has no column {missing[0]!r}")
    frame = table.to_pandas().fillna("").astype("str")
    return _unique(frame, name, list(unique or key))


def _unique(frame: pd.DataFrame, name: str, key: list[str]) -> pd.DataFrame:
    if _ascending(frame[key]):  # as earmark writes it: to hash and sort takes seconds
        return frame
    if len(twice := frame.loc[frame.duplicated(key), key]):
        raise ValueError(f"{name}: {'+'.join(key)} {tuple(twice.iloc[0])} stands twice")
    return frame.sort_values(key, ignore_index=True)


def _ascending(key: pd.DataFrame) -> bool:
    """Return whether each row comes after the one before."""
    ascending = np.zeros(max(len(key) - 1, 0), dtype=bool)
    for name in reversed(key.columns):
        cells = pa.array(key[name], pa.string())
        earlier, later = cells[:-1], cells[1:]
        ascending &= np.asarray(pyarrow.compute.equal(earlier, later))
        ascending |= np.asarray(pyarrow.compute.less(earlier, later))
    return bool(ascending.all())


def _numbers(cells: pd.Series, name: str) -> pd.Series:
    try:
        numbers: pd.Series = pa.array(cells.replace("", "0"), pa.string()).cast(pa.float64()).to_pandas()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{name}: `{cells.name}`: {error}") from error
    if len(odd := cells[~np.isfinite(numbers.to_numpy())]):
        raise ValueError(f"{name}: `{cells.name}` is {odd.iloc[0]!r}, not a number")
    return numbers.set_axis(cells.index)


def _nested(texts: Mapping[str, bytes | None], name: str, load: Callable[[bytes], Any]) -> Mapping[str, Any]:
    try:
        value = load(texts.get(name) or b"{}")
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected keys with values, not {value!r:.40}")
    return value


def _json(text: bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
