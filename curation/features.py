"""Describe each clip and variations of it by vectors for scoring, and the clip by a fingerprint for finding copies."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import joblib
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from curation import files, params, tables, vectors
from curation.clips import read_clip
from curation.descriptors import Array, Params, features
from curation.fingerprint import Fingerprint, fingerprint
from curation.variations import variations

BATCH = 16  # clips a task: few tasks, and little audio in memory


def describe(
    frames: Mapping[str, int], audio: Path, p: Params, *, rate_hz: int, workers: int
) -> tuple[vectors.Vectors, list[Fingerprint]]:
    """Return the vectors and the fingerprints of clips, in the order of `frames`: the recorded samples of each.

    Variations have vectors too, unless there are more than `p.variations.max_clips` clips.

    Work is handed out in batches by joblib: `joblib.parallel_config` chooses where it is done.
    """
    clip_ids = tuple(frames)
    batches = [clip_ids[start : start + BATCH] for start in range(0, len(clip_ids), BATCH)]
    vary = len(frames) <= p.variations.max_clips
    task = joblib.delayed(_describe)
    with threadpool_limits(1):  # of this process: sums of more threads round differently
        done = joblib.Parallel(n_jobs=workers)(
            task([(clip_id, frames[clip_id]) for clip_id in batch], audio, p, rate_hz, vary)
            for batch in tqdm(batches, "features", unit="batch", disable=None)
        )
    rows, prints = zip(*itertools.chain.from_iterable(done), strict=True)
    every = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    blocks = {name: block[:, 0] for name, block in every.items()}
    varied = {name: block[:, 1:] for name, block in every.items()} if vary else {}
    return vectors.Vectors(clip_ids, blocks, varied), list(prints)


def _describe(
    batch: Sequence[tuple[str, int]], audio: Path, p: Params, rate_hz: int, vary: bool
) -> list[tuple[dict[str, Array], Fingerprint]]:
    """Return of each clip its blocks, a row for the clip as it is and then one a variation, and its fingerprint."""
    found = []
    with threadpool_limits(1):  # of a worker
        for clip_id, frames in batch:
            sound = read_clip(clip_id, audio, frames=frames)
            heard = [sound, *(variations(sound, p.variations, silence_db=p.silence_db) if vary else [])]
            rows = [features(one, p, rate_hz=rate_hz) for one in heard]
            blocks = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            found.append((blocks, fingerprint(sound, rate_hz)))
    return found


def write_prints(clip_ids: Sequence[str], prints: Sequence[Fingerprint], path: Path) -> None:
    """Write fingerprints as `rows`, one after the other; those of clip i are `rows[offset[i]:offset[i + 1]]`."""
    offset = np.cumsum([0, *map(len, prints)])
    with files.replacing(path) as temporary:
        np.savez(temporary, clip_id=np.array(clip_ids, dtype=np.str_), rows=np.concatenate(prints), offset=offset)


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips.")
@click.option("--audio", type=click.Path(file_okay=False, path_type=Path), required=True, help="The clips as sound.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the features.")
@click.option("--workers", type=click.IntRange(min=1), default=joblib.cpu_count, help="Processes.  [default: all CPUs]")
def main(clips: Path, audio: Path, out: Path, workers: int) -> None:
    """Write the vectors of every clip and of its variations, and the fingerprint of every clip."""
    rate_hz = params.Data.load("data").rate_hz
    rows = tables.read(clips, tables.CLIPS)
    frames = dict(zip(rows["clip_id"], (rows["duration_s"] * rate_hz).round().astype(int), strict=True))
    found, prints = describe(frames, audio, Params.load("features"), rate_hz=rate_hz, workers=workers)
    vectors.write(found, out)
    write_prints(found.clip_ids, prints, out / "fingerprints.npz")
    dimensions = sum(block.shape[1] for block in found.blocks.values())
    click.echo(f"features: {len(rows)} clips, {found.variations} variations of each, {dimensions} dimensions")


if __name__ == "__main__":
    main()
