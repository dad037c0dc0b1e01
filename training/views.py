"""Show what the models are fed of a clip in training, and make it heard."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

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
from training.recipe import Recipe

PAGE = Path(__file__).parent / "views_page"
VIEWS = 4  # of each clip and model
COLUMNS = 500  # of a picture
OVERLAP = 4  # windows over each other, where a spectrogram becomes sound
PEAK = 0.5  # of the loudest view of a model on the page

Augment = TypeVar("Augment", bound=params.Section | None)
Views: TypeAlias = dict[str, NDArray[np.float32]]  # by name: with every step of `augment`, then each step alone


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
    one = clips.read(audio, [clip_id], data)
    resolution = mel.Params.load("mel")
    seen = spectrograms(*one, resolution, rate_hz)
    loudest_db = max(float(view.max()) for view in seen.values())
    played = _levelled({name: resynthesised(view, resolution, rate_hz=rate_hz) for name, view in seen.items()})
    for name, view in seen.items():
        made = explanation.player(played[name], rate_hz)
        shown = picture(view - loudest_db, resolution, made["duration_s"], rate_hz=rate_hz)
        yield {**known, "view": f"lite_cnn, {name}", **made, "picture": shown, "made": True}
    for name, view in _levelled(waveforms(*one, rate_hz)).items():
        yield {**known, "view": f"wav2vec2, {name}", **explanation.player(view, rate_hz)}


def spectrograms(samples: Tensor, lengths: Tensor, resolution: mel.Params, rate_hz: int) -> Views:
    """Return training views of a clip, shape (1, samples), as LiteCNN reads them: in dB, shape (bands, frames)."""
    p = recipes.load(lite_cnn.Params, "lite_cnn")

    def vary(samples: Tensor, lengths: Tensor, a: lite_cnn.Augment) -> Tensor:
        x, frames = lite_cnn.inputs(samples, lengths, resolution, rate_hz=rate_hz, speeds=a.speeds or ())
        held, rng = clips.Clips(x, frames, torch.zeros(len(samples), 1), torch.ones(len(samples))), _rng(p)
        heard = held.drawn(torch.arange(len(samples)), rng)
        return lite_cnn.vary(x[heard], frames[heard], rng, a, resolution=resolution)

    return _views(samples, lengths, p.augment, vary)


def waveforms(samples: Tensor, lengths: Tensor, rate_hz: int) -> Views:
    """Return training views of a clip, shape (1, samples), as Wav2Vec 2.0 reads them, shape (samples,)."""
    p = recipes.load(wav2vec2.Params, "wav2vec2")
    x, _ = wav2vec2.inputs(samples, lengths)
    return _views(x.float(), lengths, p.augment, lambda x, n, a: wav2vec2.vary(x, n, _rng(p), a, rate_hz=rate_hz))


def _views(x: Tensor, lengths: Tensor, p: Augment, vary: Callable[[Tensor, Tensor, Augment], Tensor]) -> Views:
    together = vary(x.repeat_interleave(VIEWS, 0), lengths.repeat_interleave(VIEWS), p)
    found = {f"view {number}": view for number, view in enumerate(together, 1)}
    found |= {name: vary(x, lengths, alone)[0] for name, alone in steps(p).items()}
    return {name: view.numpy() for name, view in found.items()}


def steps(p: Augment) -> dict[str, Augment]:
    """Return the key `augment` with one step alone, by the name of the step and what `p` says of it."""
    if p is None:
        return {}
    asked = {name: value for name, value in p if name != "crop_s" and value}
    off = {name: None if isinstance(value, tuple) else 0 for name, value in asked.items()}
    return {
        f"{name}: {json.dumps(value)} alone": p.model_copy(update=off | {name: value}) for name, value in asked.items()
    }


def _rng(p: Recipe) -> np.random.Generator:
    return np.random.default_rng(p.seed)


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
    made: Samples = librosa.griffinlim(spectrum, hop_length=hop, n_fft=size, length=length, random_state=0)
    return made


def picture(view: NDArray[np.float32], p: mel.Params, duration_s: float, *, rate_hz: int) -> str:
    """Return a log-mel spectrogram in dB, shape (bands, frames), as a picture on the axes of all pages; 0 is light."""
    shades = spectrogram.levels(view).astype(np.float32)
    size = (spectrogram.BANDS, COLUMNS)
    placed = overlay.on_axes(
        shades, heard.mel_edges_hz(p), p.hop_s, size, duration_s, rate_hz=rate_hz, smooth=False
    ).astype(np.uint8)
    return webpage.url(spectrogram.coloured(placed), "png")


def _levelled(views: Mapping[str, NDArray[np.float32]]) -> dict[str, Samples]:
    """Return the sounds at one level together, so that one that is louder than another stays so."""
    loudest = max(np.finfo(np.float32).tiny, *(np.abs(view).max() for view in views.values()))
    return {name: PEAK * view / loudest for name, view in views.items()}
