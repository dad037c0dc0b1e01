"""What earmark asks of a Label Studio server, and what it gets: projects, tasks, answers."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlsplit

import click
import httpx
from pydantic import Field

from curation import params
from curation.annotation import UnreadError, utc
from curation.connection import Connection, Record, Refused, inner, number, records
from curation.files import Json

PROJECTS = 100  # a page, the most that the server gives
PAGE = 1000  # tasks a page; larger ones are hardly faster and take more memory
VIEW = "Listening order"
FOR_PUSH = "id,data,created_at,draft_exists,total_annotations,cancelled_annotations,predictions_model_versions"
FOR_PULL = "id,data,annotations,created_at,updated_at,result,completed_by,updated_by,was_cancelled,lead_time"


class Params(params.Section):
    """Section `label_studio` of params.yaml."""

    project: str = Field(min_length=3, max_length=50)  # its title on the server
    shown: Literal["blind", "hinted"]  # whether annotators see the model's guess
    overlap_s: int = Field(ge=1)  # a pull asks for what changed since so long before the last one that brought news
    emails: bool  # whether a pull writes down whose the annotators' ids are


@dataclass(frozen=True)
class Project:
    """A project on the server. A number may be given again after a deletion: only with the time it is unique."""

    id: int
    made_utc: str
    config: str
    model: str  # the version whose predictions count
    hinted: bool  # whether annotators see predictions
    instructions: str
    people: int  # who are asked about each clip


@dataclass(frozen=True)
class Task:
    """A task on the server, as far as a push has to know."""

    id: int
    made_utc: str  # a number may be given again, but not at the same time
    data: Mapping[str, Json]
    touched: bool  # somebody has answered, skipped, or begun
    models: frozenset[str]  # whose predictions it has


def from_environment() -> "Server | None":
    """Return the server of LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, None: neither is set.

    Raises:
        click.ClickException: one is missing, or the address is none.
    """
    url, key = os.environ.get("LABEL_STUDIO_URL", ""), os.environ.get("LABEL_STUDIO_API_KEY", "")
    if not url and not key:
        return None
    if not (url and key):
        missing = "LABEL_STUDIO_API_KEY" if url else "LABEL_STUDIO_URL"
        raise click.ClickException(f"{missing} is not set: a server is its address and your key. Set both, or none.")
    return connect(url, key)


def connect(url: str, api_key: str, *, transport: httpx.BaseTransport | None = None) -> "Server":
    """Return the server at `url`; nothing is asked of it yet.

    Args:
        url: the root of the server, http or https.
        api_key: a personal access token or a legacy token; it is kept out of every message.
        transport: what carries the requests, for tests.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.ClickException(f"LABEL_STUDIO_URL must be like https://labels.example.org, not {url!r}.")
    return Server(Connection(url.rstrip("/") + "/", api_key, transport))


