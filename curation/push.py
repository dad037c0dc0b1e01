"""Bring a Label Studio project up to date with the queue: every clip asked once, none that is no longer wanted."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click
import pandas as pd
from tqdm import tqdm

from curation import files, page, params, review, tables
from curation.clips import SUFFIX
from curation.connection import Refused
from curation.files import Json
from curation.label_studio import Params, Project, Server, Task, from_environment
from curation.plan import Wanted, plan
from curation.playable import unplayable
from curation.project import prepared

T = TypeVar("T")
CREATED_AT_ONCE = 1000  # tasks a request: a second in which annotators wait
PREDICTED_AT_ONCE = 5000  # the cost of a request grows with the project
WITHDRAWN_AT_ONCE = 500
OURS = "earmark-"  # how the versions of our predictions begin
LINKED = ("/", "http://", "https://")  # how addresses begin that a browser can follow
SHOWN = 3  # how many faults a message names


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

    @property
    def warning(self) -> str:
        """Return a line about the clips that were not sent, empty: there are none."""
        first = "; ".join(f"{clip_id}: {why}" for clip_id, why in list(self.unplayable.items())[:SHOWN])
        return (
            f"{len(self.unplayable)} clips cannot be heard from the server and were not sent ({first}). See "
            "`send.audio_prefix` in params.yaml and docs/labelling.md, then run `earmark push`."
            if first
            else ""
        )


def push(
    server: Server,
    tasks: Sequence[Json],
    scores: pd.DataFrame,
    p: Params,
    *,
    classes: tuple[str, ...],
    clips: Path | None = None,
    folder: str = "",
    examples: Mapping[str, Sequence[str]] | None = None,
    answered: Collection[tuple[str, str]] = (),
) -> Receipt:
    """Bring the project `p.project` up to date, make it when there is none; twice is once.

    What is on the server is read first and only the difference is written, so that after an interruption, wherever it
    was, the next push completes. What is made is looked at again: of a clip that has two tasks by then, because it is
    made anew, an earlier push was stored late or another one is at work, one goes. Tasks that somebody has answered,
    skipped or begun are never withdrawn, nor changed, but for what they say was shown (`curation.project`). Nor are
    those whose answer is home and stands: when it is not on the server any more, a pull has yet to see that.

    Args:
        server: where people answer.
        tasks: what stage `send` makes.
        scores: `tables.SCORES`; they go up as predictions.
        p: section `label_studio` of params.yaml.
        classes: the labels to choose from.
        clips: the folder of clips on this disk, when the server serves it (`curation.playable`).
        folder: the same as the server names it, when it is to be told to.
        examples: clips to be heard in the instructions, by class.
        answered: the tasks whose answers are home (`review.answered_tasks`).

    Raises:
        click.ClickException: the server is down or refuses; the next push goes on from there.
    """
    wanted = _wanted(tasks)
    project = prepared(server, p, classes, _addresses(examples or {}, wanted))
    if folder:
        server.serve_folder(project, folder)
    planned = plan(wanted, _present(server, project, answered))
    faults = unplayable(server, {one: str(wanted[one].get("audio")) for one in planned.unheard}, clips)
    create, renew = (set(clip_ids) - faults.keys() for clip_ids in (planned.create, planned.renew))
    version, guesses = predictions(scores)
    if create or renew:
        _create(server, project, [one for one in wanted if one in create or one in renew], wanted, guesses)
        planned = plan(wanted, _present(server, project, answered))
    batches = _batches(planned.withdraw, WITHDRAWN_AT_ONCE, "withdraw")
    withdrawn = max(sum(server.withdraw(project, some) for some in batches) - len(renew), 0)
    update = {number: one for number, one in planned.update.items() if one not in faults}
    for number, clip_id in tqdm(update.items(), "update", unit=" tasks", delay=2):
        server.update_task(number, wanted[clip_id])
    kept = planned.kept
    lacking = [one for one in wanted if one in kept and one in guesses and version not in kept[one].models]
    for batch in _batches(lacking, PREDICTED_AT_ONCE, "predict"):
        server.predict(project, [{"task": kept[one].id, **guesses[one]} for one in batch])
    ours = not project.model or project.model.startswith(OURS)  # else somebody has chosen a live model
    asked = wanted.keys() & kept.keys()
    if ours and project.model != version and not guesses.keys().isdisjoint(asked):  # one without guesses is refused
        server.update_project(project, {"model_version": version})
    view = server.ordered_view(project)
    sent = [{"clip_id": clip_id, "project_id": project.id, "task_id": task.id} for clip_id, task in kept.items()]
    label_at = f"{server.url}projects/{project.id}/data?tab={view}&labeling=1"
    receipt = pd.DataFrame(sent, columns=list(tables.SENT.columns))
    return Receipt(receipt, len(create), len(update) + len(renew), withdrawn, faults, label_at)


def predictions(scores: pd.DataFrame) -> tuple[str, dict[str, Mapping[str, Json]]]:
    """Return the likeliest class of every clip as Label Studio's predictions, and the version: a hash of all scores."""
    version = OURS + hashlib.sha256(scores.to_csv(index=False, float_format="%.6g").encode()).hexdigest()[:8]
    likeliest = scores.sort_values(["probability", "label"], ascending=[False, True]).drop_duplicates("clip_id")
    return version, {
        clip_id: page.prediction(label, probability, version)
        for clip_id, label, probability in likeliest[["clip_id", "label", "probability"]].itertuples(index=False)
    }


