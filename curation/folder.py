"""Find the recordings that a table names in their folder, and those it does not name."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from curation.audio import UnusableError

_IN_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # where `dvc checkout` may link to


def locate(file: str, folder: Path) -> Path:
    """Return the path of `file` in `folder`.

    Raises:
        UnusableError: `missing`; `outside`: the path or a link leads out of the folder; `unreadable`: no file; `empty`.
    """
    parts = PurePosixPath(file)
    path = folder / parts
    if parts.is_absolute() or ".." in parts.parts:
        raise UnusableError("outside", f"A path must be relative to {folder.name}/ and stay in it.")
    if not os.path.lexists(path):
        raise UnusableError("missing", f"There is no such file in {folder.name}/.")
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(os.path.realpath(folder)) and not _IN_DVC_CACHE.search(target):
        raise UnusableError("outside", f"It is a link that leads out of {folder.name}/: put the file itself there.")
    if not path.is_file():
        raise UnusableError("unreadable", "It is not a regular file, or a link to nothing.")
    if not path.stat().st_size:
        raise UnusableError("empty", "The file has no content.")
    return path


def unlisted(files: Iterable[str], folder: Path) -> list[str]:
    """Return what lies in `folder` and is not among `files`, sorted; hidden files, such as .DS_Store, are left out."""
    known = {PurePosixPath(file).as_posix() for file in files}
    there = (Path(top, name).relative_to(folder).as_posix() for top, _, names in os.walk(folder) for name in names)
    strangers = sorted(file for file in there if file not in known and not PurePosixPath(file).name.startswith("."))
    return [os.fsencode(file).decode("utf-8", "backslashreplace") for file in strangers]
