"""The columns, types, keys and units of every table; read, check, write.

Tables are CSV in UTF-8 with LF line ends and a header, sorted by key, floats as `%.6g`: the same table is the same
bytes. Text columns are never missing: an empty cell is the empty string. An empty cell of a float column is NaN.
"""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import numpy as np
import pandas as pd

from curation import files

SHOWN = 3  # how many offenders an error message names


@dataclass(frozen=True)
class Column:
    """A column: its type, what it means, and, where they are few, the values it may have."""

    kind: Literal["text", "int", "float", "bool"]
    meaning: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: its name, its columns in order, and those that identify a row."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]

    def empty(self) -> pd.DataFrame:
        """Return the table without rows."""
        return _typed(pd.DataFrame({name: [] for name in self.columns}, dtype=object), self, "")


_CLIP = Column("text", "16 hex digits: hash of the decoded recording and of the clip's start")
_LABEL = Column("text", "a class of `data.classes`; empty: not labelled")
_PROBABILITY = Column("float", "probability of `label`, out of sample; sums to 1 a clip")

RAW = Table(
    "raw.csv",
    ("file",),
    {
        "file": Column("text", "path of the recording relative to data/raw, with `/`"),
        "label": Column("text", "the class as it came (the given label); empty: not labelled yet"),
        "group": Column("text", "recording, speaker, site or session: never split; empty: the file is its own group"),
    },
)
REVIEWS = Table(
    "reviews.csv",
    ("clip_id", "annotator", "reviewed_utc", "annotation_id"),
    {
        "clip_id": _CLIP,
        "annotator": Column("text", "who answered, by a stable id"),
        "reviewed_utc": Column("text", "when, ISO 8601 in UTC"),
        "answer": Column(
            "text", "a class, `unsure`, `bad_audio` or `none` (none of the classes); `skipped`; `deleted`: taken back"
        ),
        "seconds": Column("float", "time the annotator spent on it, in s"),
        "shown": Column("text", "what the annotator saw", ("blind", "hinted", "unknown")),
        "note": Column("text", "free text"),
        "task_id": Column("text", "the task on the labelling server; empty: typed in by hand"),
        "task_utc": Column("text", "when the task was made; numbers are given again, with the time they are unique"),
        "annotation_id": Column("text", "the answer on the labelling server, the same for all its versions"),
        "annotation_utc": Column("text", "when it was first given"),
        "overwrote": Column("text", "whose answer the annotator changed; empty: their own"),
        "asked": Column(
            "text", "why the clip was asked, a reason of queue.csv as the answer came home; empty: not known"
        ),
    },
)
UNREAD = Table(
    "unread.csv",
    ("task_id", "annotation_id", "reviewed_utc", "raw"),
    {
        "task_id": Column("text", "the task on the labelling server"),
        "annotation_id": Column("text", "the answer on the labelling server"),
        "reviewed_utc": Column("text", "when, ISO 8601 in UTC"),
        "clip_id": Column("text", "the clip, as the task names it"),
        "annotator": Column("text", "who answered, by a stable id"),
        "reason": Column("text", "why it is not in reviews.csv", ("clip", "answer", "malformed", "deleted")),
        "detail": Column("text", "what was found, one sentence"),
        "raw": Column("text", "the answer in its task as JSON, to be read again by every pull"),
    },
)
ANNOTATORS = Table(
    "annotators.csv",
    ("annotator",),
    {"annotator": Column("text", "the stable id"), "email": Column("text", "the address on the labelling server")},
)
SEAL = Table(
    "seal.csv",
    ("number",),
    {
        "number": Column("int", "from 0; the last seal counts, those before it are history"),
        "date": Column("text", "when it was sealed, in UTC"),
        "clips": Column("int", "clips of the test fold"),
        "sha256": Column("text", "hash of their ids and labels"),
        "reason": Column("text", "why the test set is as it is"),
    },
)
CLIPS = Table(
    "clips.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "file": Column("text", "the recording, relative to data/raw"),
        "start_s": Column("float", "where the clip starts in the recording, in s"),
        "duration_s": Column("float", "how much of the clip is recorded sound, in s"),
        "padded_s": Column("float", "how much of the clip is appended zeros, in s"),
        "label": Column("text", "the given label; empty: not labelled"),
        "group": Column("text", "the given group, or the file"),
        "source_s": Column("float", "length of the decoded recording, in s"),
        "header_s": Column("float", "length of the recording by its header, in s; empty: the header does not say"),
        "rate_hz": Column("int", "sample rate of the recording, in Hz"),
        "channels": Column("int", "channels of the recording"),
        "codec": Column("text", "container and encoding of the recording"),
        "dead_channels": Column("int", "channels of the recording that are digital silence while another is not"),
        "inverted": Column("bool", "two channels of the recording cancel each other (one has its polarity reversed)"),
        "peak_dbfs": Column("float", "largest absolute sample, in dB of full scale"),
        "rms_dbfs": Column("float", "root mean square, in dB of full scale"),
        "loudness_lufs": Column("float", "integrated loudness after ITU-R BS.1770-4; empty: below its gate"),
        "dc_offset": Column("float", "where the sound rests: median of the means of 0.1 s, full scale 1"),
        "clipped_share": Column("float", "share of samples in flat runs at the recording's peak"),
        "silent_share": Column("float", "share of the sound in frames below the silence threshold"),
        "leading_silence_s": Column("float", "silence before the first sound, in s"),
        "trailing_silence_s": Column("float", "silence after the last sound, in s, without padding"),
        "snr_db": Column("float", "loud against quiet frames, an estimate of signal to noise, in dB"),
        "bandwidth_hz": Column(
            "float", "where the clip's spectrum ends, in Hz; far below `data.rate_hz`/2: upsampled or lossy"
        ),
    },
)
REJECTS = Table(
    "rejects.csv",
    ("file", "start_s"),
    {
        "file": Column("text", "the recording, relative to data/raw"),
        "start_s": Column("float", "start of the rejected window, in s; empty: the recording as a whole"),
        "label": Column("text", "the given label"),
        "reason": Column("text", "why it is no clip, one word"),
        "detail": Column("text", "what was found and where to look, one sentence"),
    },
)
GROUPS = Table(
    "groups.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "group": Column("text", "what must not be split: given groups joined by near-duplicates"),
        "why": Column("text", "`given`, or the clip_id of the near-duplicate that joined it"),
    },
)
FOLDS = Table(
    "folds.csv",
    ("clip_id",),
    {"clip_id": _CLIP, "fold": Column("int", "-1: test, never trained on; 0 to k-1: cross-validation")},
)
LABELS = Table(
    "labels.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "label": _LABEL,
        "origin": Column("text", "where the label comes from", ("given", "review", "none")),
        "confidence": Column("float", "share of annotators who gave this label; empty: nobody was asked"),
        "answers": Column("int", "how many annotators answered"),
    },
)
SCORES = Table("scores.csv", ("clip_id", "label"), {"clip_id": _CLIP, "label": _LABEL, "probability": _PROBABILITY})
PREDICTIONS = Table("predictions", SCORES.key, SCORES.columns)
FLAGS = Table(
    "flags.csv",
    ("clip_id", "reason"),
    {
        "clip_id": _CLIP,
        "reason": Column("text", "why the clip is doubted, one word"),
        "score": Column("float", "how bad, 0 worst, 1 best; comparable within one reason"),
        "label": Column("text", "the label doubted"),
        "suggested": Column("text", "the class the scores point to; empty: no suggestion"),
    },
)
SHORTCUTS = Table(
    "shortcuts.csv",
    ("measure",),
    {
        "measure": Column("text", "what is known of the recording; `all`: everything together"),
        "auc": Column("float", "area under the ROC curve of the label predicted from it alone, held out by group"),
        "chance_auc": Column("float", "what the luckiest measure stays below in 95 % of shuffles of the labels"),
        "where": Column("text", "its most telling values"),
        "label": Column("text", "the class these values speak for"),
        "clips": Column("int", "how many labelled clips have these values"),
        "share": Column("float", "how many of them are of this class"),
    },
)
NUISANCE = Table(
    "nuisance.csv",
    SCORES.key,
    {**SCORES.columns}
    | {
        "probability": Column("float", "by all measures of the recording together, held out by group; sums to 1 a clip")
    },
)
ABLATIONS = Table(
    "ablations.csv",
    ("what", "share"),
    {
        "what": Column("text", "what was changed", ("groups", "labels")),
        "share": Column("float", "share of the groups that models learned from, or of the labels that were replaced"),
        "clips": Column("int", "how many clips there are when nothing is taken away"),
        "groups": Column("int", "how many groups they are in"),
        "balanced_accuracy": Column("float", "of the scoring model, held out by group"),
        "low": Column("float", "lower end of its 95 % interval"),
        "high": Column("float", "upper end"),
        "cost": Column("float", "how much less this is than with all groups and the labels as they are"),
        "cost_low": Column("float", "lower end of its 95 % interval"),
        "cost_high": Column("float", "upper end"),
    },
)
REPEATS = Table(
    "repeats.csv",
    ("repeat",),
    {
        "repeat": Column("int", "number of the division into folds; 0: that of folds.csv"),
        "clips": Column("int", "how many clips the figures rest on"),
        "accuracy": Column("float", "of the support vector machines, held out by group"),
        "balanced_accuracy": Column("float", "mean over the classes of the share found"),
        "mcc": Column("float", "Matthews' correlation coefficient"),
        "roc_auc": Column("float", "area under the ROC curve, one class against the rest, mean of the classes"),
    },
)
QUEUE = Table(
    "queue.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "rank": Column("int", "order of listening, from 1"),
        "reason": Column("text", "why it is asked", ("suspect", "uncertain", "minority", "unlabelled", "audit")),
    },
)
SENT = Table(
    "sent.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "project_id": Column("int", "the project on the labelling server"),
        "task_id": Column("int", "the task on the labelling server"),
    },
)
TRAIN = Table(
    "train.csv",
    ("clip_id",),
    {
        "clip_id": _CLIP,
        "label": _LABEL,
        "fold": Column("int", "the clip's fold"),
        "times": Column("int", "how often the clip is drawn in an epoch; 0: left out"),
        "weight": Column("float", "weight of the clip in the loss"),
        "why": Column("text", "`kept`, `repeated`, or why it is left out"),
    },
)
SHIFTS = Table(
    "shifts.csv",
    ("model", "axis", "severity", "source"),
    {
        "model": Column("text", "the model"),
        "axis": Column(
            "text",
            "what was done to the clips, with the unit of `severity`; `source`: nothing, but only those of one source; "
            "`new_source`: the same, by a model trained without this source",
            (
                "clean",
                "gain_db",
                "snr_db",
                "mp3_kbps",
                "opus_kbps",
                "bandwidth_hz",
                "reverberation_s",
                "crop_s",
                "source",
                "new_source",
            ),
        ),
        "severity": Column("float", "how much of it; empty: nothing was done"),
        "source": Column("text", "a top folder of data/raw, with `/`, or a given group; empty: all judged clips"),
        "clips": Column("int", "how many clips the figures rest on"),
        "balanced_accuracy": Column("float", "mean over the classes of the share found"),
        "low": Column("float", "lower end of its 95 % interval; empty: too few groups"),
        "high": Column("float", "upper end"),
        "roc_auc": Column("float", "area under the ROC curve, one class against the rest, mean of the classes"),
        "change": Column(
            "float",
            "balanced accuracy minus that of the same clips unchanged; of `new_source`, minus that of the model as "
            "trained; empty for `source`",
        ),
        "change_low": Column("float", "lower end of its 95 % interval, both from the same resamples"),
        "change_high": Column("float", "upper end"),
    },
)
TRUTH = Table(
    "sample_truth.csv",
    ("file", "fault"),
    {
        "file": Column("text", "a recording of the demonstration corpus, relative to data/raw"),
        "fault": Column("text", "what was planted, named as its finder names it"),
        "label": Column("text", "the class that is right; `none`: none of them"),
        "twin": Column("text", "the recording it is a copy of; empty: no copy"),
        "detail": Column("text", "how it was done"),
    },
)


