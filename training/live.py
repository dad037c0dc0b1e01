"""What a trained model says of one clip: by weights that have not learnt from it, where that can be told."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from curation import params, tables
from curation.clips import clip_path
from training import augment, clips, lite_cnn, mel, wav2vec2
from training.rounds import TEST

MODELS = {"lite_cnn": lite_cnn, "wav2vec2": wav2vec2}
AGAIN = "`dvc repro train` makes it, `dvc pull` fetches it."
Stamp: TypeAlias = list[tuple[Path, int, int]]


@dataclass(frozen=True)
class Live:
    """A model as stage `train` left it."""

    version: str  # its name and a hash of its weights, its predictions and its temperature
    data: params.Data  # what it takes for a clip
    predicted: Mapping[str, Mapping[str, float]]  # by clip: the probability of each class, out of sample
    folds: Mapping[str, int]  # by clip
    rounds: Mapping[int, nn.Module]  # by the fold that each has not learnt from
    mel: mel.Params | None  # None: the model reads the waveform
    temperature: float = 1.0  # of all its predictions, by stage `evaluate`; 1: not known

    def inputs(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the model reads of samples, and how much of its time is sound."""
        if self.mel is None:
            return wav2vec2.inputs(samples, lengths)
        return lite_cnn.inputs(samples, lengths, self.mel, rate_hz=self.data.rate_hz)


def probabilities(live: Live, clip_id: str, audio: Path) -> Mapping[str, float]:
    """Return the probability of each class.

    A clip that training predicted out of sample keeps that prediction. Of a new one the round speaks that held out
    the fold of its group; all rounds together, their probabilities averaged, when it has no fold yet.

    Args:
        live: the model.
        clip_id: the clip.
        audio: the folder of the clips; read for new clips only.

    Raises:
        click.ClickException: every round may have learnt from the clip, or it cannot be read.
    """
    if clip_id in live.predicted:
        return live.predicted[clip_id]
    models = judges(live, clip_id).values()
    if not clip_path(clip_id, audio).is_file():
        raise click.ClickException(f"{audio} has no clip {clip_id}.")
    x, lengths = live.inputs(*clips.read(audio, [clip_id], live.data))
    view = augment.repeat(x.float(), lengths, x.shape[-1])
    with torch.inference_mode():
        mean = torch.stack([model(view)[0].softmax(dim=0) for model in models]).mean(dim=0)
    return dict(zip(live.data.classes, mean.tolist(), strict=True))


def judges(live: Live, clip_id: str) -> Mapping[int, nn.Module]:
    """Return the rounds that have not learnt from a clip, by the fold that each held out; all where it has no fold.

    Raises:
        click.ClickException: every round may have learnt from the clip.
    """
    fold = live.folds.get(clip_id)
    found = {held_out: model for held_out, model in live.rounds.items() if fold in (None, held_out)}
    if not found:
        raise click.ClickException(f"{live.version} may have learnt from clip {clip_id}, so its word is worth nothing.")
    return found


def load(folder: Path, predictions: Path, folds: Path, metrics: Path | None = None) -> Live:
    """Return the model in `folder` with its `predictions`, and its temperature where the file `metrics` has one.

    Raises:
        click.ClickException: a file is missing or damaged.
    """
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        data = params.Data.model_validate({name: card[name] for name in params.Data.model_fields})
        named = {TEST if name == "test" else int(name.removeprefix("fold_")): name for name in card["rounds"]}
        rounds = {fold: MODELS[card["model"]].load(folder, name) for fold, name in named.items()}
        resolution = None if card["model"] == "wav2vec2" else mel.Params.model_validate(card["mel"])
        weights = [folder / f"{name}.safetensors" for name in named.values()]
        temperature = _temperature(metrics, card["model"])
        digest = _digest([folder / "model.json", *weights, predictions], temperature)
    except FileNotFoundError as error:
        raise click.ClickException(f"{error.filename or folder} does not exist. {AGAIN}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise click.ClickException(
            f"{folder} is no trained model ({type(error).__name__}: {error}). {AGAIN}"
        ) from error
    version = f"{card['model']}-{digest}"
    return Live(version, data, wide(predictions, data), _folds(folds), rounds, resolution, temperature)


def _temperature(metrics: Path | None, model: str) -> float:
    if metrics is None or not metrics.exists():
        return 1.0
    return float(json.loads(metrics.read_text(encoding="utf-8")).get(model, {}).get("temperature", 1.0))


def wide(path: Path, data: params.Data) -> dict[str, dict[str, float]]:
    """Return the probability of each class by clip, as a table of predictions has them.

    Raises:
        click.ClickException: it is missing, damaged or of other classes.
    """
    wide = tables.read(path, tables.PREDICTIONS).pivot_table(index="clip_id", columns="label", values="probability")
    if set(wide.columns) != set(data.classes):
        raise click.ClickException(f"{path} has the classes {list(wide.columns)}, its model {data.classes}. {AGAIN}")
    rows = zip(wide.index, wide[list(data.classes)].to_numpy().tolist(), strict=True)
    return {clip_id: dict(zip(data.classes, row, strict=True)) for clip_id, row in rows}


def _folds(path: Path) -> dict[str, int]:
    table = tables.read(path, tables.FOLDS)
    return dict(zip(table["clip_id"], table["fold"], strict=True))


def _digest(paths: Sequence[Path], temperature: float) -> str:
    digest = hashlib.sha256(str(temperature).encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:8]


class Latest:
    """The model as it lies on the disk, read again whenever it has changed there."""

    def __init__(self, folder: Path, predictions: Path, folds: Path, metrics: Path) -> None:
        self._paths = (folder, predictions, folds, metrics)
        self._one_at_a_time = threading.Lock()
        self._stamp: Stamp = []
        self._live: Live | None = None

    def __call__(self) -> Live:
        """Return the model.

        Raises:
            click.ClickException: it is missing, damaged, or being written.
        """
        with self._one_at_a_time:
            stamp = self._files()
            if self._live is None or stamp != self._stamp:
                live = load(*self._paths)
                if self._files() != stamp:
                    raise click.ClickException(f"{self._paths[0]} is being written. Ask again when that is done.")
                self._live, self._stamp = live, stamp
            return self._live

    def _files(self) -> Stamp:
        folder, *files, metrics = self._paths
        known = [metrics] if metrics.exists() else []
        try:
            stats = [(path, path.stat()) for path in (*sorted(folder.glob("*")), *files, *known)]
        except FileNotFoundError:
            return []
        return [(path, stat.st_mtime_ns, stat.st_size) for path, stat in stats]
