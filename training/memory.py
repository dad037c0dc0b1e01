"""Advice for a training that runs out of memory."""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager

import click
import torch

SAMPLE_BYTES = 2


@contextmanager
def enough(section: str, *, clips: int, samples: int, batch_clips: int, view_s: float, more: str) -> Iterator[None]:
    """Turn a lack of memory into advice.

    Args:
        section: of params.yaml, the model's.
        clips: how many are kept in memory.
        samples: in a clip.
        batch_clips: how many are learned from at once.
        view_s: length of what is learned from.
        more: what else in `section` saves memory.

    Raises:
        click.ClickException: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else ""
        killed = isinstance(error, BrokenExecutor)  # a worker; the kernel ends who takes too much
        known = killed or isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not (known or ("alloc" in said and "memory" in said)):
            raise
        raise click.ClickException(
            f"{'A worker was ended, most likely because memory' if killed else 'Memory'} ran out with batches of "
            f"{batch_clips} clips of {view_s:g} s, and {clips} clips kept, {clips * samples * SAMPLE_BYTES / 1e9:.2g} "
            f"GB as samples ({said[:200]}). In section `{section}` of params.yaml lower `batch_clips` or "
            f"`augment.crop_s`{more}; where the clips alone are too much, lower `data.clip_s` or `data.rate_hz`."
        ) from error
