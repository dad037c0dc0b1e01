"""Time an epoch of Wav2Vec2 at WAV2VEC2_BASE's size, random weights: frozen layers heard once against in every epoch."""

import argparse
import resource
import tempfile
import time
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
LIMITS = {2: 4.5, 0: 100.0}  # how many times faster, by unfrozen layers
TOLERANCE = 0.01  # between the losses of the two


class Run(NamedTuple):
    """What one way of training took."""

    epoch_s: float
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
    return wav2vec2.Params(**section | changes | {"batch_clips": 4, "epochs": epochs, "min_steps": 1})


def learn(p: wav2vec2.Params, clips: Clips) -> Run:
    """Train as `fit.fit` does, and return the shortest epoch and the loss of each."""
    fabric = Fabric(accelerator="auto", devices=1)
    torch.manual_seed(0)
    model = wav2vec2.build(p, mel.Params.load("mel", ROOT / "params.yaml"), DATA)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # its draws would hide what half floats change
    turn = Round(0, torch.arange(len(clips.x)), torch.arange(0), torch.arange(0))
    model, optimizer = fabric.setup(model, optimizers.adamw(model, weight_decay=p.weight_decay))
    took_s, losses = [], []
    for epoch in range(p.epochs):
        begun = time.perf_counter()
        losses.append(
            fit.learn(
                fabric,
                model,
                optimizer,
                clips,
                turn,
                p,
                epoch=epoch,
                vary=lambda x, n, rng: wav2vec2.vary(x, n, rng, p.augment, rate_hz=DATA.rate_hz),
            )
        )
        took_s.append(time.perf_counter() - begun)
    return Run(min(took_s), losses)


def compare(weights: Path, unfrozen_layers: int, samples: torch.Tensor, epochs: int) -> dict[str, float]:
    """Return what both ways took, their greatest difference of loss, and what is kept of a clip."""
    p = recipe(weights, unfrozen_layers, epochs)
    lengths = torch.full((len(samples),), samples.shape[1])
    targets, ones = torch.eye(2)[torch.arange(len(samples)) % 2], torch.ones(len(samples))
    anew = learn(p, Clips(*wav2vec2.inputs(samples, lengths), targets, ones))
    resolution = mel.Params.load("mel", ROOT / "params.yaml")
    begun = time.perf_counter()
    kept = wav2vec2.prepare(
        samples, lengths, p, lambda: wav2vec2.build(p, resolution, DATA), weights / f"kept_{unfrozen_layers}"
    )
    prepared_s = time.perf_counter() - begun
    once = learn(p, Clips(*kept, targets, ones))
    return {
        "anew_epoch_s": anew.epoch_s,
        "once_epoch_s": once.epoch_s,
        "times_faster": anew.epoch_s / once.epoch_s,
        "once_prepared_s": prepared_s,
        "largest_loss_difference": max(abs(a - b) for a, b in zip(anew.losses, once.losses, strict=True)),
        "loss_of_first_epoch": anew.losses[0],
        "loss_of_last_epoch": anew.losses[-1],
        "kept_mb_a_clip": kept[0][0].numel() * 2 / 1e6,
    }


def main() -> None:
    """Print a table, write JSON, and fail when a figure is worse than promised."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=8)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.integers(-9999, 9999, (given.clips, 8 * 16_000)).astype(np.int16))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights")
        write(weights)
        found = {str(n): compare(weights, n, samples, given.epochs) for n in LIMITS}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.clips} clips of 8 s, batches of 4, {torch.get_num_threads()} threads; peak {peak_mb:.0f} MB")
    for name in next(iter(found.values())):
        print(f"{name:24}", *(f"{n} layers free: {figures[name]:10.4f}   " for n, figures in found.items()))
    if given.json:
        files.write_json({"clips": given.clips, "peak_mb": peak_mb, "unfrozen_layers": found}, given.json)
    for n, least in LIMITS.items():
        assert found[str(n)]["times_faster"] >= least, f"{n} layers free: not {least} times faster"
        assert found[str(n)]["largest_loss_difference"] < TOLERANCE


if __name__ == "__main__":
    main()
