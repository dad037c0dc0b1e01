import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from curation import spectrogram

RATE_HZ = 16000


def test_a_tone_is_the_lightest_where_the_axis_has_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 2000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    image = Image.open(io.BytesIO(spectrogram.png(tone, rate_hz=RATE_HZ)))
    assert image.size == (126, spectrogram.BANDS)  # a column each 8 ms, and one at either end
    row = np.asarray(image)[:, 60].argmax()
    place = dict(spectrogram.ticks_hz(RATE_HZ))["2000"]
    assert (row + 0.5) / spectrogram.BANDS == pytest.approx(place, abs=0.015)


def test_lightness_rises_evenly_so_that_no_eye_needs_the_hue() -> None:
    red, green, blue = spectrogram._palette().astype(float).T
    lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(lightness) >= -0.5).all()


@pytest.mark.parametrize("samples", [np.zeros(8000, np.float32), np.ones(1, np.float32)])
def test_silence_and_the_shortest_sound_have_a_picture(samples: np.ndarray) -> None:
    assert Image.open(io.BytesIO(spectrogram.png(samples, rate_hz=RATE_HZ))).size[1] == spectrogram.BANDS


def test_ticks_of_time_are_round_and_at_their_place() -> None:
    assert spectrogram.ticks_s(0.4) == [("0", 0), ("0.1", 0.25), ("0.2", 0.5), ("0.3", pytest.approx(0.75)), ("0.4", 1)]
    assert [text for text, _ in spectrogram.ticks_s(6.84)] == ["0", "1", "2", "3", "4", "5", "6"]


def test_ticks_of_frequency_end_at_half_the_rate_and_do_not_crowd() -> None:
    marks = spectrogram.ticks_hz(RATE_HZ)
    assert marks[-1] == ("8000", 0)
    assert all(low - high >= 0.06 for (_, low), (_, high) in pairwise(marks))
