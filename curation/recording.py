"""Hear a recording once, from its file to the windows that may become clips."""

import hashlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from curation import audio, measure
from curation.audio import Header, Samples, UnusableError

RATES_HZ = (1_000, 768_000)  # outside, the header is wrong
LOST_SHARE, LOST_S = 0.05, 0.25  # of what the header promises: less may be an estimate


@dataclass(frozen=True)
class Window:
    """A piece of a recording."""

    start_s: float
    sound: Samples  # (n,), mono, at the rate of the clips, not padded
    clipped_share: float


@dataclass(frozen=True)
class Recording:
    """What was heard of a recording."""

    header: Header
    frames: int
    digest: str  # of the decoded samples as 16-bit, their rate and channels: the same in every lossless container
    dead_channels: int
    inverted: bool
    windows: list[Window]

    def clip_id(self, start_s: float) -> str:
        """Return the id of the clip that starts there: of the samples as recorded, whatever resamples them."""
        return hashlib.blake2b(f"{self.digest} {start_s:.6f}".encode(), digest_size=8).hexdigest()


class Ear:
    """Hears all blocks of a recording and keeps what only the whole tells."""

    def __init__(self, header: Header, max_duration_s: float) -> None:
        self.header = header
        self.max_duration_s = max_duration_s
        self.frames = 0
        self.digest = hashlib.blake2b(f"{header.rate_hz} {header.channels}\n".encode())
        self.powers = np.zeros(header.channels)  # sums of squares
        self.products = np.zeros(header.channels - 1)  # sums of products of neighbouring channels

    def hear(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Pass the blocks on.

        Raises:
            UnusableError: `too_long`, `not_finite`, or the data break off: `unreadable`, `truncated`.
        """
        try:
            for block in blocks:
                self._take(block)
                yield block
        except audio.BROKEN as error:
            reason = "truncated" if self.frames else "unreadable"
            why = error.strerror if isinstance(error, av.FFmpegError) else error.error_string
            raise UnusableError(reason, f"Decoding fails after {self.duration_s:.6g} s: {why}") from error

    @property
    def duration_s(self) -> float:
        """Length heard so far."""
        return self.frames / self.header.rate_hz

    def _take(self, block: Samples) -> None:
        self.frames += len(block)
        if self.duration_s > self.max_duration_s:
            raise UnusableError("too_long", f"It is longer than {self.max_duration_s:g} s (`ingest.max_duration_s`).")
        self.powers += np.vecdot(block.T, block.T)
        self.products += np.vecdot(block.T[:-1], block.T[1:])
        if not np.isfinite(self.powers).all():
            raise UnusableError("not_finite", f"A sample before {self.duration_s:.6g} s is NaN or infinite.")
        self.digest.update(audio.to_16_bit(block).data)

    def check_whole(self) -> None:
        """Refuse a recording without sound, or clearly shorter than its header promises."""
        if not self.frames:
            raise UnusableError("empty", "There is not one sample in it.")
        promised_s = self.header.length_s
        if promised_s - self.duration_s > max(LOST_S, LOST_SHARE * promised_s):
            detail = f"Its header promises {promised_s:.6g} s, {self.duration_s:.6g} s can be decoded."
            raise UnusableError("truncated", detail)


def listen(path: Path, *, clip_s: float, to_hz: int, count: int | None, max_duration_s: float) -> Recording:
    """Decode the recording `path` and cut its first `count` windows of `clip_s` (None: all; the last may be shorter).

    Memory is bounded by the duration and the rate of the clips, whatever the header says.

    Raises:
        UnusableError: it cannot be decoded, or is not what its header promises.
    """
    with audio.decoding(path) as (header, blocks):
        if not RATES_HZ[0] <= header.rate_hz <= RATES_HZ[1]:
            raise UnusableError("unreadable", f"Its sample rate would be {header.rate_hz} Hz.")
        ear = Ear(header, max_duration_s)
        heard = ear.hear(blocks)
        frames = max(1, round(clip_s * header.rate_hz))
        windows = [
            Window(
                n * frames / header.rate_hz,
                audio.to_rate(mono, rate_hz=header.rate_hz, to_hz=to_hz),
                measure.clipped_share(mono),
            )
            for n, mono in enumerate(itertools.islice(split(heard, frames), count))
        ]
        deque(heard, maxlen=0)
    ear.check_whole()
    inverted = measure.inverted(ear.powers, ear.products)
    dead = measure.dead_channels(ear.powers)
    return Recording(header, ear.frames, ear.digest.hexdigest(), dead, inverted, windows)


def split(blocks: Iterable[Samples], frames: int) -> Iterator[Samples]:
    """Yield the mono mix of `blocks` in pieces of `frames`; the last may be shorter."""
    piece, filled = np.empty(frames, np.float32), 0
    for block in blocks:
        while len(block):
            taken = block[: frames - filled]
            piece[filled : filled + len(taken)] = audio.to_mono(taken)
            filled, block = filled + len(taken), block[len(taken) :]
            if filled == frames:
                yield piece
                piece, filled = np.empty(frames, np.float32), 0
    if filled:
        yield piece[:filled]
