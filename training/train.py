"""Train the rounds of one model and write what they give: the shell that the models share."""

import functools
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import joblib
import pandas as pd
import torch
from safetensors.torch import save
from torch import Tensor, nn

from curation import files, params, tables
from training import checkpoints, clips, fit, memory, ranks, rounds
from training.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., None])
WATCH_S = 1.0  # a worker outlives its parent by no more
OPTIONS = {
    "--train": "The training list.",
    "--folds": "The fold of each clip.",
    "--audio": "The folder of the clips.",
    "--models": "Where the weights and the model's description go.",
    "--out": "Where the predictions go.",
    "--live": "Where DVCLive's metrics go, a folder for each round.",
    "--checkpoint": "Where an unfinished training keeps its state.",
}


@dataclass(frozen=True)
class Paths:
    """Where a training reads and writes."""

    train: Path
    folds: Path
    audio: Path
    models: Path
    out: Path
    live: Path
    checkpoint: Path


def options(command: Command) -> Command:
    """Add the options of a training stage to a command."""
    for name, meaning in reversed(OPTIONS.items()):
        command = click.option(name, type=click.Path(path_type=Path), required=True, help=meaning)(command)
    return command


def train(
    paths: Paths,
    data: params.Data,
    p: Recipe,
    *,
    inputs: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    build: Callable[[], nn.Module],
    vary: fit.Vary,
    card: Mapping[str, files.Json],
    view_s: float,
    spare: str = "",
    processes: int = 1,
) -> None:
    """Train every round; write its weights, its metrics and, out of sample, the predictions of its held-out clips.

    Args:
        paths: where to read and write.
        data: what a clip is.
        p: the recipe.
        inputs: from samples, int16 of shape (clips, samples), and how many of them are sound to what the model reads
            and how much of its time is sound.
        build: makes the model.
        vary: makes the training views of a batch.
        card: what else one must know to build the model again.
        view_s: length of a training view.
        spare: what else saves memory, for a message.
        processes: how many share the batches of a round; with several, rounds come one after another.

    Raises:
        click.ClickException: the tables disagree, a clip is not as `data` says, training fails, or memory runs out.
    """
    rows = rounds.listing(tables.read(paths.train, tables.TRAIN), tables.read(paths.folds, tables.FOLDS))
    tables.check_labels(rows["label"], data.classes, paths.train)
    turns = rounds.rounds(rows, data.classes, validate=p.patience_epochs is not None)
    enough = functools.partial(
        memory.enough,
        str(card["model"]),
        clips=len(rows),
        samples=round(data.clip_s * data.rate_hz),
        batch_clips=p.batch_clips,
        view_s=view_s,
        more=spare,
    )
    with enough():
        x, lengths = inputs(*clips.read(paths.audio, rows["clip_id"].tolist(), data))
    held = clips.Clips(x, lengths, *rounds.targets(rows, data.classes))
    described = {"rate_hz": data.rate_hz, "clip_s": data.clip_s, "classes": data.classes, **card}
    key = checkpoints.key(paths.train, paths.folds, recipe=p.model_dump(mode="json"), model=described, heard=_digest(x))

    here = Paths(**{name: path.absolute() for name, path in vars(paths).items()})  # a worker may stand elsewhere
    alone = processes > 1 or torch.cuda.is_available()
    workers = processes if alone else min(len(turns), joblib.cpu_count())
    task = joblib.delayed(_round)
    with enough(), tempfile.TemporaryDirectory() as meetings:
        seats = [
            (turn, ranks.Seat(n, processes, Path(meetings, turn.name))) for turn in turns for n in range(processes)
        ]
        predicted = joblib.Parallel(workers, batch_size=1)(
            task(turn, held, p, here, build, vary, key, at, parent=os.getpid()) for turn, at in seats
        )[::processes]
    predictions = [
        rounds.table(rows["clip_id"], turn, said.double().numpy(), data.classes)
        for turn, said in zip(turns, predicted, strict=True)
    ]
    files.write_json(described | {"rounds": [turn.name for turn in turns]}, paths.models / "model.json")
    tables.write(pd.concat(predictions), paths.out, tables.PREDICTIONS)
    shutil.rmtree(paths.checkpoint)


def _digest(x: Tensor) -> str:
    return hashlib.sha256(x.contiguous().numpy().data).hexdigest()


def _round(
    turn: rounds.Round,
    held: clips.Clips,
    p: Recipe,
    paths: Paths,
    build: Callable[[], nn.Module],
    vary: fit.Vary,
    key: str,
    seat: ranks.Seat,
    *,
    parent: int,
) -> Tensor | None:
    """Train one round, write its weights, and return the probabilities of its held-out clips: all by process 0."""
    if os.getpid() != parent:
        _end_with(parent)
    torch.set_num_threads(1)  # rounds run side by side; a small model gains little from a second thread
    state = paths.checkpoint / f"{turn.name}.pt"
    with ranks.taken(seat), tempfile.TemporaryDirectory() as nowhere:
        live = Path(nowhere) if seat.number else paths.live / turn.name
        model = fit.fit(build, held, turn, p, vary=vary, live=live, checkpoint=state, key=key)
    if seat.number:
        return None
    with files.replacing(paths.models / f"{turn.name}.safetensors") as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in model.state_dict().items()}))
    return fit.predict(model, held, turn.held_out, p)


@functools.cache  # once a worker, whatever rounds it trains
def _end_with(parent: int) -> None:
    """Let this worker end when its parent does, however that comes: a killed one cannot tell it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
