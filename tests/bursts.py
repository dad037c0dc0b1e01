"""Clips of noise in which a class is a tone burst at a known time and frequency, and models that have learnt it."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rows
import soundfile
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from curation import files, tables
from training import encoders, heard, lite_cnn, mel, wav2vec2
from training.heard import Heard

RATE_HZ, CLIP_S = 8000, 1.2
BURST_HZ, BURST_S = 1500.0, 0.25
MEL = mel.Params(window_s=0.032, hop_s=0.02, bands=32, min_hz=50, max_hz=4000)
CHANNELS = (8, 16, 16)
SCRATCH = encoders.Scratch(convolutions=((16, 64, 80),), width=16, heads=2, layers=1, dropout=0)
CLASSES = ("burst", "noise")
BURST = 0  # number of the class
STEPS = {"lite_cnn": 100, "wav2vec2": 50}
BATCH = 16
LENGTHS = torch.full((BATCH,), round(CLIP_S * RATE_HZ))


def clip(start_s: float | None, rng: np.random.Generator) -> np.ndarray:
    """Return a clip of noise as int16, with a burst from `start_s` on, if any."""
    samples = 0.02 * rng.standard_normal(round(CLIP_S * RATE_HZ))
    if start_s is not None:
        n, first = round(BURST_S * RATE_HZ), round(start_s * RATE_HZ)
        samples[first : first + n] += 0.1 * np.hanning(n) * np.sin(2 * np.pi * BURST_HZ * np.arange(n) / RATE_HZ)
    return (32767 * samples).astype(np.int16)


@functools.cache
def learnt(name: str) -> nn.Module:
    """Return a model of this name that has learnt in seconds to tell clips with a burst from those without."""
    model, made = new(name), inputs(name)
    rng = np.random.default_rng(0)
    targets = torch.arange(BATCH) % 2
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(STEPS[name]):
        starts = [None if absent else rng.uniform(0, CLIP_S - BURST_S) for absent in targets]
        x, _ = made(torch.from_numpy(np.stack([clip(start, rng) for start in starts])), LENGTHS)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.float()), targets).backward()
        optimizer.step()
    return model.eval()


def new(name: str) -> nn.Module:
    """Return a model of this name that has learnt nothing yet."""
    torch.manual_seed(1)
    if name == "lite_cnn":
        return lite_cnn.LiteCNN(MEL.bands, CHANNELS, 2, dropout=0)
    encoder, _ = encoders.scratch(SCRATCH, MEL, rate_hz=RATE_HZ)
    return wav2vec2.Wav2Vec2(encoder, 2, dropout=0, unfrozen_layers="all")


def inputs(name: str) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return what makes the inputs of a model of this name."""
    if name == "lite_cnn":
        return lambda samples, lengths: lite_cnn.inputs(samples, lengths, MEL, rate_hz=RATE_HZ)
    return wav2vec2.inputs


def hear(name: str, model: nn.Module, samples: np.ndarray, length: int | None = None) -> Heard:
    """Return what a model hears of a clip, of which `length` samples are sound."""
    x, lengths = inputs(name)(torch.from_numpy(samples)[None], torch.tensor([length or len(samples)]))
    if name == "lite_cnn":
        return heard.spectrogram(model, x[0], int(lengths), MEL)
    return heard.waveform(model, x[0].float(), int(lengths), rate_hz=RATE_HZ)


def write(root: Path, name: str, model: nn.Module, starts: dict[str, float | None]) -> None:
    """Write a project below `root`: clips with bursts at `starts` by clip_id, labelled so, judged by `model` as fold 0.

    The model is written to have said of every clip that it has no burst.
    """
    rng = np.random.default_rng(3)
    (root / "data/clips").mkdir(parents=True)
    for clip_id, start in starts.items():
        soundfile.write(root / f"data/clips/{clip_id}.wav", clip(start, rng), RATE_HZ, subtype="PCM_16")
    folder = root / "models" / name
    folder.mkdir(parents=True)
    save_model(model, folder / "fold_0.safetensors")
    card = {"rate_hz": RATE_HZ, "clip_s": CLIP_S, "classes": CLASSES, "model": name, "rounds": ["fold_0"]}
    own = {
        "lite_cnn": {"channels": CHANNELS, "mel": MEL.model_dump()},
        "wav2vec2": {"encoder": encoders.scratch(SCRATCH, MEL, rate_hz=RATE_HZ)[1]},
    }
    files.write_json(card | own[name], folder / "model.json")
    label = {clip_id: CLASSES[start is None] for clip_id, start in starts.items()}
    said = [
        {"clip_id": clip_id, "label": one, "probability": probability}
        for clip_id in starts
        for one, probability in zip(CLASSES, (0.1, 0.9), strict=True)
    ]
    for kind, path, table in (
        (tables.PREDICTIONS, f"predictions/{name}.csv", rows.table(tables.PREDICTIONS, *said)),
        (tables.CLIPS, "clips.csv", rows.table(tables.CLIPS, *({"clip_id": c, "file": f"{c}.ogg"} for c in starts))),
        (tables.FOLDS, "folds.csv", rows.table(tables.FOLDS, *({"clip_id": c, "fold": 0} for c in starts))),
        (tables.LABELS, "labels.csv", rows.labelled(tables.LABELS, **label)),
    ):
        tables.write(table, root / "data" / path, kind)
