"""Show what the models are fed of a clip in training, and make it heard."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from curation import params, spectrogram, webpage
from curation.audio import Samples
from training import clips, explanation, heard, lite_cnn, mel, overlay, recipes, wav2vec2

PAGE = Path(__file__).parent / "views_page"
VIEWS = 4  # of each clip and model
COLUMNS = 500  # of a picture
OVERLAP = 4  # windows over each other, where a spectrogram becomes sound
PEAK = 0.5  # of a sound on the page


def page(shown: pd.DataFrame, audio: Path) -> str:
    """Return the page in HTML: each clip, and views of it as training makes them; it needs no other file.

    Args:
        shown: `clip_id` and `file` of the clips.
        audio: the folder of the clips.

    Raises:
        click.ClickException: a clip cannot be read.
    """
    data = params.Data.load("data")
    bar = tqdm(shown.to_dict("records"), desc="explain", unit="clip", delay=2)
    cards = [card for clip in bar for card in _cards(clip, audio, data)]
    return webpage.render(PAGE, inline=True, cards=cards, axes=webpage.axes(data.rate_hz))


def _cards(known: Mapping[Any, Any], audio: Path, data: params.Data) -> Iterator[dict[Any, Any]]:
    clip_id, rate_hz = known["clip_id"], data.rate_hz
    yield {**known, "view": "as it is", **explanation.player(explanation.sound(clip_id, audio, data), rate_hz)}
    samples, lengths = (torch.cat([one] * VIEWS) for one in clips.read(audio, [clip_id], data))
    resolution = mel.Params.load("mel")
    for number, view in enumerate(spectrograms(samples, lengths, resolution, rate_hz), 1):
        made = explanation.player(resynthesised(view, resolution, rate_hz=rate_hz), rate_hz)
        read = {"picture": picture(view, resolution, made["duration_s"], rate_hz=rate_hz), "made": True}
        yield {**known, "view": f"lite_cnn, view {number}", **made, **read}
    for number, view in enumerate(waveforms(samples, lengths, rate_hz), 1):
        yield {**known, "view": f"wav2vec2, view {number}", **explanation.player(_levelled(view), rate_hz)}


def spectrograms(samples: Tensor, lengths: Tensor, resolution: mel.Params, rate_hz: int) -> NDArray[np.float32]:
    """Return a training view of each clip as LiteCNN reads it, in dB, shape (clips, bands, frames)."""
    p = recipes.load(lite_cnn.Params, "lite_cnn")
    x, frames = lite_cnn.inputs(samples, lengths, resolution, rate_hz=rate_hz)
    views: NDArray[np.float32] = lite_cnn.vary(
        x, frames, np.random.default_rng(p.seed), p.augment, hop_s=resolution.hop_s
    ).numpy()
    return views


def waveforms(samples: Tensor, lengths: Tensor, rate_hz: int) -> NDArray[np.float32]:
    """Return a training view of each clip as Wav2Vec 2.0 reads it, shape (clips, samples)."""
    p = recipes.load(wav2vec2.Params, "wav2vec2")
    x, _ = wav2vec2.inputs(samples, lengths)
    views: NDArray[np.float32] = wav2vec2.vary(
        x.float(), lengths, np.random.default_rng(p.seed), p.augment, rate_hz=rate_hz
    ).numpy()
    return views


def resynthesised(view: NDArray[np.float32], p: mel.Params, *, rate_hz: int) -> Samples:
    """Return a sound that has the log-mel spectrogram `view`, in dB, of shape (bands, frames).

    The spectrogram holds no phase: this finds one that fits. Griffin and Lim 1984, doi 10.1109/TASSP.1984.1164317.
    """
    size = round(p.window_s * rate_hz)
    hop = size // OVERLAP
    length = view.shape[1] * mel.hop(p, rate_hz=rate_hz)
    times_s, finer_s = np.arange(view.shape[1]) * p.hop_s, np.arange(1 + length // hop) * hop / rate_hz
    finer_db = np.stack([np.interp(finer_s, times_s, band) for band in view])
    spectrum = librosa.feature.inverse.mel_to_stft(
        librosa.db_to_power(finer_db), sr=rate_hz, n_fft=size, fmin=p.min_hz, fmax=p.max_hz
    )
    return _levelled(librosa.griffinlim(spectrum, hop_length=hop, n_fft=size, length=length, random_state=0))


def picture(view: NDArray[np.float32], p: mel.Params, duration_s: float, *, rate_hz: int) -> str:
    """Return a log-mel spectrogram in dB, of shape (bands, frames), as a picture on the axes of all pages."""
    shades = spectrogram.levels(view - view.max()).astype(np.float32)
    size = (spectrogram.BANDS, COLUMNS)
    placed = overlay.on_axes(
        shades, heard.mel_edges_hz(p), p.hop_s, size, duration_s, rate_hz=rate_hz, smooth=False
    ).astype(np.uint8)
    return webpage.url(spectrogram.coloured(placed), "png")


def _levelled(samples: NDArray[np.float32]) -> Samples:
    levelled: Samples = PEAK * samples / max(np.abs(samples).max(), np.finfo(np.float32).tiny)
    return levelled
