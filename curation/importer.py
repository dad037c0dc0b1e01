"""Bring recordings and their labels into data/raw and data/raw.csv: all of them or, when anything is wrong, none."""

import filecmp
import os
import shlex
from collections.abc import Iterable, Mapping, Sized
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import click
import pandas as pd

from curation import faults, params, tables, versions
from curation.listing import Columns, Entry, Listing, listing
from curation.placing import placed

EPILOG = """\b
SOURCE is one of
  a folder per class         SOURCE/<class>/*.wav
  a Hugging Face AudioFolder SOURCE/metadata.csv or .jsonl, also in sub-folders
  any folder, with a table   CSV, TSV, JSONL or Parquet: --labels TABLE
  recordings not labelled    a flat folder, or any with --unlabelled

\b
Examples:
  earmark import recordings/
  earmark import audio/ --labels clips.csv --label-column event \\
      --group-column speaker --map "Dog bark=harmful" --map Rain=safe
  earmark import new/ --unlabelled --into 2026-11

\b
Everything is checked first; when anything is wrong, nothing changes. A second
import adds to the first; the same one again adds nothing. DVC makes the files
in the folder of recordings read-only when it links them to its cache; the
files of SOURCE stay as they are.

\b
Exit status: 0 imported, or there already; 1 refused; 2 wrong command line;
130 interrupted.
"""


class Plan(NamedTuple):
    """What an import adds to a folder of recordings and to their table."""

    rows: pd.DataFrame  # of tables.RAW, those that are not in it
    files: Mapping[str, Path]  # by the name it gets in the folder: the file to bring in
    size_bytes: int


def plan(
    found: Iterable[Entry], source: Path, into: PurePosixPath, raw: Path, known: pd.DataFrame
) -> tuple[Plan, list[faults.Fault]]:
    """Compare recordings that have no faults of their own with what is there.

    Args:
        found: what is to be imported, `file` relative to `source`.
        source: the folder to import from.
        into: where in `raw` the files go.
        raw: the folder of recordings.
        known: the table of recordings, `tables.RAW`.

    Returns:
        What is to be added, and what forbids it.
    """
    before = {file: (label, group) for file, label, group in known.itertuples(index=False)}
    wrong = [("gone", file) for file in before if not (raw / file).is_file()]
    rows, files = [], {}
    for file, label, group in found:
        target = str(into / file)
        if not os.path.lexists(raw / target):
            files[target] = source / file
        elif not ((raw / target).is_file() and filecmp.cmp(source / file, raw / target, shallow=False)):
            wrong.append(("clash", target))
        if target not in before:
            rows.append((target, label, group))
        elif before[target] != (label, group):
            wrong.append(("differs", target))
    size_bytes = sum(path.stat().st_size for path in files.values())
    return Plan(pd.DataFrame(rows, columns=list(tables.RAW.columns), dtype="str"), files, size_bytes), wrong


def recordings(table: Path) -> pd.DataFrame:
    """Return the table of recordings, empty before the first import."""
    return tables.read_or_empty(table, tables.RAW)


def summary(additions: Plan, found: Listing, source: Path, raw: Path, table: Path, *, tracked: bool) -> str:
    """Return what was imported, what was left, and the commands that come next."""
    rows = additions.rows
    if rows.empty:
        lines = [f"import: nothing new, {_count(found.recordings, 'file')} are in {raw} and {table} already."]
    else:
        labels = rows["label"].replace("", "not labelled").value_counts().sort_index()
        groups = rows.loc[rows["group"] != "", "group"].unique()
        lines = [
            f"import: {_count(rows, 'file')} ({additions.size_bytes / 1e6:.1f} MB) into {raw}: "
            + ", ".join(f"{label} {count}" for label, count in labels.items())
            + (f"; {_count(groups, 'group')}." if len(groups) else "; no groups, each file is its own.")
        ]
    if found.unlisted:
        lines += [f"Left in {source}: {_count(found.unlisted, 'audio file')} that the table does not list."]
    if found.other:
        lines += [
            f"Left in {source}: {_count(found.other, 'other file')}, hidden or no audio, such as {found.other[0]!r}."
        ]
    if tracked and len(rows):
        changed = shlex.join(map(str, (table, raw.with_name(f"{raw.name}.dvc"), raw.with_name(".gitignore"))))
        message = f'git commit -m "Import {_count(rows, "recording")}"'
        lines += ["Next:", f"  git add {changed}", f"  {message}", "  dvc repro"]
    return "\n".join(lines)


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


