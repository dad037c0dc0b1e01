"""Read what others call a data set: a folder per class, a table with any columns, a Hugging Face AudioFolder."""

import csv
import io
import json
import os
import shlex
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import click
import pandas as pd

SUFFIXES = (
    ".3gp",
    ".aac",
    ".aif",
    ".aifc",
    ".aiff",
    ".amr",
    ".au",
    ".caf",
    ".flac",
    ".m4a",
    ".mp3",
    ".mp4",
    ".oga",
    ".ogg",
    ".opus",
    ".w64",
    ".wav",
    ".webm",
    ".wma",
)
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of a Hugging Face AudioFolder
DELIMITERS = ",;\t|"


class Entry(NamedTuple):
    """A row of a listing: text as it came, not yet checked; empty: not given."""

    file: str  # relative to the folder, with `/`
    label: str
    group: str


class Columns(NamedTuple):
    """The names a foreign table gives to the fields of an `Entry`."""

    file: str | None  # None: the column that names files of the folder
    label: str | None  # None: nothing is labelled
    group: str | None  # None: no group is given


class Listing(NamedTuple):
    """What a folder and its tables say."""

    recordings: list[Entry]
    unlisted: list[str]  # audio files of the folder that its tables do not list
    other: list[str]  # what lies there and is no audio, or is hidden


def listing(source: Path, table: Path | None, columns: Columns, classes: Collection[str]) -> Listing:
    """Return what `source` holds, by `table`, or else by its metadata files, or else by its folders.

    Args:
        source: the folder with the recordings.
        table: CSV, TSV, JSONL or Parquet with a row per file, named relative to `source`.
        columns: the names of the table's columns.
        classes: a folder of such a name gives its files that label.

    Raises:
        click.ClickException: nothing there is audio, or a table or its columns cannot be read.
    """
    audio, other = walk(source)
    if not audio:
        raise click.ClickException(f"{source} holds no audio file. Known by their ends: {' '.join(SUFFIXES)}.")
    known = set(audio)
    metadata = [PurePosixPath(name) for name in other if PurePosixPath(name).name in METADATA]
    if table:
        recordings = _from_table(table, Path(), columns, source, known)
    elif metadata:
        parts = [_from_table(source / name, Path(name.parent), columns, source, known) for name in metadata]
        recordings = [recording for part in parts for recording in part]
        other = [name for name in other if PurePosixPath(name) not in metadata]
    elif columns.file or columns.group or columns.label not in {None, "label"}:
        raise click.ClickException(f"{source} holds no metadata.csv: name the table of these columns by `--labels`.")
    else:
        recordings = by_folder(audio, classes)
    return Listing(recordings, sorted(known - {recording.file for recording in recordings}), other)


def walk(source: Path) -> tuple[list[str], list[str]]:
    """Return the audio files beneath `source`, and what else lies there; a link to a folder counts as a file."""
    audio: list[str] = []
    other: list[str] = []
    for folder, folders, names in os.walk(source, onerror=_raise):
        hidden = [name for name in folders if name.startswith(".")]
        links = [name for name in folders if (Path(folder) / name).is_symlink() and name not in hidden]
        folders[:] = [name for name in folders if name not in hidden]
        for name in [*names, *hidden, *links]:
            is_audio = name in links or (Path(name).suffix.lower() in SUFFIXES and not name.startswith("."))
            (audio if is_audio else other).append((Path(folder) / name).relative_to(source).as_posix())
    return sorted(audio), sorted(other)


