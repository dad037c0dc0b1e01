"""Write files whole or not at all."""

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import click

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | int | bool | None"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block succeeds.

    When the block fails, or the machine stops, `path` is as it was before.

    Raises:
        click.ClickException: the file system refuses, for instance because the disk is full.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other earmark on this machine from the same block for `path`; a killed one holds nothing.

    Raises:
        click.ClickException: another one is in it, or the file system refuses.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = lock.open("w")
    except OSError as error:
        raise unwritable(lock, error) from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.ClickException(f"Another earmark is at work on {path}. Wait until it has finished.") from error
        yield


def unwritable(path: Path, error: OSError) -> click.ClickException:
    """Return the message for a file that could not be written."""
    why = error.strerror or str(error)
    return click.ClickException(
        f"{path}: cannot be written ({why}). What stood there is unchanged; make room or mend the permissions "
        "and run the same command again."
    )


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 `text` with LF line ends."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(value: Json, path: Path) -> None:
    """Write JSON that is the same, byte for byte, for the same value: floats as `%.6g`, NaN as null."""
    write_text(json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _rounded(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
