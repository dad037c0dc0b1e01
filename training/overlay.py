"""A map as a picture over the spectrogram, and in words."""

import io

import librosa
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from curation import spectrogram
from curation.audio import Samples
from training.attribution import Map
from training.heard import Heard

# Orange and sky blue, which nobody confuses (Okabe and Ito 2008, jfly.uni-koeln.de/color).
FOR, AGAINST = np.array([230, 159, 0]), np.array([86, 180, 233])
STRONGEST = 0.75  # share of colour where the map is strongest
STRONG = 0.995  # share of the map that is weaker than what gets the strongest colour
GREY = (60, 220)  # lightness of the spectrogram below it, where it is quiet and where it is loud
COLUMNS = 500  # of a picture, at most


def on_axes(
    grid: NDArray[np.floating],
    edges_hz: NDArray[np.float64],
    hop_s: float,
    shape: tuple[int, int],
    duration_s: float,
    *,
    rate_hz: int,
    smooth: bool,
) -> NDArray[np.float64]:
    """Return a grid of bands and frames on the axes of `curation.spectrogram`: the highest first, 0 outside of it.

    Args:
        grid: of shape (bands, frames), the lowest band first.
        edges_hz: of the bands, evenly spaced in mel.
        hop_s: from one frame to the next; the first is centred on the start.
        shape: of the result.
        duration_s: what its columns cover.
        rate_hz: sample rate, to half of which its rows reach.
        smooth: interpolate between cells.
    """
    low, high, first, last = librosa.hz_to_mel(np.array([spectrogram.LOW_HZ, rate_hz / 2, *edges_hz[[0, -1]]]))
    mel = high - (np.arange(shape[0]) + 0.5) / shape[0] * (high - low)
    rows = (mel - first) / (last - first) * len(grid) - 0.5
    columns = (np.arange(shape[1]) + 0.5) / shape[1] * duration_s / hop_s
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    found: NDArray[np.float64] = ndimage.map_coordinates(
        grid.astype(np.float64), places, order=int(smooth), mode="nearest"
    )
    found[(mel < first) | (mel > last)] = 0
    return found


def png(found: Map, heard: Heard, samples: Samples, *, rate_hz: int) -> bytes:
    """Return the spectrogram in grey, and over it the map: orange speaks for the class, blue against it."""
    shades = spectrogram.shades(samples, rate_hz=rate_hz)
    grey = np.interp(shades[:, :: -(-shades.shape[1] // COLUMNS)], (0, 255), GREY)
    rows, columns = grey.shape
    placed = on_axes(
        found, heard.edges_hz, heard.hop_s, (rows, columns), len(samples) / rate_hz, rate_hz=rate_hz, smooth=True
    )
    strong = max(np.quantile(np.abs(placed), STRONG), np.finfo(float).tiny)
    share = STRONGEST * (np.abs(placed) / strong).clip(0, 1)[:, :, None]
    mixed = (1 - share) * grey[:, :, None] + share * np.where(placed[:, :, None] > 0, FOR, AGAINST)
    content = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).quantize(128, dither=Image.Dither.NONE).save(content, "PNG")
    return content.getvalue()


def box(where: tuple[slice, slice], heard: Heard, duration_s: float, *, rate_hz: int) -> dict[str, float]:
    """Return the place of bands and frames on the axes of `curation.spectrogram`, from 0 to 1 each."""
    low, high = librosa.hz_to_mel(np.array([spectrogram.LOW_HZ, rate_hz / 2]))
    (start_s, end_s), (from_hz, to_hz) = bounds(where, heard, duration_s)
    bottom, top = ((high - librosa.hz_to_mel(np.array([from_hz, to_hz]))) / (high - low)).clip(0, 1)
    left, right = start_s / duration_s, end_s / duration_s
    return {"x": left, "y": float(top), "width": right - left, "height": float(bottom - top)}


def bounds(
    where: tuple[slice, slice], heard: Heard, duration_s: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return from when to when in s, and from where to where in Hz, some bands and frames are."""
    bands, frames = where
    start_s, end_s = ((frame - 0.5) * heard.hop_s for frame in (frames.start, frames.stop))
    low_hz, high_hz = heard.edges_hz[[bands.start, bands.stop]]
    return (max(0.0, start_s), min(duration_s, end_s)), (float(low_hz), float(high_hz))


def words(where: tuple[slice, slice], heard: Heard, duration_s: float) -> str:
    """Return the same in words."""
    (start_s, end_s), (low_hz, high_hz) = bounds(where, heard, duration_s)
    if high_hz < 1000:
        return f"{start_s:.1f} to {end_s:.1f} s, {low_hz:.0f} to {high_hz:.0f} Hz"
    return f"{start_s:.1f} to {end_s:.1f} s, {low_hz / 1000:.1f} to {high_hz / 1000:.1f} kHz"
