"""Bring people's answers home: what is new on the server, or an export of it, into data/reviews.csv."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from curation import answers, files, params, tables
from curation.annotation import UNKNOWN, Known, utc
from curation.connection import Record, Refused, inner
from curation.label_studio import Params, Project, Server, from_environment
from curation.server import annotator


class State(BaseModel):
    """Up to where the answers of a project are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_id: int
    project_utc: str  # when it was made: after a deletion its number is given again
    begun_utc: str  # of the last pull that brought news, by the server's clock
    home_sha256: str  # of what was home then; when it is not any more (git checkout), all is asked for again


def pull(
    server: Server, reviews: pd.DataFrame, unread: pd.DataFrame, state: State | None, p: Params, *, known: Known
) -> tuple[pd.DataFrame, pd.DataFrame, State]:
    """Return the reviews and the unread answers with what is new on the server, and up to where that is.

    Only tasks that changed since `state` are asked for, all of them when it is of another project or of other reviews;
    without news it stays as it is. The answers of a task or a project that was deleted on the server stay: nobody took
    them back.

    Args:
        server: where people answer.
        reviews: `tables.REVIEWS`.
        unread: `tables.UNREAD`.
        state: as the last pull returned it.
        p: section `label_studio` of params.yaml.
        known: the classes and clips of today.
    """
    project = server.project(p.project)
    if project is None:
        raise Refused(f"{server.url} has no project {p.project!r}. `earmark push` makes it; what is home stays.")
    begun_utc = utc(server.clock())
    since_utc = ""
    here = (project.id, project.made_utc, _home(reviews, unread))
    if state and (state.project_id, state.project_utc, state.home_sha256) == here:
        since_utc = utc(datetime.fromisoformat(state.begun_utc) - timedelta(seconds=p.overlap_s))
    tasks = tqdm(server.answered(project, since_utc), "pull", unit=" tasks", delay=2)
    seen = (_doubted(task, project) for task in tasks)
    after, still_unread = answers.merge(reviews, unread, seen, known)
    if state and since_utc and after.equals(reviews) and still_unread.equals(unread):
        return reviews, unread, state
    home = _home(after, still_unread)
    state = State(project_id=project.id, project_utc=project.made_utc, begun_utc=begun_utc, home_sha256=home)
    return after, still_unread, state


def read_export(path: Path) -> list[object]:
    """Return the tasks of an export in the format JSON, or of a snapshot.

    Raises:
        click.ClickException: the file is something else.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not JSON: {error}. Export again, in the format JSON.") from error
    if not isinstance(tasks, list) or any(isinstance(task, dict) and "annotations" not in task for task in tasks):
        raise click.ClickException(
            f"{path} is not a full export: skips and versions are only in the format JSON, not in JSON-MIN or CSV."
        )
    return tasks


def _doubted(task: Record, project: Project) -> Record:
    """Return a task that does not say it is blind where its project, set by whatever hand, is not, nor the reverse."""
    data = inner(task, "data")
    untrue = data.get("shown") == ("blind" if project.hinted else "hinted")
    return {**task, "data": {**data, "shown": UNKNOWN}} if untrue else task


def _home(reviews: pd.DataFrame, unread: pd.DataFrame) -> str:
    """Return a hash of which answers are home, whatever became of their words since."""
    keys = (reviews[list(tables.REVIEWS.key)], unread[list(tables.UNREAD.key)])
    return hashlib.sha256("".join(rows.to_csv(index=False) for rows in keys).encode()).hexdigest()


def _names(tasks: Iterable[object]) -> dict[str, str]:
    """Return the names of users of servers of their own by number, where an export holds their addresses."""
    found = {}
    for task in tasks:
        annotations = task.get("annotations") if isinstance(task, dict) else None
        for one in annotations if isinstance(annotations, list) else []:
            user = one.get("completed_by") if isinstance(one, dict) else None
            if isinstance(user, dict) and (name := annotator(str(user.get("email")))):
                found[str(user.get("id"))] = name
    return found


def _read_state(path: Path) -> State | None:
    """Return up to where the answers are known; what cannot be read, or is of an older earmark, is as good as none."""
    try:
        return State.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def pull_and_write(clips: Path, data: Path, export: Path | None = None) -> str:
    """Pull from the server, or from `export`, into the tables of `data`, one pull at a time; return what came.

    Raises:
        click.ClickException: another pull is at work, there is no server, or it refuses; nothing is lost.
    """
    p = Params.load("label_studio")
    clip_ids = frozenset(tables.read(clips, tables.CLIPS)["clip_id"])
    queue = tables.read_or_empty(data / "queue.csv", tables.QUEUE)
    asked = dict(zip(queue["clip_id"], queue["reason"], strict=True))
    known = Known(params.Data.load("data").classes, clip_ids, asked)
    with files.locked(data / "reviews.csv"):
        reviews = tables.read_or_empty(data / "reviews.csv", tables.REVIEWS)
        unread = tables.read_or_empty(data / "unread.csv", tables.UNREAD)
        if export:
            tasks, state = read_export(export), None
            after, still_unread = answers.merge(reviews, unread, tasks, replace(known, names=_names(tasks)))
        else:
            server = _server()
            before, emails = _read_state(data / "pulled.json"), server.emails()
            known = replace(known, names={user: name for user, email in emails.items() if (name := annotator(email))})
            after, still_unread, state = pull(server, reviews, unread, before, p, known=known)
            if p.emails:
                tables.write(_annotators(emails, known), data / "annotators.csv", tables.ANNOTATORS)
        # In this order nothing is lost between two writes: an answer leaves unread.csv when it is home.
        tables.write(after, data / "reviews.csv", tables.REVIEWS)
        tables.write(still_unread, data / "unread.csv", tables.UNREAD)
        if state:
            files.write_json(state.model_dump(), data / "pulled.json")
    waiting = (still_unread["reason"] != answers.DELETED).sum()
    tail = f"; {waiting} could not be taken, see {data / 'unread.csv'}" if waiting else ""
    return f"{len(after) - len(reviews)} new of {len(after)} in {data / 'reviews.csv'}{tail}"


@click.command()
@click.option("--from", "export", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON export.")
@click.option("--clips", type=click.Path(path_type=Path), default="data/clips.csv", help="The clips.")
@click.option("--data", type=click.Path(path_type=Path), default="data", help="Folder of reviews.csv.")
def main(export: Path | None, clips: Path, data: Path) -> None:
    r"""Add people's answers to data/reviews.csv; what cannot be taken is in data/unread.csv, with the reason.

    \b
    Examples:
        earmark pull                      from the server of LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY
        earmark pull --from export.json   from an export (format JSON, or a snapshot) of any server

    Exit status: 0 done, 1 refused; then nothing is lost, run it again.
    """
    click.echo(f"pull: {pull_and_write(clips, data, export)}")


def _server() -> Server:
    server = from_environment()
    if server is None:
        raise click.ClickException(
            "No server: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or name an export with --from."
        )
    return server


def _annotators(emails: Mapping[str, str], known: Known) -> pd.DataFrame:
    rows = [{"annotator": known.annotator(number), "email": email} for number, email in emails.items()]
    return pd.DataFrame(rows, columns=list(tables.ANNOTATORS.columns))


if __name__ == "__main__":
    main()
