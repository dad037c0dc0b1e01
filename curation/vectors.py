"""Keep vectors of clips and of their variations in files, and read them as points that distances can be taken of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import click
import numpy as np
from numpy.typing import NDArray

from curation import files

Block: TypeAlias = NDArray[np.float32]  # shape (n_clips, n_dimensions)

NAME, VARIED = "vectors.npz", "variations.npz"


@dataclass(frozen=True)
class Vectors:
    """Blocks of features, one row a clip, and whose rows they are."""

    clip_ids: tuple[str, ...]
    blocks: Mapping[str, Block]
    varied: Mapping[str, Block] = field(default_factory=dict)  # of shape (n_clips, n_variations, n_dimensions), or none

    @property
    def variations(self) -> int:
        """Number of variations of each clip."""
        return next((block.shape[1] for block in self.varied.values()), 0)

    def points(self, clip_ids: Collection[str], *, varied: bool = False) -> Block:
        """Return the vectors of some clips, all blocks side by side, shape (len(clip_ids), n_dimensions).

        Each dimension has mean 0 and the same standard deviation as the others of its block over all clips, asked for
        or not; one that never varies is 0. That deviation is 1 / dimensions of the block, so that the Manhattan
        distance of two points is the sum over blocks of a mean difference: each block weighs the same, large or small.

        Args:
            clip_ids: the clips.
            varied: whether their variations follow, as in `rows`.

        Raises:
            click.ClickException: a clip has no vector.
        """
        mean, scale = self.standard(self.clip_ids)
        points: Block = ((self.rows(clip_ids, varied=varied) - mean) / scale).astype(np.float32)
        return points

    def standard(self, clip_ids: Collection[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean of each dimension over some clips, and what to divide by, which makes points of `rows`."""
        values = self.rows(clip_ids).astype(np.float64)
        spread = values.std(axis=0)
        size = np.concatenate([np.full(block.shape[1], block.shape[1]) for block in self.blocks.values()])
        return values.mean(axis=0), np.where(spread > 0, spread, np.inf) * size

    def rows(self, clip_ids: Collection[str], *, varied: bool = False) -> Block:
        """Return the vectors of some clips as they are, all blocks side by side, shape (len(clip_ids), n_dimensions).

        Args:
            clip_ids: the clips.
            varied: whether their variations follow: one of each clip, in the order of `clip_ids`, then another of each.

        Raises:
            click.ClickException: a clip has no vector.
        """
        place = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        if missing := sorted(set(clip_ids) - set(place)):
            raise click.ClickException(
                f"{NAME} lacks {len(missing)} clips, {missing[0]!r} first. `dvc repro features` makes it anew."
            )
        chosen = [place[clip_id] for clip_id in clip_ids]
        rows = np.hstack([*self.blocks.values()])[chosen]
        if not (varied and self.varied):
            return rows
        others = np.concatenate([self.varied[name][chosen] for name in self.blocks], axis=2)
        return np.concatenate([rows, *others.swapaxes(0, 1)])


def read(folder: Path) -> Vectors:
    """Return the vectors that stage `features` wrote to `folder`.

    Raises:
        click.ClickException: a file is missing, or is not what that stage writes.
    """
    (clip_ids, blocks), (of, varied) = (_read(folder / name) for name in (NAME, VARIED))
    if of != clip_ids:
        raise click.ClickException(f"{folder / VARIED} is of other clips than {NAME}. `dvc repro features` makes both.")
    return Vectors(clip_ids, blocks, varied)


def _read(path: Path) -> tuple[tuple[str, ...], dict[str, Block]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return tuple(stored["clip_id"].tolist()), {name: stored[name] for name in stored if name != "clip_id"}
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. `dvc repro features` makes it.") from error
    except (BadZipFile, EOFError, KeyError, ValueError) as error:
        raise click.ClickException(f"{path} holds no vectors ({error}). `dvc repro features` makes it anew.") from error


def write(vectors: Vectors, folder: Path) -> None:
    """Write `vectors` to `folder`: the same vectors are the same bytes. Both files are there without variations too."""
    clip_ids = np.array(vectors.clip_ids, dtype=np.str_)
    for name, blocks in {NAME: vectors.blocks, VARIED: vectors.varied}.items():
        with files.replacing(folder / name) as temporary:
            np.savez(temporary, allow_pickle=False, clip_id=clip_ids, **blocks)