def _check_apart(source: Path, raw: Path) -> None:
    outer, inner = source.resolve(), raw.resolve()
    if outer != inner and (outer.is_relative_to(inner) or inner.is_relative_to(outer)):
        raise click.ClickException(f"{source} and {raw} lie in each other. Give a SOURCE outside, or {raw} itself.")


def _checked(
    found: list[Entry],
    source: Path,
    into: PurePosixPath,
    raw: Path,
    known: pd.DataFrame,
    classes: tuple[str, ...],
    *,
    copies: int,
) -> Plan:
    """Return what is to be added, or refuse with all that is wrong with it."""
    kinds = {row.file: faults.file_fault(row.file, source) for row in found if row.file}
    good = {row.file: row for row in found if row.file and not kinds[row.file]}
    additions, wrong = plan(good.values(), source, into, raw, known)
    wrong += [*faults.row_faults(found), *((kind, file) for file, kind in kinds.items() if kind)]
    unknown = faults.unknown_labels(found, classes, set(known["label"]))
    faults.refuse(wrong, [*unknown, *faults.no_room(additions.size_bytes * copies, raw)])
    return additions


def _mapping(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise click.BadParameter(f"{wrong[0]!r} is not OLD=NEW")
    return dict(pair.split("=", 1) for pair in pairs)


def _subfolder(_: click.Context, __: click.Parameter, text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise click.BadParameter("must be a folder beneath the recordings, without `..`")
    return path


@click.command("import", epilog=EPILOG)
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A table of the files to take."
)
@click.option("--label-column", help="The table's column of labels.  [default: label]")
@click.option("--file-column", help="The table's column of files.  [default: the one that names files of SOURCE]")
@click.option(
    "--group-column", help="Recording, speaker, site or session: what must not be split.  [default: the file]"
)
@click.option("--map", "mapping", multiple=True, callback=_mapping, metavar="OLD=NEW", help="Translate a label.")
@click.option("--unlabelled", is_flag=True, help="Take no labels, not even the folders' names.")
@click.option("--into", callback=_subfolder, default="", metavar="SUBFOLDER", help="Where in the folder of recordings.")
@click.option("--copy/--link", default=True, show_default="copy", help="Copy the files, or hard-link them (same disk).")
@click.option("--dvc/--no-dvc", "track", default=True, show_default="dvc", help="`dvc add` the folder of recordings.")
@click.option("--raw", type=click.Path(path_type=Path), default="data/raw", show_default=True, help="The recordings.")
@click.option(
    "--table", type=click.Path(path_type=Path), default="data/raw.csv", show_default=True, help="Their table."
)
def main(
    source: Path,
    labels: Path | None,
    label_column: str | None,
    file_column: str | None,
    group_column: str | None,
    mapping: dict[str, str],
    unlabelled: bool,
    into: PurePosixPath,
    copy: bool,
    track: bool,
    raw: Path,
    table: Path,
) -> None:
    """Bring recordings, and labels if there are any, into the project."""
    classes = params.Data.load("data").classes
    if track:
        versions.check_repository()
    _check_apart(source, raw)
    columns = Columns(file_column, None if unlabelled else label_column or "label", group_column)
    found = listing(source, labels, columns, {*classes, *mapping})
    taken = [row._replace(label="" if unlabelled else mapping.get(row.label, row.label)) for row in found.recordings]
    additions = _checked(taken, source, into, raw, recordings(table), classes, copies=copy + track)
    if len(additions.rows):
        with placed(additions.files, raw, link=not copy):
            tables.write(pd.concat([recordings(table), additions.rows]), table, tables.RAW)
    if track:
        versions.dvc_add(raw)
    click.echo(summary(additions, found, source, raw, table, tracked=track))


if __name__ == "__main__":
    main()