class Server:
    """A Label Studio server, through one of its users."""

    def __init__(self, connection: Connection) -> None:
        self.url = connection.url
        self.clock = connection.clock
        self.ask_audio = connection.ask_audio
        self._ask = connection.ask

    def project(self, title: str) -> Project | None:
        """Return the project called `title`, None: there is none.

        Two pushes at once may make it twice: of those without tasks the first counts, and one with tasks before them.

        Raises:
            Refused: several that have tasks have this title.
        """
        found = sorted(self._projects(title), key=lambda project: number(project.get("id")))
        used = [project for project in found if project.get("task_number")] or found[:1]
        if len(used) > 1:
            raise Refused(f"{self.url} has {len(used)} projects called {title!r}. Rename all but one.")
        return _project(used[0]) if used else None

    def create_project(self, title: str, config: str, *, hinted: bool) -> Project:
        """Make a project. With `hinted` its annotators see predictions."""
        settings: Json = {"title": title, "label_config": config, "show_collab_predictions": hinted}
        return _project(self._ask("POST", "api/projects/", dict, json=settings))

    def update_project(self, project: Project, settings: Mapping[str, Json]) -> Project:
        """Change settings of a project. A label config that lacks a choice in use is refused by the server."""
        return _project(self._ask("PATCH", f"api/projects/{project.id}/", dict, json=settings))

    def serve_folder(self, project: Project, folder: str) -> None:
        """Let the server's local `folder` (below its document root) be heard in a project; twice is once."""
        rows = self._ask("GET", "api/storages/localfiles/", list, query={"project": project.id})
        if not any(isinstance(row, dict) and row.get("path") == folder for row in rows):
            made: Json = {"project": project.id, "path": folder, "use_blob_urls": True, "title": "clips"}
            self._ask("POST", "api/storages/localfiles/", dict, json=made)

    def tasks(self, project: Project) -> list[Task]:
        """Return all tasks of a project."""
        return [_task(task) for task in self._listing(project, FOR_PUSH, ())]

    def answered(self, project: Project, since_utc: str) -> Iterator[Record]:
        """Yield the tasks that changed after `since_utc` (empty: all), each with all its annotations."""
        changed = _where("updated_at", "greater", "Datetime", since_utc)
        return self._listing(project, FOR_PULL, (changed,) if since_utc else ())

    def create_task(self, project: Project, data: Json, predictions: Sequence[Mapping[str, Json]]) -> int:
        """Make a task with its predictions and return its number, which no task has ever had."""
        made: Json = {"project": project.id, "data": data, "overlap": project.people}
        task_id = number(self._ask("POST", "api/tasks/", dict, json=made).get("id"))
        for one in predictions:
            self._ask("POST", "api/predictions/", dict, json={"task": task_id, **one})
        return task_id

    def create_tasks(self, project: Project, tasks: Sequence[Json]) -> list[int]:
        """Make tasks and return their numbers, in order: on SQLite they follow the highest one that is there."""
        reply = self._ask(
            "POST", f"api/projects/{project.id}/import", dict, json=list(tasks), query={"return_task_ids": True}
        )
        numbers = reply.get("task_ids")
        if not isinstance(numbers, list) or len(numbers) != len(tasks):
            raise Refused(f"{self.url} stored another number of tasks than it was sent. Run the same command again.")
        return [number(one) for one in numbers]

    def update_task(self, task: int, data: Json) -> None:
        """Replace the data of a task."""
        self._ask("PATCH", f"api/tasks/{task}/", dict, json={"data": data})

    def withdraw(self, project: Project, tasks: Sequence[int]) -> int:
        """Delete tasks, save those that somebody has answered, skipped or begun in the meantime; return how many."""
        untouched = [_where(name, "equal", "Number", 0) for name in ("total_annotations", "cancelled_annotations")]
        untouched.append(_where("drafts", "empty", "Number", "true"))
        if not tasks:
            return 0  # to the server, no selection may mean all
        chosen: Json = {
            "selectedItems": {"all": False, "included": list(tasks)},
            "filters": {"conjunction": "and", "items": untouched},
        }
        query = {"id": "delete_tasks", "project": project.id}
        return number(self._ask("POST", "api/dm/actions", dict, json=chosen, query=query).get("processed_items"))

    def predict(self, project: Project, predictions: Sequence[Json]) -> None:
        """Attach predictions to tasks. The server drops those it does not understand, hence the count."""
        path = f"api/projects/{project.id}/import/predictions"
        reply = self._ask("POST", path, dict, json=list(predictions))
        if reply.get("created") != len(predictions):
            raise Refused(
                f"{self.url} took {reply.get('created')!r} of {len(predictions)} predictions: they do not fit the "
                "label config of the project. Run the same command again; it sets the config."
            )

    def ordered_view(self, project: Project) -> int:
        """Return the number of the view that shows the tasks in earmark's order; make it when it is not there."""
        views = self._ask("GET", "api/dm/views/", list, query={"project": project.id})
        for view in views:
            if isinstance(view, dict) and inner(view, "data").get("title") == VIEW:
                return number(view.get("id"))
        data: Json = {"title": VIEW, "type": "list", "ordering": ["tasks:data.rank"]}
        made = self._ask("POST", "api/dm/views/", dict, json={"project": project.id, "data": data})
        return number(made.get("id"))

    def emails(self) -> dict[str, str]:
        """Return the e-mail address of every user by number."""
        users = self._ask("GET", "api/users/", list)
        return {str(number(user.get("id"))): str(user.get("email", "")) for user in users if isinstance(user, dict)}

    def _projects(self, title: str) -> Iterator[Record]:
        """Yield the projects called `title`; the server also finds those whose title it is part of."""
        for place in itertools.count(1):
            query = {"title": title, "page_size": PROJECTS, "page": place}
            page = self._ask("GET", "api/projects/", dict, query=query)
            yield from (project for project in records(page, "results") if project.get("title") == title)
            if not page.get("next"):
                return

    def _listing(self, project: Project, include: str, filters: Sequence[Json]) -> Iterator[Record]:
        """Yield tasks page by page, each page after the last number: pages by count skip where others delete."""
        last = 0
        while True:
            items = [*filters, _where("id", "greater", "Number", last)]
            query = {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}
            page = self._ask(
                "GET",
                "api/tasks/",
                dict,
                query={
                    "project": project.id,
                    "query": json.dumps(query),
                    "fields": "all",
                    "include": include,
                    "resolve_uri": False,
                    "page_size": PAGE,
                },
            )
            tasks = records(page, "tasks")
            yield from tasks
            if len(tasks) < PAGE:
                return
            before, last = last, max(number(task.get("id")) for task in tasks)
            if last <= before:
                raise Refused(f"{self.url} does not list its tasks in order. Is it a Label Studio 1.2x?")


def _project(record: Record) -> Project:
    return Project(
        number(record.get("id")),
        str(record.get("created_at", "")),
        str(record.get("label_config", "")),
        str(record.get("model_version") or ""),
        record.get("show_collab_predictions") is not False,  # what is not known may be shown
        str(record.get("expert_instruction") or ""),
        number(record.get("maximum_annotations", 1)),
    )


def _task(record: Record) -> Task:
    counts = (record.get("total_annotations"), record.get("cancelled_annotations"))
    touched = record.get("draft_exists") is not False or counts != (0, 0)  # what is not known counts as touched
    models = str(record.get("predictions_model_versions") or "").split(",")
    data = cast("Mapping[str, Json]", inner(record, "data"))
    try:
        made_utc = utc(record.get("created_at"))
    except UnreadError as error:
        raise Refused(f"Label Studio's reply has a task without a time: {error}. Is it a Label Studio 1.2x?") from error
    return Task(number(record.get("id")), made_utc, data, touched, frozenset(filter(None, models)))


def _where(column: str, operator: str, kind: str, value: str | int) -> Json:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
