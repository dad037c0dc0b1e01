"""Talk to a Label Studio server: the only file that does.

The SDK renews tokens and carries the requests; its models are passed by, they double the time and the memory of a
listing. Reading is tried again, writing never: a write without a reply may have been stored, and the server does not
notice duplicates. Whoever writes compares with what is there first (`curation.push`).
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

import click
import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from pydantic import Field

from curation import params
from curation.files import Json

Record: TypeAlias = Mapping[str, object]
T = TypeVar("T")

READ_AGAIN = 2  # how often a read is tried again
TIMEOUT_S = 300  # a request of some thousand tasks takes seconds; the SDK's 60 s are short for a busy server
PAGE = 500  # tasks a page; larger ones are no faster and take more memory
VIEW = "Listening order"
FOR_PUSH = "id,data,draft_exists,total_annotations,cancelled_annotations,predictions_model_versions"
FOR_PULL = "id,data,annotations,created_at,updated_at,result,completed_by,updated_by,was_cancelled,lead_time"
ADVICE = {
    401: "The key is wrong, expired or of a kind that the server has switched off: take a new one from `Account & "
    "Settings` and set LABEL_STUDIO_API_KEY.",
    403: "The owner of LABEL_STUDIO_API_KEY may not do that: ask an administrator of the server.",
    404: "The project may be gone, or LABEL_STUDIO_URL is not the root of a Label Studio.",
    429: "It has had too many requests: run the same command again later.",
}


class Params(params.Section):
    """Section `label_studio` of params.yaml."""

    project: str = Field(min_length=3, max_length=50)  # its title on the server
    shown: Literal["blind", "hinted"]  # whether annotators see the model's guess
    overlap_s: int = Field(ge=1)  # a pull asks again for what changed so long before the last change it knows
    emails: bool  # whether a pull writes down whose the annotators' ids are


class Refused(click.ClickException):
    """The server is down, does not answer in its own language, or says no; the message names the next step."""


@dataclass(frozen=True)
class Project:
    """A project on the server. A number may be given again after a deletion: only with the time it is unique."""

    id: int
    made_utc: str
    config: str
    model: str  # the version whose predictions count


@dataclass(frozen=True)
class Task:
    """A task on the server, as far as a push has to know."""

    id: int
    data: Record
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
    return Server(url.rstrip("/") + "/", api_key, transport)


class Server:
    """A Label Studio server and the key of one of its users."""

    def __init__(self, url: str, api_key: str, transport: httpx.BaseTransport | None) -> None:
        self.url = url
        self._key = api_key
        http, self._audio = (  # two: the cookies that come with files would make API requests part of a session
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, transport=transport) for _ in range(2)
        )
        try:
            self._sdk = LabelStudio(base_url=url, api_key=api_key, httpx_client=http, max_retries=0)  # type: ignore[no-untyped-call]
        except ApiError as error:  # the key says itself that it has expired
            raise self._refusal("connecting", 401, error.body) from error

    def project(self, title: str) -> Project | None:
        """Return the project called `title`, None: there is none.

        Raises:
            Refused: several have this title.
        """
        page = self._ask("GET", "api/projects/", dict, query={"title": title, "page_size": 100})
        found = [project for project in _records(page, "results") if project.get("title") == title]
        if len(found) > 1:
            raise Refused(f"{self.url} has {len(found)} projects called {title!r}. Rename all but one.")
        return _project(found[0]) if found else None

    def create_project(self, title: str, config: str, *, hinted: bool) -> Project:
        """Make a project. With `hinted` its annotators see predictions."""
        settings: Json = {"title": title, "label_config": config, "show_collab_predictions": hinted}
        return _project(self._ask("POST", "api/projects/", dict, json=settings))

    def update_project(self, project: Project, settings: Mapping[str, Json]) -> None:
        """Change settings of a project. A label config that lacks a choice in use is refused by the server."""
        self._ask("PATCH", f"api/projects/{project.id}/", dict, json=settings)

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

    def create_tasks(self, project: Project, tasks: Sequence[Json]) -> list[int]:
        """Make tasks and return their numbers, in order."""
        reply = self._ask(
            "POST", f"api/projects/{project.id}/import", dict, json=list(tasks), query={"return_task_ids": True}
        )
        numbers = reply.get("task_ids")
        if not isinstance(numbers, list) or len(numbers) != len(tasks):
            raise Refused(f"{self.url} stored another number of tasks than it was sent. Run the same command again.")
        return [_number(number) for number in numbers]

    def update_task(self, task: int, data: Json) -> None:
        """Replace the data of a task."""
        self._ask("PATCH", f"api/tasks/{task}/", dict, json={"data": data})

    def withdraw(self, project: Project, tasks: Sequence[int]) -> None:
        """Delete tasks, save those that somebody has answered or skipped in the meantime."""
        unanswered = [_where(name, "equal", "Number", 0) for name in ("total_annotations", "cancelled_annotations")]
        if not tasks:
            return  # to the server, no selection may mean all
        chosen: Json = {
            "selectedItems": {"all": False, "included": list(tasks)},
            "filters": {"conjunction": "and", "items": unanswered},
        }
        self._ask("POST", "api/dm/actions", dict, json=chosen, query={"id": "delete_tasks", "project": project.id})

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
            if isinstance(view, dict) and _inner(view, "data").get("title") == VIEW:
                return _number(view.get("id"))
        data: Json = {"title": VIEW, "type": "list", "ordering": ["tasks:data.rank"]}
        made = self._ask("POST", "api/dm/views/", dict, json={"project": project.id, "data": data})
        return _number(made.get("id"))

    def emails(self) -> dict[int, str]:
        """Return the e-mail address of every user by number."""
        users = self._ask("GET", "api/users/", list)
        return {_number(user.get("id")): str(user.get("email", "")) for user in users if isinstance(user, dict)}

    def ask_audio(self, address: str) -> httpx.Response:
        """Ask for the first bytes of a sound; the key goes to this server only.

        Raises:
            httpx.HTTPError: nobody answers.
        """
        url, wanted = urljoin(self.url, address), {"Range": "bytes=0-1023"}
        if url.startswith(self.url):
            wanted |= self._sdk._client_wrapper.get_headers()  # the SDK has no other way to fetch a file
        with self._audio.stream("GET", url, headers=wanted) as reply:
            return reply  # its head; the body, which may be the whole sound, is not read

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
            tasks = _records(page, "tasks")
            yield from tasks
            if len(tasks) < PAGE:
                return
            before, last = last, max(_number(task.get("id")) for task in tasks)
            if last <= before:
                raise Refused(f"{self.url} does not list its tasks in order. Is it a Label Studio 1.2x?")

    def _ask(
        self, method: str, path: str, kind: type[T], *, json: Json = None, query: Mapping[str, object] | None = None
    ) -> T:
        """Send a request and return the reply, which must be JSON of `kind`."""
        what = f"{method} {path}"
        reply = self._send(what, method, path, json, query or {})
        try:
            body = reply.json() if reply.content else None
        except ValueError as error:
            raise self._refusal(what, reply.status_code, "no JSON") from error
        if reply.status_code >= 400:
            raise self._refusal(what, reply.status_code, body)
        if not isinstance(body, kind):
            raise self._refusal(what, reply.status_code, f"a {type(body).__name__} where a {kind.__name__} belongs")
        return body

    def _send(self, what: str, method: str, path: str, json: Json, query: Mapping[str, object]) -> httpx.Response:
        retries = READ_AGAIN if method == "GET" else 0
        try:
            return self._sdk._client_wrapper.httpx_client.request(
                path, method=method, json=json, params=dict(query), request_options={"max_retries": retries}
            )
        except httpx.HTTPError as error:
            doubt = "" if method == "GET" else " Whether it has done what was asked is not known."
            raise Refused(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}: {self._clean(error)}).{doubt} "
                "Nothing is lost: when it is up, run the same command again."
            ) from error
        except (ApiError, ValueError) as error:  # while the token was renewed
            status, body = (error.status_code, error.body) if isinstance(error, ApiError) else (401, "no JSON")
            raise self._refusal(what, status or 401, body) from error

    def _refusal(self, what: str, status: int, body: object) -> Refused:
        said = body.get("detail") or body.get("validation_errors") or body if isinstance(body, dict) else body
        advice = ADVICE.get(status, "Look at the log of the server, then run the same command again.")
        return Refused(f"Label Studio at {self.url} answers {what} with {status}: {self._clean(said)}. {advice}")

    def _clean(self, said: object) -> str:
        """Return what somebody else says as one short line without control characters and without the key."""
        return re.sub(r"[^ -~]+", " ", str(said).replace(self._key, "***"))[:200].rstrip(". ")


def _project(record: Record) -> Project:
    return Project(
        _number(record.get("id")),
        str(record.get("created_at", "")),
        str(record.get("label_config", "")),
        str(record.get("model_version") or ""),
    )


def _task(record: Record) -> Task:
    counts = (record.get("total_annotations"), record.get("cancelled_annotations"))
    touched = record.get("draft_exists") is not False or counts != (0, 0)  # what is not known counts as touched
    models = str(record.get("predictions_model_versions") or "").split(",")
    return Task(_number(record.get("id")), _inner(record, "data"), touched, frozenset(filter(None, models)))


def _where(column: str, operator: str, kind: str, value: str | int) -> Json:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _records(page: Mapping[str, object], name: str) -> list[Record]:
    records = page.get(name)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Refused(f"Label Studio's reply has no list of `{name}`. Is LABEL_STUDIO_URL a Label Studio 1.2x?")
    return records


def _inner(record: Record, name: str) -> Record:
    inner = record.get(name)
    return inner if isinstance(inner, dict) else {}


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise Refused(
            f"Label Studio's reply has {str(value)[:50]!r} where a number belongs. Is it a Label Studio 1.2x?"
        )
    return value