def read(path: Path, table: Table) -> pd.DataFrame:
    """Return the table in the file `path`, typed and checked.

    Raises:
        click.ClickException: the file is no such table; the message names the first faults and the next step.
    """
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", engine="c")
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. `dvc repro` makes the tables in order.") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is not UTF-8 ({error.reason}). Save it as CSV in UTF-8.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise click.ClickException(f"{path} is not a CSV table: {error}") from error
    if not isinstance(cells.index, pd.RangeIndex):
        raise click.ClickException(f"{path} is not a CSV table: rows have more cells than the header. Quote commas.")
    _check_columns(cells.columns, table, path)
    if (cells[cells.columns[-1]] == "").any():  # so may be what pandas appended to a row with fewer cells
        _check_cells(path)
    return check(_typed(cells, table, path), table, path)


def read_or_empty(path: Path, table: Table) -> pd.DataFrame:
    """Return the table in the file `path`, one without rows when there is no such file."""
    return read(path, table) if path.exists() else table.empty()


def write(frame: pd.DataFrame, path: Path, table: Table) -> None:
    """Check `frame` and write it sorted by key, whole or not at all."""
    _check_columns(frame.columns, table, path)
    ordered = check(_typed(frame, table, path), table, path)
    texts = [ordered[name] for name, column in table.columns.items() if column.kind == "text"]
    returns = any(cells.str.contains("\r", regex=False).any() for cells in texts)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL  # the latter leaves a lone \r bare
    with files.replacing(path) as temporary:
        ordered.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n", quoting=quoting)


