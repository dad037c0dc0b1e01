"""What can be wrong with recordings that are to be imported, and how it is said."""

import os
import shlex
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

import click
import yaml

from curation.listing import SUFFIXES, Entry

FAULTS = {  # in the order of the report: what is wrong with the files named, and the next step
    "nameless": ("without a file name", "Fill the file column, or take these rows out."),
    "name": ("with a line break or the like in its name, or a name that is not UTF-8", "Rename them."),
    "outside": ("outside the folder", "Give as SOURCE the folder that holds them all; `..` is not followed."),
    "missing": ("not there", "Add them, or take their rows out of the table."),
    "link": ("linked from outside the folder, or a link to a folder", "Copy the files there, as `cp -rL` does."),
    "special": ("not a regular file", "Take them out."),
    "suffix": ("not audio by their suffix", f"Known are {' '.join(SUFFIXES)}."),
    "unreadable": ("not readable", "Mend their permissions."),
    "twice": ("listed twice", "Keep one row a file."),
    "labels": ("with several labels", "Keep the right one; several people's answers belong into data/reviews.csv."),
    "groups": ("with several groups", "Keep one."),
    "clash": ("named like a recording with other content", "Put them beside it with `--into SUBFOLDER`."),
    "differs": ("imported before with another label or group", "Edit their lines in the table of recordings."),
    "gone": ("in the table of recordings but not in their folder", "Bring them back with `dvc pull`."),
}
SHOWN = 3  # how many offenders a fault names

Fault = tuple[str, str]  # a key of FAULTS, and whose fault it is


def row_faults(recordings: list[Entry]) -> Iterator[Fault]:
    """Yield what is wrong within a listing."""
    yield from (("nameless", f"row {number}") for number, row in enumerate(recordings, start=1) if not row.file)
    times = Counter(row for row in recordings if row.file)
    yield from (("twice", row.file) for row in times if times[row] > 1)
    labels = Counter(file for file, _ in dict.fromkeys(row[:2] for row in times))
    groups = Counter(file for file, _ in dict.fromkeys(row[::2] for row in times))
    yield from (("labels", file) for file, different in labels.items() if different > 1)
    yield from (("groups", file) for file, different in groups.items() if different > 1)


def file_fault(file: str, source: Path) -> str | None:
    """Return what keeps `file` of the folder `source` from being imported, a key of FAULTS."""
    path, parts = source / file, PurePosixPath(file)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in file):
        return "name"  # control characters, or bytes that are not UTF-8
    if parts.is_absolute() or ".." in parts.parts:
        return "outside"
    if not os.path.lexists(path):
        return "missing"
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(source)) or (
        path.is_symlink() and path.is_dir()
    ):
        return "link"
    if not path.is_file():
        return "special"
    if path.suffix.lower() not in SUFFIXES:
        return "suffix"
    return None if os.access(path, os.R_OK) else "unreadable"


def unknown_labels(recordings: list[Entry], classes: tuple[str, ...], in_use: Collection[str]) -> Iterator[str]:
    """Yield, if there are any, the labels that are no class, and the two ways to go on.

    Args:
        recordings: what is to be imported.
        classes: `data.classes` of params.yaml.
        in_use: labels of earlier imports, whose classes must stay.
    """
    labels = Counter(row.label for row in recordings)
    counts = {label: labels[label] for label in sorted(labels.keys() - {*classes, ""})}
    if counts:
        kept = [label for label in classes if label in in_use or label in labels]
        line = yaml.safe_dump([*kept, *counts], default_flow_style=True, allow_unicode=True, width=10**6).strip()
        told = ", ".join(f"{label!r} ({count})" for label, count in counts.items())
        first = shlex.quote(f"{next(iter(counts))}={classes[0]}")
        yield (
            f"{len(counts)} labels not in `data.classes` of params.yaml {list(classes)}: {told}. Translate them, "
            f"for instance `--map {first}`, or write into params.yaml, "
            f"section `data`:\n      classes: {line}"
        )


def no_room(size_bytes: int, folder: Path) -> Iterator[str]:
    """Yield, if it is so, that the disk of `folder` has less than `size_bytes` free."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(there).free
    if size_bytes > free_bytes:
        yield (
            f"{size_bytes / 1e6:.1f} MB needed in {there} (for the copy and DVC's cache), "
            f"{free_bytes / 1e6:.1f} MB free. Make room, or save the copy with `--link`."
        )


def refuse(faults: Iterable[Fault], more: Iterable[str] = ()) -> None:
    """Raise one error that tells every kind of fault, its first offenders, and its next step."""
    offenders = defaultdict(list)
    for kind, offender in faults:
        offenders[kind].append(offender)
    told = [
        f"{len(offenders[kind])} {what}: {_few(offenders[kind])}. {advice}"
        for kind, (what, advice) in FAULTS.items()
        if kind in offenders
    ]
    if lines := [*told, *more]:
        raise click.ClickException("\n  ".join(["Nothing was imported and nothing changed:", *lines]))


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
