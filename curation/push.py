"""Bring a Label Studio project up to date with the queue: every clip asked once, none that is no longer wanted."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import pandas as pd
from tqdm import tqdm

from curation import files, page, params, tables
from curation.connection import Refused
from curation.files import Json
from curation.label_studio import Params, Project, Server, Task, from_environment
from curation.playable import unplayable

T = TypeVar("T")
CREATED_AT_ONCE = 500  # tasks a request; 2,000 are a quarter faster, but keep annotators waiting
PREDICTED_AT_ONCE = 5000  # the cost of a request grows with the project
WITHDRAWN_AT_ONCE = 500
OURS = "earmark-"  # how the versions of our predictions begin
SHOWN = 3  # how many faults a message names

Wanted = Mapping[str, Mapping[str, Json]]  # the data of a task by clip


@dataclass(frozen=True)
class Plan:
    """What has to be done to the tasks of a project.

    `kept` is the task of every clip that has one, `unheard` are the clips whose address has to be checked.
    """

    create: list[str]
    update: dict[int, str]
    withdraw: list[int]
    kept: dict[str, Task]
    unheard: list[str]


@dataclass(frozen=True)
class Receipt:
    """What a push has done; `sent` is `tables.SENT`, `label_at` the address where labelling starts."""

    sent: pd.DataFrame
    created: int
    updated: int
    withdrawn: int
    unplayable: Mapping[str, str]
    label_at: str

    def __str__(self) -> str:
        """Return one line for the terminal."""
        done = f"{self.created} made, {self.updated} changed, {self.withdrawn} withdrawn"
        return f"{len(self.sent)} tasks on the server ({done}); label at {self.label_at}"


def push(
    server: Server,
    tasks: Sequence[Json],
    scores: pd.DataFrame,
    p: Params,
    *,
    classes: tuple[str, ...],
    clips: Path | None = None,
) -> Receipt:
    """Bring the project `p.project` up to date, make it when there is none; twice is once.

    What is on the server is read first and only the difference is written, so that after an interruption, wherever it
    was, the next push completes. Tasks that somebody has answered, skipped or begun are never changed or withdrawn.

    Args:
        server: where people answer.
        tasks: what stage `send` makes.
        scores: `tables.SCORES`; they go up as predictions.
        p: section `label_studio` of params.yaml.
        classes: the labels to choose from.
        clips: the folder of clips on this disk, when the server serves it (`curation.playable`).

    Raises:
        click.ClickException: the server is down or refuses; the next push goes on from there.
    """
    wanted = _wanted(tasks)
    project = _project(server, p, classes)
    planned = plan(wanted, server.tasks(project))
    faults = unplayable(server, {one: str(wanted[one].get("audio")) for one in planned.unheard}, clips)
    create = [one for one in planned.create if one not in faults]
    update = {number: one for number, one in planned.update.items() if one not in faults}
    for some in _batches(planned.withdraw, WITHDRAWN_AT_ONCE, "withdraw"):
        server.withdraw(project, some)
    for number, clip_id in tqdm(update.items(), "update", unit=" tasks", delay=2):
        server.update_task(number, wanted[clip_id])
    version, guesses = predictions(scores)
    lacking = [one for one, task in planned.kept.items() if one in guesses and version not in task.models]
    for batch in _batches(lacking, PREDICTED_AT_ONCE, "predict"):
        server.predict(project, [{"task": planned.kept[one].id, **guesses[one]} for one in batch])
    numbers = {one: task.id for one, task in planned.kept.items()} | _create(server, project, create, wanted, guesses)
    ours = not project.model or project.model.startswith(OURS)  # else somebody has chosen a live model
    if ours and project.model != version and not guesses.keys().isdisjoint(numbers):  # one without guesses is refused
        server.update_project(project, {"model_version": version})
    view = server.ordered_view(project)
    sent = pd.DataFrame({"clip_id": list(numbers), "project_id": project.id, "task_id": list(numbers.values())})
    label_at = f"{server.url}projects/{project.id}/data?tab={view}&labeling=1"
    return Receipt(sent, len(create), len(update), len(planned.withdraw), faults, label_at)


def plan(wanted: Wanted, present: Iterable[Task]) -> Plan:
    """Compare the tasks wanted with those present. Tasks that name no clip are somebody else's and left alone."""
    by_clip: dict[str, list[Task]] = defaultdict(list)
    for task in present:
        if isinstance(clip_id := task.data.get("clip_id"), str):
            by_clip[clip_id].append(task)
    kept, update, withdraw = {}, {}, []
    for clip_id, found in by_clip.items():
        best = min(found, key=lambda task: (not task.touched, task.id))  # of doubles, the one that has an answer
        withdraw += [task.id for task in found if not task.touched and (task is not best or clip_id not in wanted)]
        if clip_id in wanted:
            kept[clip_id] = best
            if not best.touched and dict(best.data) != wanted[clip_id]:
                update[best.id] = clip_id
    create = [clip_id for clip_id in wanted if clip_id not in kept]
    moved = [one for one in update.values() if kept[one].data.get("audio") != wanted[one].get("audio")]
    return Plan(create, update, sorted(withdraw), kept, create + moved)


