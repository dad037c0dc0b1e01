"""State of an unfinished training, to go on from after a kill."""

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import click
import torch

from curation import files

SOURCES = Path(__file__).parent


def key(*tables: Path, **settings: Any) -> str:  # noqa: ANN401 -- whatever JSON holds
    """Return a hash of what determines a training: its tables, its settings, this package's code and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in (*tables, *sorted(SOURCES.glob("*.py"))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def save(state: dict[str, Any], path: Path, *, key: str) -> None:
    """Write `state`, whole or not at all."""
    content = io.BytesIO()  # so that a full disk is an OSError
    torch.save({"key": key, "state": state}, content)
    with files.replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(path: Path, *, key: str) -> dict[str, Any] | None:
    """Return the state in the file `path`, or None where there is none of this `key`.

    Raises:
        click.ClickException: the file is broken.
    """
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise click.ClickException(f"{path} is no checkpoint that can be read. Delete it and run again.") from error
    return found["state"] if found["key"] == key else None
