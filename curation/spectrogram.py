"""A mel spectrogram as a picture with axes, for people to read."""

import io
from itertools import pairwise

import librosa
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.audio import Samples

WINDOW_S, HOP_S, BANDS, LOW_HZ = 0.032, 0.008, 96, 50
RANGE_DB = 80  # below the loudest
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10)  # between two ticks
MOST_TICKS = 8
# Seven colours of cividis, which rises evenly in lightness for the colour-blind too
# (Nunez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239).
COLOURS = np.array(
    [[0, 34, 78], [42, 63, 109], [87, 93, 109], [124, 123, 120], [166, 156, 117], [210, 193, 98], [254, 232, 56]]
)


def png(samples: Samples, *, rate_hz: int) -> bytes:
    """Return the log-mel spectrogram of samples of shape (n_samples,) as a picture in colours."""
    return coloured(shades(samples, rate_hz=rate_hz))


def coloured(shades: NDArray[np.uint8]) -> bytes:
    """Return shades from dark to light as a picture in colours."""
    image = Image.fromarray(shades)
    image.putpalette(_palette().tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()


def shades(samples: Samples, *, rate_hz: int) -> NDArray[np.uint8]:
    """Return the log-mel spectrogram of samples of shape (n_samples,): 255 is the loudest, 0 80 dB below it or less.

    A row is a band, the highest first; a column is a hop.
    """
    power = librosa.feature.melspectrogram(
        y=np.pad(samples, (0, max(0, round(WINDOW_S * rate_hz) - len(samples)))),
        sr=rate_hz,
        n_fft=round(WINDOW_S * rate_hz),
        hop_length=round(HOP_S * rate_hz),
        n_mels=BANDS,
        fmin=LOW_HZ,
    )
    db = librosa.power_to_db(power, ref=np.max, top_db=RANGE_DB)
    return levels(db)[::-1]


def levels(db: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the shades of levels in dB relative to the loudest."""
    return np.round((db + RANGE_DB) / RANGE_DB * 255).clip(0, 255).astype(np.uint8)


def ticks_s(duration_s: float) -> list[tuple[str, float]]:
    """Return labels in s and places from 0 (left) to 1 (right)."""
    step = next((step for step in TICKS_S if duration_s / step <= MOST_TICKS), TICKS_S[-1])
    return [(f"{step * n:g}", step * n / duration_s) for n in range(int(duration_s / step) + 1)]


def ticks_hz(rate_hz: int) -> list[tuple[str, float]]:
    """Return labels in Hz and places from 0 (top) to 1 (bottom)."""
    low, high = librosa.hz_to_mel(np.array([LOW_HZ, rate_hz / 2]))
    marks = [(f"{hz}", float((high - librosa.hz_to_mel(hz)) / (high - low))) for hz in TICKS_HZ if hz <= rate_hz / 2]
    crowded = {right for (_, left_place), (right, place) in pairwise(marks) if left_place - place < 0.06}
    return [mark for mark in marks if mark[0] not in crowded]


def _palette() -> NDArray[np.uint8]:
    places = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(np.linspace(0, 1, 256), places, COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