def predictions(scores: pd.DataFrame) -> tuple[str, dict[str, Mapping[str, Json]]]:
    """Return the likeliest class of every clip as Label Studio's predictions, and the version: a hash of all scores."""
    version = OURS + hashlib.sha256(scores.to_csv(index=False, float_format="%.6g").encode()).hexdigest()[:8]
    likeliest = scores.sort_values(["probability", "label"], ascending=[False, True]).drop_duplicates("clip_id")
    return version, {
        clip_id: page.prediction(label, probability, version)
        for clip_id, label, probability in likeliest[["clip_id", "label", "probability"]].itertuples(index=False)
    }


def _create(
    server: Server, project: Project, clip_ids: Sequence[str], wanted: Wanted, guesses: Wanted
) -> dict[str, int]:
    """Make a task with its prediction for each clip and return their numbers."""
    numbers: dict[str, int] = {}
    for batch in _batches(clip_ids, CREATED_AT_ONCE, "create"):
        made: list[Json] = [
            {"data": wanted[one], "predictions": [guesses[one]] if one in guesses else []} for one in batch
        ]
        numbers |= zip(batch, server.create_tasks(project, made), strict=True)
    return numbers


def _wanted(tasks: Sequence[Json]) -> dict[str, Mapping[str, Json]]:
    found: dict[str, Mapping[str, Json]] = {}
    for task in tasks:
        data = task.get("data") if isinstance(task, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(clip_id := data.get("clip_id"), str) or clip_id in found:
            raise click.ClickException("The tasks are not those of stage `send`. `dvc repro send` makes them again.")
        found[clip_id] = data
    return found


def _project(server: Server, p: Params, classes: tuple[str, ...]) -> Project:
    """Return the project, made or with the page of today."""
    config, hinted = page.config(classes, hinted=p.shown == "hinted"), p.shown == "hinted"
    project = server.project(p.project)
    if project is None:
        return server.create_project(p.project, config, hinted=hinted)
    if project.config.strip() != config.strip():
        click.echo(f"push: the page of project {p.project!r} differs from earmark's and is set to it.", err=True)
        server.update_project(project, {"label_config": config, "show_collab_predictions": hinted})
    return project


def _batches(items: Sequence[T], size: int, what: str) -> Iterator[Sequence[T]]:
    with tqdm(total=len(items), desc=what, unit=" tasks", delay=2) as bar:
        for start in range(0, len(items), size):
            yield items[start : start + size]
            bar.update(min(size, len(items) - start))


def push_and_write(tasks: Sequence[Json], scores: Path, clips: Path, sent: Path, server: Server) -> Receipt:
    """Push and write the receipt, one push at a time.

    Raises:
        click.ClickException: another push is at work, the server refuses, or some clips cannot be heard from it.
    """
    classes = params.Data.load("data").classes
    with files.locked(sent):
        receipt = push(
            server,
            tasks,
            tables.read(scores, tables.SCORES),
            Params.load("label_studio"),
            classes=classes,
            clips=clips,
        )
        tables.write(receipt.sent, sent, tables.SENT)
    if receipt.unplayable:
        first = "; ".join(f"{clip_id}: {why}" for clip_id, why in list(receipt.unplayable.items())[:SHOWN])
        raise Refused(
            f"{len(receipt.unplayable)} of {len(tasks)} clips cannot be heard from {server.url} and were not sent "
            f"({first}). See `send.audio_prefix` in params.yaml and docs/labelling.md, then run `earmark push`."
        )
    return receipt


@click.command()
@click.option("--tasks", type=click.Path(path_type=Path), default="data/tasks.json", help="What stage `send` made.")
@click.option("--scores", type=click.Path(path_type=Path), default="data/scores.csv", help="The model's view.")
@click.option("--clips", type=click.Path(path_type=Path), default="data/clips", help="The sound of the clips.")
@click.option("--sent", type=click.Path(path_type=Path), default="data/sent.csv", help="Where the receipt goes.")
def main(tasks: Path, scores: Path, clips: Path, sent: Path) -> None:
    r"""Bring the Label Studio project up to date with the queue.

    The server is LABEL_STUDIO_URL, the key LABEL_STUDIO_API_KEY. Nothing is asked twice, however often this runs or is
    interrupted. A clip that left the queue is withdrawn, unless somebody has answered it or begun to.

    \b
    Example:
        earmark push

    Exit status: 0 done, 1 refused; then run it again.
    """
    server = from_environment()
    if server is None:
        raise click.ClickException(
            f"No server: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or import {tasks} into one by hand."
        )
    click.echo(f"push: {push_and_write(_read(tasks), scores, clips, sent, server)}")


def _read(path: Path) -> Sequence[Json]:
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. `dvc repro send` makes it.") from error
    except ValueError as error:
        raise click.ClickException(f"{path} is not JSON ({error}). `dvc repro send` makes it again.") from error
    return tasks if isinstance(tasks, list) else []


if __name__ == "__main__":
    main()
