"""What there is to show of a clip and of what a model says of it: sound, maps, and how far each map holds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from curation import params, spectrogram, webpage
from curation.audio import Samples
from training import attribution, augment, clips, heard, live, overlay
from training.heard import Heard
from training.rounds import TEST

METHODS = {
    "lite_cnn": ("occlusion", "SHAP", "Grad-CAM"),
    "wav2vec2": ("integrated gradients", "occlusion"),
}  # those that do better than chance in bench/explain.py, the best first
BACKGROUND = 32  # clips that SHAP compares with
ELSEWHERE = [(bands / 3, frames / 4) for bands in range(3) for frames in range(4)][1:]  # shifts, as shares of the grid


def card(model: live.Live, clip: Mapping[Any, Any], audio: Path, methods: Sequence[str]) -> dict[Any, Any]:
    """Return what the page shows of a clip.

    Args:
        model: which explains itself.
        clip: what is known of it, with its `clip_id`.
        audio: the folder of the clips.
        methods: of `attribution.METHODS`.

    Raises:
        click.ClickException: every round may have learnt from the clip, or it cannot be read.
    """
    clip_id = clip["clip_id"]
    probabilities = live.probabilities(model, clip_id, audio)
    said = max(probabilities, key=probabilities.__getitem__)
    judges = live.judges(model, clip_id)
    grids = [hear(model, clip_id, audio, judge) for judge in judges.values()]
    samples = sound(clip_id, audio, model.data)
    return {
        **clip,
        **player(samples, model.data.rate_hz),
        "said": said,
        "probability": probabilities[said],
        "judged_by": " and ".join("the test fold" if fold == TEST else f"fold {fold}" for fold in judges),
        "panels": [*_panels(grids, model, said, background(model, clip_id, audio, grids[0]), samples, methods)],
    }


def sound(clip_id: str, audio: Path, data: params.Data) -> Samples:
    """Return the samples of a clip as a model hears them, shape (n_samples,): without the zeros at the end."""
    samples, lengths = clips.read(audio, [clip_id], data)
    whole: Samples = (samples[0, : int(lengths)] / 32768).numpy()
    return whole


def player(samples: Samples, rate_hz: int) -> dict[str, Any]:
    """Return what the template `player` shows of samples."""
    media = {ending: webpage.url(content, ending) for ending, content in webpage.media(samples, rate_hz).items()}
    duration_s = len(samples) / rate_hz
    ticks = {"duration_s": duration_s, "ticks_s": spectrogram.ticks_s(duration_s)}
    return {"sound": media["flac"], "picture": media["png"], **ticks}


def hear(model: live.Live, clip_id: str, audio: Path, judge: nn.Module) -> Heard:
    """Return what one round of a model hears of a clip."""
    x, lengths = model.inputs(*clips.read(audio, [clip_id], model.data))
    if model.mel:
        return heard.spectrogram(judge, x[0], int(lengths), model.mel)
    return heard.waveform(judge, x[0].float(), int(lengths), rate_hz=model.data.rate_hz)


def background(model: live.Live, clip_id: str, audio: Path, grid: Heard) -> torch.Tensor:
    """Return what SHAP compares a clip with: others that training knew, as long as it; of waveforms faint noise."""
    if not model.mel:
        return torch.zeros_like(grid.x)
    others = [other for other in sorted(model.predicted) if other != clip_id][:BACKGROUND]
    x, lengths = model.inputs(*clips.read(audio, others, model.data))
    return augment.repeat(x, lengths, grid.x.shape[-1])


def _panels(
    grids: Sequence[Heard],
    model: live.Live,
    said: str,
    compared: torch.Tensor,
    samples: Samples,
    methods: Sequence[str],
) -> Iterator[dict[str, Any]]:
    rate_hz, number = model.data.rate_hz, model.data.classes.index(said)
    duration_s = len(samples) / rate_hz
    for method in methods:
        found = np.mean([attribution.METHODS[method](grid, number, compared) for grid in grids], axis=0)
        picture = webpage.url(overlay.png(found, grids[0], samples, rate_hz=rate_hz), "png")
        panel: dict[str, Any] = {"method": method, "picture": picture, "ticks_s": spectrogram.ticks_s(duration_s)}
        if where := attribution.region(found):
            panel["where"] = overlay.words(where, grids[0], duration_s)
            panel["box"] = overlay.box(where, grids[0], duration_s, rate_hz=rate_hz)
            panel["without"], panel["elsewhere"] = without(where, grids, number)
        yield panel


def without(where: tuple[slice, slice], grids: Sequence[Heard], said: int) -> tuple[float, float]:
    """Return the probability of class number `said` when some bands and frames are hidden, and as many elsewhere.

    Elsewhere is the mean over other places of the grid.
    """
    mask = np.zeros(grids[0].x.shape[1:], bool)
    mask[where] = True
    shifts = [(round(bands * mask.shape[0]), round(frames * mask.shape[1])) for bands, frames in ELSEWHERE]
    hidden = torch.from_numpy(np.stack([mask, *(np.roll(mask, shift, axis=(0, 1)) for shift in shifts)]))
    left = torch.stack([grid.probability(grid.without(hidden), said) for grid in grids]).mean(dim=0)
    return float(left[0]), float(left[1:].mean())
