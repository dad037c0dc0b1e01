import io

import bursts
import numpy as np
import pytest
from PIL import Image

from curation import spectrogram
from training import overlay
from training.heard import Heard


@pytest.fixture
def samples() -> np.ndarray:
    return bursts.clip(None, np.random.default_rng(0))


@pytest.fixture(params=["lite_cnn", "wav2vec2"])
def grid(request: pytest.FixtureRequest, samples: np.ndarray) -> Heard:
    return bursts.hear(request.param, bursts.new(request.param).eval(), samples)


def place(grid: Heard, time_s: float, hz: float) -> tuple[int, int]:
    """Return the cell of a time and a frequency."""
    return int(np.searchsorted(grid.edges_hz, hz)) - 1, round(time_s / grid.hop_s)


def test_a_cell_is_drawn_where_the_axes_have_its_time_and_frequency(grid: Heard, samples: np.ndarray) -> None:
    found = np.zeros(grid.x.shape[1:])
    found[place(grid, 0.6, 2000)] = 1
    png = overlay.png(found, grid, samples / 32768, rate_hz=bursts.RATE_HZ)
    red, _, blue = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int).transpose(2, 0, 1)
    row, column = np.unravel_index((red - blue).argmax(), red.shape)
    assert (column + 0.5) / red.shape[1] * bursts.CLIP_S == pytest.approx(0.6, abs=0.02)
    assert (row + 0.5) / red.shape[0] == pytest.approx(dict(spectrogram.ticks_hz(bursts.RATE_HZ))["2000"], abs=0.02)


def test_what_speaks_for_is_orange_what_speaks_against_blue_and_the_rest_grey(grid: Heard, samples: np.ndarray) -> None:
    found = np.zeros(grid.x.shape[1:])
    found[:, : found.shape[1] // 3], found[:, -found.shape[1] // 3 :] = 1, -1
    png = overlay.png(found, grid, samples / 32768, rate_hz=bursts.RATE_HZ)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[20:-20]
    warmth = (pixels[:, :, 0] - pixels[:, :, 2]).mean(axis=0)
    n = len(warmth)
    assert warmth[: n // 4].min() > 100
    assert warmth[-n // 4 :].max() < -60
    assert abs(warmth[n // 2]) < 10


def test_a_map_of_nothing_leaves_the_spectrogram_grey(grid: Heard, samples: np.ndarray) -> None:
    png = overlay.png(np.zeros(grid.x.shape[1:]), grid, samples / 32768, rate_hz=bursts.RATE_HZ)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 2
    assert np.ptp(pixels[:, :, 0]) > 50


def test_the_box_and_the_words_name_the_same_place(grid: Heard) -> None:
    low, left = place(grid, 0.3, 1000)
    high, right = place(grid, 0.6, 2000)
    where = slice(low, high + 1), slice(left, right + 1)
    marks = dict(spectrogram.ticks_hz(bursts.RATE_HZ))
    box = overlay.box(where, grid, bursts.CLIP_S, rate_hz=bursts.RATE_HZ)
    assert box["x"] == pytest.approx(0.25, abs=0.02)
    assert box["x"] + box["width"] == pytest.approx(0.5, abs=0.02)
    assert box["y"] == pytest.approx(marks["2000"], abs=0.03)
    assert box["y"] + box["height"] == pytest.approx(marks["1000"], abs=0.03)
    assert overlay.words(where, grid, bursts.CLIP_S) in ("0.3 to 0.6 s, 1.0 to 2.0 kHz", "0.3 to 0.6 s, 1.0 to 2.1 kHz")


def test_low_frequencies_are_named_in_hz_and_nothing_beyond_the_clip(grid: Heard) -> None:
    where = slice(0, place(grid, 0, 500)[0] + 1), slice(0, grid.x.shape[2])
    words = overlay.words(where, grid, bursts.CLIP_S)
    assert words.startswith("0.0 to 1.2 s, ")
    assert words.endswith(" Hz")
    box = overlay.box(where, grid, bursts.CLIP_S, rate_hz=bursts.RATE_HZ)
    assert box["x"] == 0
    assert box["x"] + box["width"] <= 1
