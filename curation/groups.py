"""Join near-duplicates with the given groups, so that no copy sits on both sides of a split."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import click
import numpy as np
import pandas as pd
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import DisjointSet
from tqdm import tqdm

from curation import fingerprint, params, tables
from curation.audio import Samples
from curation.clips import read_clip
from curation.fingerprint import Fingerprint

Pair: TypeAlias = tuple[str, str]  # clip ids

REACH_S = 0.064  # how far off the lag of the fingerprints may be
LOWEST_HZ, BAND_HZ = 100, 500  # bands in which two clips are compared
TINY = 1e-12  # keeps quotients of silence finite
KEPT_CLIPS = 256  # decoded clips in memory, 0.5 MB each


class Params(params.Section):
    """Section `groups` of params.yaml."""

    min_landmarks: int = Field(ge=2, le=1000)  # in common at one lag: the pairs that are listened to
    min_overlap_s: float = Field(gt=0, le=60)  # of the two clips at that lag, or half of the shorter clip
    min_agreement: float = Field(gt=0, lt=1)  # of the waveforms in the overlap


def groups(clips: pd.DataFrame, pairs: Collection[Pair]) -> pd.DataFrame:
    """Return `tables.GROUPS`: the given groups, those joined that a near-duplicate pair connects.

    Joined groups bear the name of the one with the most clips, of equals the first by name, so that a newcomer seldom
    moves what was there. `why` of its clips is `given`. From there the others are joined step by step; `why` of a
    group's clips is the clip, already joined, whose near-duplicate is in that group.
    """
    given = clips.set_index("clip_id")["group"]
    links: defaultdict[str, list[Pair]] = defaultdict(list)
    for one, other in sorted((min(pair), max(pair)) for pair in pairs):
        links[given[one]].append((one, given[other]))
        links[given[other]].append((other, given[one]))
    name: dict[str, str] = {}
    why: dict[str, str] = {}
    for start in given.value_counts().sort_index().sort_values(ascending=False, kind="stable").index:
        waiting = deque([(start, "given")])
        while waiting:
            group, reason = waiting.popleft()
            if group not in name:
                name[group], why[group] = start, reason
                waiting.extend((there, via) for via, there in links[group])
    return pd.DataFrame({"group": given.map(name), "why": given.map(why)}).rename_axis("clip_id").reset_index()


def near_duplicates(
    clips: pd.DataFrame,
    prints: Mapping[str, Fingerprint],
    listen: Callable[[str], Samples],
    p: Params,
    *,
    rate_hz: int,
) -> list[Pair]:
    """Return pairs of clips that are the same recording: enough to connect all such clips, with the given groups.

    Fingerprints propose the pairs, the waveforms that `listen` returns decide. Two that are connected already, by
    their given group or by other pairs, are not compared.
    """
    clip_ids = sorted(clips["clip_id"])
    given = clips.set_index("clip_id")["group"].to_dict()
    together = DisjointSet(given.values())
    found = fingerprint.candidates([prints[clip_id] for clip_id in clip_ids], min_landmarks=p.min_landmarks)
    pairs = []
    for i, j, hops in tqdm(found.tolist(), "groups", unit="pair", disable=None):
        one, other = clip_ids[i], clip_ids[j]
        if together.connected(given[one], given[other]):
            continue
        lag = round(hops * fingerprint.HOP_S * rate_hz)
        if same_recording(listen(one), listen(other), p, lag=lag, rate_hz=rate_hz):
            together.merge(given[one], given[other])
            pairs.append((one, other))
    return sorted(pairs)


def same_recording(one: Samples, other: Samples, p: Params, *, lag: int, rate_hz: int) -> bool:
    """Return whether the clips overlap and agree enough when `other` is heard `lag` samples later."""
    here, there = max(0, -lag), max(0, lag)
    overlap = min(len(one) - here, len(other) - there)
    if overlap < min(p.min_overlap_s * rate_hz, len(one) / 2, len(other) / 2):
        return False
    return agreement(one[here:][:overlap], other[there:][:overlap], rate_hz) >= p.min_agreement


def agreement(one: Samples, other: Samples, rate_hz: int) -> float:
    """Return how far two sounds of shape (n_samples,) are one waveform: 1 one and the same, near 0 two takes.

    The normalised correlation at the best delay up to `REACH_S`, its absolute value summed over bands. Magnitudes are
    replaced by their square roots, so that hum, which agrees everywhere, does not outweigh the rest. What a codec or a
    lower sample rate took away weighs nothing; gain and polarity do not count.
    """
    reach = round(REACH_S * rate_hz)
    n = scipy.fft.next_fast_len(len(one) + reach, real=True)
    first, second = _compressed(scipy.fft.rfft(one, n)), _compressed(scipy.fft.rfft(other, n))
    cross = first * second.conj()
    correlation = np.abs(scipy.fft.irfft(cross, n))
    delay = np.argmax(np.concatenate([correlation[-reach:], correlation[: reach + 1]])) - reach
    cross *= np.exp(2j * np.pi * delay / n * np.arange(len(cross)))
    edges = np.arange(LOWEST_HZ, rate_hz / 2, BAND_HZ) * n // rate_hz
    common, power_one, power_other = (
        np.add.reduceat(values, edges.astype(int)) for values in (cross, np.abs(first) ** 2, np.abs(second) ** 2)
    )
    whole = np.sqrt(power_one * power_other).sum()
    return float(np.abs(common).sum() / whole) if whole > 0 else 0.0


def _compressed(spectrum: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    compressed: NDArray[np.complexfloating] = spectrum / np.sqrt(np.maximum(np.abs(spectrum), TINY))
    return compressed


def read_prints(path: Path, clip_ids: Collection[str]) -> dict[str, Fingerprint]:
    """Return the fingerprint of each clip from the file `path`, written by stage `features`.

    Raises:
        click.ClickException: the file is no such file, or lacks a clip.
    """
    mend = "`dvc repro groups` makes it again from the clips."
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = dict(zip(stored["clip_id"].tolist(), np.split(stored["rows"], stored["offset"][1:-1]), strict=True))
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. {mend}") from error
    except (BadZipFile, KeyError, ValueError) as error:
        raise click.ClickException(f"{path} holds no fingerprints ({error}). {mend}") from error
    if missing := sorted(set(clip_ids) - set(found)):
        raise click.ClickException(f"{path}: no fingerprint of {len(missing)} clips, {missing[0]!r} first. {mend}")
    return found


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips with their given groups.")
@click.option("--audio", type=click.Path(file_okay=False, path_type=Path), required=True, help="The clips as sound.")
@click.option("--features", type=click.Path(file_okay=False, path_type=Path), required=True, help="Their fingerprints.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the groups go.")
def main(clips: Path, audio: Path, features: Path, out: Path) -> None:
    """Write what must not be split: the given groups, joined by near-duplicates."""
    p, rate_hz = Params.load("groups"), params.Data.load("data").rate_hz
    rows = tables.read(clips, tables.CLIPS)
    prints = read_prints(features / "fingerprints.npz", rows["clip_id"])
    frames = dict(zip(rows["clip_id"], (rows["duration_s"] * rate_hz).round().astype(int), strict=True))
    listen = lru_cache(KEPT_CLIPS)(lambda clip_id: read_clip(clip_id, audio, frames=frames[clip_id]))
    pairs = near_duplicates(rows, prints, listen, p, rate_hz=rate_hz)
    joined = groups(rows, pairs)
    tables.write(joined, out, tables.GROUPS)
    click.echo(f"groups: {len(rows)} clips, {joined['group'].nunique()} groups, {len(pairs)} joins by near-duplicates")


if __name__ == "__main__":
    main()
