"""Time an epoch at WAV2VEC2_BASE's size, random weights: frozen layers that hear a clip once, or in every epoch."""

import argparse
import resource
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchaudio
import yaml
from lightning_fabric import Fabric
from safetensors.torch import save_file

from curation import files, params
from training import encoders, fit, mel, optimizers, wav2vec2
from training.clips import Clips
from training.rounds import Round

ROOT = Path(__file__).parents[1]
DATA = params.Data(classes=("harmful", "safe"), clip_s=8, rate_hz=16_000)
LIMITS = {2: 4.5, 0: 100.0}  # how many times faster an epoch must be, by unfrozen layers
TOLERANCE = 0.01  # between the losses of the two


class Run(NamedTuple):
    """CPU time of the fastest epoch, and the loss of each."""

    learn_s: float
    validate_s: float
    losses: list[float]


def write(folder: Path) -> None:
    """Write an encoder of WAV2VEC2_BASE's size with random weights."""
    torch.manual_seed(0)
    arguments = torchaudio.pipelines.WAV2VEC2_BASE._params
    folder.mkdir()
    files.write_json(arguments, folder / encoders.CONFIG)
    save_file(encoders.empty(arguments).state_dict(), folder / encoders.WEIGHTS)


def recipe(weights: Path, unfrozen_layers: int, epochs: int) -> wav2vec2.Params:
    """Return the section of params.yaml with weights of which only the top learns, from clips as they are."""
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["wav2vec2"]
    changes = {"weights": str(weights), "unfrozen_layers": unfrozen_layers, "augment": None, "mixup_alpha": 0.0}
    return wav2vec2.Params(**section | changes | {"epochs": epochs, "min_steps": 1})


def train(p: wav2vec2.Params, clips: Clips) -> Run:
    """Train as `fit.fit` does, with one clip in four set aside to validate on."""
    fabric, resolution = Fabric(accelerator="auto", devices=1), mel.Params.load("mel", ROOT / "params.yaml")
    torch.manual_seed(0)
    model = wav2vec2.build(p, resolution, DATA)
    model, optimizer = fabric.setup(model, optimizers.adamw(model, weight_decay=p.weight_decay))
    learned = 3 * len(clips.x) // 4
    turn = Round(0, torch.arange(learned), torch.arange(learned, len(clips.x)), torch.arange(0))
    vary = partial(wav2vec2.vary, p=p.augment, rate_hz=DATA.rate_hz)
    learn_s, validate_s, losses = [], [], []
    for epoch in range(p.epochs):
        begun = time.process_time()
        losses.append(fit.learn(fabric, model, optimizer, clips, turn, p, epoch=epoch, vary=vary))
        learn_s.append(time.process_time() - begun)
        begun = time.process_time()
        fit.predict(model, clips, turn.valid, p)
        validate_s.append(time.process_time() - begun)
    return Run(min(learn_s), min(validate_s), losses)


def compare(weights: Path, unfrozen_layers: int, samples: torch.Tensor, epochs: int) -> dict[str, float]:
    """Return what both ways took, their greatest difference of loss, and what is kept of a clip."""
    p = recipe(weights, unfrozen_layers, epochs)
    lengths = torch.full((len(samples),), samples.shape[1])
    targets, ones = torch.eye(2)[torch.arange(len(samples)) % 2], torch.ones(len(samples))
    anew = train(p, Clips(*wav2vec2.inputs(samples, lengths), targets, ones))
    resolution = mel.Params.load("mel", ROOT / "params.yaml")
    begun = time.process_time()
    kept = wav2vec2.prepare(
        samples, lengths, p, lambda: wav2vec2.build(p, resolution, DATA), weights / f"kept_{unfrozen_layers}"
    )
    prepared_s = time.process_time() - begun
    once = train(p, Clips(*kept, targets, ones))
    return {
        "epoch, heard anew, s": anew.learn_s + anew.validate_s,
        "epoch, heard once, s": once.learn_s + once.validate_s,
        "epoch, times faster": (anew.learn_s + anew.validate_s) / (once.learn_s + once.validate_s),
        "of it learning, times": anew.learn_s / once.learn_s,
        "hearing once, s": prepared_s,
        "loss, first epoch": anew.losses[0],
        "loss, last epoch": anew.losses[-1],
        "loss, largest gap": max(abs(a - b) for a, b in zip(anew.losses, once.losses, strict=True)),
        "kept of a clip, MB": kept[0][0].numel() * 2 / 1e6,
    }


def main() -> None:
    """Print a table, write JSON, and fail when a figure is worse than promised."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=16)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    torch.set_num_threads(1)  # as in a round
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.integers(-9999, 9999, (given.clips, 8 * 16_000)).astype(np.int16))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights")
        write(weights)
        found = {str(n): compare(weights, n, samples, given.epochs) for n in LIMITS}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.clips} clips of 8 s, CPU time of one thread; peak {peak_mb:.0f} MB")
    for name in next(iter(found.values())):
        print(f"{name:24}", *(f"{n} layers free: {figures[name]:10.4f}   " for n, figures in found.items()))
    if given.json:
        files.write_json({"clips": given.clips, "peak_mb": peak_mb, "unfrozen_layers": found}, given.json)
    for n, least in LIMITS.items():
        assert found[str(n)]["epoch, times faster"] >= least, f"{n} layers free: not {least} times faster"
        assert found[str(n)]["loss, largest gap"] < TOLERANCE


if __name__ == "__main__":
    main()