def check(frame: pd.DataFrame, table: Table, path: Path | str) -> pd.DataFrame:
    """Return `frame` sorted by key, or refuse duplicate keys and values that are not allowed."""
    twice = frame.loc[frame.duplicated(list(table.key)), list(table.key)]
    if len(twice):
        raise click.ClickException(f"{path}: {'+'.join(table.key)} must be unique, but {_few(twice)} stands twice.")
    for name, column in table.columns.items():
        if column.choices and len(odd := frame.loc[~frame[name].isin(column.choices), name]):
            raise click.ClickException(f"{path}: `{name}` must be one of {list(column.choices)}, not {_few(odd)}.")
    return frame.sort_values(list(table.key), ignore_index=True, kind="stable")


def check_labels(labels: pd.Series, classes: Collection[str], path: Path | str) -> None:
    """Refuse a label that is neither one of `classes` nor empty."""
    odd = labels[~labels.isin({*classes, ""})].drop_duplicates()
    if len(odd):
        raise click.ClickException(
            f"{path}: {_few(odd)} not in `data.classes` of params.yaml {list(classes)}. "
            "Correct the labels, or add the class there."
        )


def _check_columns(names: pd.Index, table: Table, path: Path | str) -> None:
    missing = [name for name in table.columns if name not in names]
    extra = [name for name in names if name not in table.columns]
    if missing or extra:
        lone = str(names[0]) if len(names) == 1 else ""
        other = next((repr(mark) for mark in ";\t|" if mark in lone), None)
        hint = f" It seems to be separated by {other}; earmark wants commas." if other else ""
        raise click.ClickException(
            f"{path}: the columns must be {list(table.columns)}; missing {missing}, not expected {extra}.{hint}"
        )


