"""Time an epoch at WAV2VEC2_BASE's size, random weights: frozen layers that hear a clip once, or in every epoch."""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

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

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
DATA = params.Data(classes=("harmful", "safe"), clip_s=8, rate_hz=16_000)
LIMITS = {2: 4.5, 0: 100.0}  # how many times less time an epoch must take, by unfrozen layers
TOLERANCE = 0.01  # between the losses of the two
KEPT_MB = 0.65  # of a clip, at most


class Time(NamedTuple):
    """What something took; others on the machine lengthen the second."""

    cpu_s: float
    wall_s: float


class Epoch(NamedTuple):
    """What an epoch took, and its loss."""

    learn: Time
    validate: Time
    loss: float


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


def timed(run: Callable[[], T]) -> tuple[T, Time]:
    """Return what `run` returns, and how long it took."""
    begun = time.process_time(), time.perf_counter()
    found = run()
    return found, Time(time.process_time() - begun[0], time.perf_counter() - begun[1])


def train(p: wav2vec2.Params, clips: Clips) -> Iterator[Epoch]:
    """Train as `fit.fit` does, with one clip in four set aside to validate on, an epoch whenever one is asked for."""
    fabric, resolution = Fabric(accelerator="auto", devices=1), mel.Params.load("mel", ROOT / "params.yaml")
    torch.manual_seed(0)
    model = wav2vec2.build(p, resolution, DATA)
    model, optimizer = fabric.setup(model, optimizers.adamw(model, weight_decay=p.weight_decay))
    learned = 3 * len(clips.x) // 4
    turn = Round(0, torch.arange(learned), torch.arange(learned, len(clips.x)), torch.arange(0))
    vary = partial(wav2vec2.vary, p=p.augment, rate_hz=DATA.rate_hz)
    for epoch in range(p.epochs):
        loss, learn = timed(partial(fit.learn, fabric, model, optimizer, clips, turn, p, epoch=epoch, vary=vary))
        _, validate = timed(partial(fit.predict, model, clips, turn.valid, p))
        yield Epoch(learn, validate, loss)


def compare(weights: Path, unfrozen_layers: int, samples: torch.Tensor, epochs: int) -> dict[str, float]:
    """Return what both ways took, an epoch of each in turn, their losses, and what is kept of a clip."""
    p, resolution = recipe(weights, unfrozen_layers, epochs), mel.Params.load("mel", ROOT / "params.yaml")
    lengths = torch.full((len(samples),), samples.shape[1])
    targets, ones = torch.eye(2)[torch.arange(len(samples)) % 2], torch.ones(len(samples))
    folder = weights / f"kept_{unfrozen_layers}"
    build = partial(wav2vec2.build, p, resolution, DATA)
    kept, prepared = timed(partial(wav2vec2.prepare, samples, lengths, p, build, folder))
    given = (Clips(*wav2vec2.inputs(samples, lengths), targets, ones), Clips(*kept, targets, ones))
    anew, once = zip(*zip(*(train(p, clips) for clips in given), strict=True), strict=True)
    gap = max(abs(one.loss - other.loss) for one, other in zip(anew, once, strict=True))
    losses = {"loss, first epoch": anew[0].loss, "loss, last epoch": anew[-1].loss, "loss, largest gap": gap}
    kept_mb = kept[0][0].numel() * kept[0].element_size() / 1e6
    return {
        **faster(anew, once, "cpu_s"),
        **faster(anew, once, "wall_s"),
        **losses,
        "hearing once, cpu_s": prepared.cpu_s,
        "kept of a clip, MB": kept_mb,
    }


def faster(anew: Sequence[Epoch], once: Sequence[Epoch], clock: str) -> dict[str, float]:
    """Return the time of the fastest epoch of both ways by a clock, and how many times less the second takes."""
    learn, validate = (
        [min(getattr(getattr(epoch, part), clock) for epoch in way) for way in (anew, once)]
        for part in ("learn", "validate")
    )
    whole = [sum(pair) for pair in zip(learn, validate, strict=True)]
    return {
        f"epoch, heard anew, {clock}": whole[0],
        f"epoch, heard once, {clock}": whole[1],
        f"epoch, times less {clock}": whole[0] / whole[1],
        f"learning, times less {clock}": learn[0] / learn[1],
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
    print(f"{given.clips} clips of 8 s, one thread; peak {peak_mb:.0f} MB")
    for name in next(iter(found.values())):
        print(f"{name:28}", *(f"{n} layers free: {figures[name]:10.4f}   " for n, figures in found.items()))
    if given.json:
        files.write_json({"clips": given.clips, "peak_mb": peak_mb, "unfrozen_layers": found}, given.json)
    for n, least in LIMITS.items():
        assert found[str(n)]["epoch, times less cpu_s"] >= least, f"{n} layers free: not {least} times faster"
        assert found[str(n)]["loss, largest gap"] < TOLERANCE
        assert found[str(n)]["kept of a clip, MB"] <= KEPT_MB


if __name__ == "__main__":
    main()