def _create(server: Server, project: Project, clip_ids: Sequence[str], wanted: Wanted, guesses: Wanted) -> None:
    """Make a task with its prediction for each clip.

    A task that was withdrawn may be open in a browser, so its number must not come again. On SQLite the tasks of an
    import get the numbers that follow the highest one there: that of the first task, which is new.
    """
    first, *others = clip_ids
    server.create_task(project, wanted[first], [guesses[first]] if first in guesses else [])
    for batch in _batches(others, CREATED_AT_ONCE, "create"):
        made: list[Json] = [
            {"data": wanted[one], "predictions": [guesses[one]] if one in guesses else []} for one in batch
        ]
        server.create_tasks(project, made)


def _present(server: Server, project: Project, answered: Collection[tuple[str, str]]) -> Iterator[Task]:
    """Yield the tasks of a project; one that has an answer here counts as touched."""
    for task in server.tasks(project):
        yield replace(task, touched=task.touched or (str(task.id), task.made_utc) in answered)


def _addresses(examples: Mapping[str, Sequence[str]], wanted: Wanted) -> dict[str, list[str]]:
    """Return addresses of examples, as the tasks have; none when a browser cannot go there, to a bucket."""
    clip_id, data = next(iter(wanted.items()), ("", {}))
    prefix = str(data.get("audio")).removesuffix(f"{clip_id}{SUFFIX}")
    linked = examples if prefix.startswith(LINKED) else {}
    return {label: [f"{prefix}{one}{SUFFIX}" for one in clip_ids] for label, clip_ids in linked.items()}


def _wanted(tasks: Sequence[Json]) -> dict[str, Mapping[str, Json]]:
    found: dict[str, Mapping[str, Json]] = {}
    for task in tasks:
        data = task.get("data") if isinstance(task, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(clip_id := data.get("clip_id"), str) or clip_id in found:
            raise click.ClickException("The tasks are not those of stage `send`. `dvc repro send` makes them again.")
        found[clip_id] = data
    return found


def _batches(items: Sequence[T], size: int, what: str) -> Iterator[Sequence[T]]:
    with tqdm(total=len(items), desc=what, unit=" tasks", delay=2) as bar:
        for start in range(0, len(items), size):
            yield items[start : start + size]
            bar.update(min(size, len(items) - start))


def push_and_write(
    tasks: Sequence[Json],
    scores: pd.DataFrame,
    sent: Path,
    server: Server,
    *,
    reviews: Path,
    clips: Path,
    examples: Mapping[str, Sequence[str]],
    folder: str = "",
) -> Receipt:
    """Push and write the receipt, one push at a time.

    Raises:
        click.ClickException: another push is at work, or the server refuses.
    """
    p, classes = Params.load("label_studio"), params.Data.load("data").classes
    with files.locked(sent):
        receipt = push(
            server,
            tasks,
            scores,
            p,
            classes=classes,
            clips=clips,
            folder=folder,
            examples=examples,
            answered=review.answered_tasks(tables.read_or_empty(reviews, tables.REVIEWS)),
        )
        tables.write(receipt.sent, sent, tables.SENT)
    return receipt


def push_folder(data: Path, server: Server, folder: str = "") -> Receipt:
    """Push what the tables in `data` ask for; `folder` is that of the clips as the server names it.

    Raises:
        click.ClickException: as `push_and_write`, or the tables are not there.
    """
    kinds = (tables.LABELS, tables.SCORES, tables.FLAGS, tables.QUEUE)
    labels, scores, flags, queue = (tables.read(data / kind.name, kind) for kind in kinds)
    return push_and_write(
        _read(data / "tasks.json"),
        scores,
        data / "sent.csv",
        server,
        reviews=data / "reviews.csv",
        clips=data / "clips",
        examples=page.examples(labels, scores, flags, queue),
        folder=folder,
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default="data", help="Folder of the tables and clips.")
def main(data: Path) -> None:
    r"""Bring the Label Studio project up to date with the queue.

    The server is LABEL_STUDIO_URL, the key LABEL_STUDIO_API_KEY. Nothing is asked twice, however often this runs or is
    interrupted. A clip that left the queue is withdrawn, unless somebody has answered it or begun to.

    \b
    Example:
        earmark push

    Exit status: 0 done; 1 refused, or a clip cannot be heard and was not sent; then run it again.
    """
    server = from_environment()
    if server is None:
        raise click.ClickException(
            f"No server: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or import {data / 'tasks.json'} by hand."
        )
    receipt = push_folder(data, server)
    click.echo(f"push: {receipt}")
    if receipt.warning:
        raise Refused(receipt.warning)


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