def _check_cells(path: Path) -> None:
    csv.field_size_limit(2**31 - 1)  # pandas has no limit
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        lengths = ((len(row), reader.line_num) for row in reader if row)
        names, _ = next(lengths)
        short = next(((cells, line) for cells, line in lengths if cells < names), None)
    if short:
        raise click.ClickException(
            f"{path}: line {short[1]} has {short[0]} cells, the header {names}. Is the file cut off? Mend that line."
        )


def _typed(frame: pd.DataFrame, table: Table, path: Path | str) -> pd.DataFrame:
    return pd.DataFrame({name: _cast(frame[name], name, column, path) for name, column in table.columns.items()})


def _cast(cells: pd.Series, name: str, column: Column, path: Path | str) -> pd.Series:
    if column.kind == "text":
        return cells.fillna("").astype("str")
    if column.kind == "bool":
        truth = cells.astype("str").map({"True": 1.0, "False": 0.0})
        wrong = truth.isna()
    else:
        truth = pd.to_numeric(cells, errors="coerce").astype("float64")
        empty = cells.isna() | (cells.astype("str") == "")
        wrong = truth.isin([np.inf, -np.inf]) | (truth.isna() & ~empty)
        if column.kind == "int":
            wrong |= truth % 1 != 0
    if wrong.any():
        raise click.ClickException(f"{path}: `{name}` must be {column.kind}, not {_few(cells[wrong])}.")
    return truth if column.kind == "float" else truth.astype("bool" if column.kind == "bool" else "int64")


def _few(rows: pd.DataFrame | pd.Series) -> str:
    frame = rows.to_frame() if isinstance(rows, pd.Series) else rows
    values = [row[0] if len(row) == 1 else tuple(row) for row in frame.to_numpy().tolist()]
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(repr, values[:SHOWN])) + more
