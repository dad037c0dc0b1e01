"""A decoder that takes its process with it, to be imported by the workers of a pool."""

import os
from typing import Any

from curation import ingest

cut = ingest.cut


def cut_or_die(file: str, *how: Any) -> tuple[list[ingest.Row], list[ingest.Row]]:
    """Cut a recording as `ingest` does, but die at one."""
    if file == "kills.wav":
        os._exit(3)
    return cut(file, *how)