def by_folder(audio: list[str], classes: Collection[str]) -> list[Entry]:
    """Label files by the folder on their path that is a class, or else by their first folder; none: not labelled."""
    recordings = []
    for file in audio:
        folders = PurePosixPath(file).parts[:-1]
        labels = [name for name in folders if name in classes] or [*folders[:1], ""][:1]
        recordings += [Entry(file, label, "") for label in dict.fromkeys(labels)]
    return recordings


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV (delimited by `,`, `;`, `|` or tab), JSONL or Parquet table, as text; missing is empty.

    Raises:
        click.ClickException: it is no such table, or it has no row.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            rows = _from_parquet(path)
        else:
            text = path.read_bytes().decode("utf-8-sig")
            rows = _from_jsonl(text) if suffix in {".jsonl", ".ndjson"} else _from_csv(text)
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is not UTF-8 ({error.reason}). Save it as CSV in UTF-8.") from error
    except (ValueError, csv.Error, OSError) as error:
        raise click.ClickException(f"{path} cannot be read as {suffix or '.csv'}: {error}. Mend it.") from error
    if not rows:
        raise click.ClickException(f"{path} has no row. It needs a row per file, in CSV beneath a header.")
    return rows


def _from_csv(text: str) -> list[dict[str, str]]:
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = next(reader, [])
    named = [name for name in names if name]  # spreadsheets leave empty columns behind
    if len(set(named)) < len(named):
        raise ValueError(f"its header {named} names a column twice")
    rows = []
    for cells in filter(None, reader):
        if len(cells) != len(names):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the header {len(names)}")
        rows.append({name: cell for name, cell in zip(names, cells, strict=True) if name})
    return rows


def _from_jsonl(text: str) -> list[dict[str, str]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append({name: "" if cell is None else str(cell) for name, cell in json.loads(line).items()})
            except (json.JSONDecodeError, AttributeError) as error:
                raise ValueError(f"line {number} is no JSON object") from error
    return rows


def _from_parquet(path: Path) -> list[dict[str, str]]:
    frame = pd.read_parquet(path).convert_dtypes()  # whole numbers stay whole beside missing ones
    return [
        {str(name): text for name, text in row.items()} for row in frame.astype("string").fillna("").to_dict("records")
    ]


def _from_table(path: Path, base: Path, columns: Columns, source: Path, audio: set[str]) -> list[Entry]:
    rows = read_table(path)
    file = columns.file or _file_column(rows, path, base, source, audio)
    named = {"--file-column": file, "--label-column": columns.label, "--group-column": columns.group}
    for option, name in named.items():
        if name and not any(name in row for row in rows):
            raise click.ClickException(f"{path} has no column {name!r}. Choose by `{option}` from {list(rows[0])}.")
    return [
        Entry(
            _relative(row.get(file, ""), base, source),
            row.get(columns.label, "") if columns.label else "",
            row.get(columns.group, "") if columns.group else "",
        )
        for row in rows
    ]


def _file_column(rows: list[dict[str, str]], path: Path, base: Path, source: Path, audio: set[str]) -> str:
    """Return the one column of which a cell is an audio file of `source`."""
    found = list(dict.fromkeys(name for row in rows for name in row if _relative(row[name], base, source) in audio))
    if len(found) == 1:
        return found[0]
    if found:
        raise click.ClickException(
            f"{path}: the columns {found} all name files of {source}. "
            f"Choose one, for instance `--file-column {shlex.quote(found[0])}`."
        )
    first = ", ".join(f"{name}={cell!r}" for name, cell in rows[0].items())
    raise click.ClickException(
        f"{path}: no column names files of {source / base}. Its first row is {first}; the folder holds {min(audio)!r}. "
        "Give as SOURCE the folder from which the table names the files, or correct the names."
    )


def _relative(cell: str, base: Path, source: Path) -> str:
    """Return the file a cell names, relative to `source` where it lies there; an empty cell stays empty."""
    file = PurePosixPath(cell.replace("\\", "/"))
    if file.is_absolute():
        home = next((home for home in (source.absolute(), source.resolve()) if file.is_relative_to(home)), None)
        return str(file.relative_to(home) if home else file)
    return str(PurePosixPath(base) / file) if cell else ""


def _raise(error: OSError) -> None:
    raise click.ClickException(f"{error.filename} cannot be read ({error.strerror}). Mend its permissions.") from error
