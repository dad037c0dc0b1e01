"""What frozen layers say of each clip: computed once, kept in a file, read from there as training needs it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from curation import files
from training import augment


def once(lower: Callable[[Tensor], Tensor], x: Tensor, lengths: Tensor, path: Path, *, block_clips: int) -> Tensor:
    """Return what `lower` says of each clip, half floats that lie in the file `path` and are read when used.

    The file grows block by block, so a killed run goes on where it stood. Who writes to what is returned spoils it.

    Args:
        lower: from waveforms, shape (clips, samples), to anything of the same shape for every clip.
        x: of shape (clips, samples); what is shorter is repeated.
        lengths: how much of it is sound.
        path: where to keep it; what lies there already must come from the same `lower`, `x` and `lengths`. Files
            beside it with its suffix are of other ones and go.
        block_clips: how many clips to take at once.

    Raises:
        click.ClickException: the disk is full, or a number is beyond what half floats can hold.
    """
    shape = tuple(_block(lower, x, lengths, range(1)).shape[1:])
    row_bytes = 2 * int(np.prod(shape))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in {*path.parent.glob(f"*{path.suffix}")} - {path}:
            stale.unlink()
        with path.open("ab") as file:
            done = file.tell() // row_bytes
            file.truncate(done * row_bytes)
            bar = tqdm(total=len(x), initial=done, desc="frozen layers", unit="clip", disable=None, delay=2)
            while done < len(x):
                rows = range(done, min(len(x), done + block_clips))
                file.write(_block(lower, x, lengths, rows).numpy().tobytes())
                bar.update(len(rows))
                done = rows.stop
            bar.close()
    except OSError as error:
        raise files.unwritable(path, error) from error
    size = len(x) * int(np.prod(shape))
    return torch.from_file(str(path.absolute()), shared=True, size=size, dtype=torch.float16).view(len(x), *shape)


def _block(lower: Callable[[Tensor], Tensor], x: Tensor, lengths: Tensor, rows: range) -> Tensor:
    part = slice(rows.start, rows.stop)
    with torch.inference_mode():
        said = lower(augment.repeat(x[part].float(), lengths[part], x.shape[-1])).half().cpu()
    if not said.isfinite().all():
        raise click.ClickException(
            "The frozen layers say numbers that half floats cannot hold, so they cannot be kept. With `augment` in "
            "params.yaml instead of `augment: null` they are computed anew for every view."
        )
    return said


def digest(*tensors: Tensor) -> str:
    """Return the SHA-256 of the content of the tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
