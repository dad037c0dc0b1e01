"""A Label Studio in memory, as far as earmark knows one; `test_label_studio_real.py` compares it with the real one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import httpx

KEY = "0123456789abcdef0123456789abcdef01234567"
URL = "http://labels.test"


class Killed(Exception):
    """The process was killed here: nothing of ours may catch it."""


class FakeLabelStudio:
    """What the server holds, and a transport that answers for it.

    As with SQLite, an import gives the highest numbers again when their tasks are gone; a task made by itself gets a
    new one.
    """

    def __init__(self, step_s: float = 1) -> None:
        self.step_s = step_s
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.projects: dict[int, dict] = {}
        self.tasks: dict[int, dict] = {}
        self.highest = 0  # number that a task has ever had
        self.views: list[dict] = []
        self.storages: list[dict] = []
        self.users = {1: "admin@example.com", 2: "ann@example.com", 3: "bob@example.com"}
        self.sound = {"status": 206, "content-type": "audio/x-wav", "content-range": "bytes 0-1023/256044"}
        self.before: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.after: Callable[[httpx.Request], None] = lambda request: None
        self.asked: list[str] = []
        self.late: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def tick(self) -> str:
        self.now += timedelta(seconds=self.step_s)
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    # what people do

    def annotate(self, task: int, user: int, result: list, *, cancelled: bool = False) -> int:
        annotations = self.tasks[task]["annotations"]
        number = max([one["id"] for each in self.tasks.values() for one in each["annotations"]], default=0) + 1
        now = self.tick()
        annotations.append(
            {
                "id": number,
                "result": result,
                "was_cancelled": cancelled,
                "completed_by": user,
                "updated_by": user,
                "created_at": now,
                "updated_at": now,
                "lead_time": 2.5,
            }
        )
        self._bump(task)
        return number

    def change(self, annotation: int, user: int, **values: object) -> None:
        task, found = self.annotation(annotation)
        found |= {**values, "updated_by": user, "updated_at": self.tick()}
        self._bump(task)

    def delete(self, annotation: int) -> None:
        task, found = self.annotation(annotation)
        self.tasks[task]["annotations"].remove(found)
        self._bump(task)

    def annotation(self, number: int) -> tuple[int, dict]:
        return next((t, one) for t, task in self.tasks.items() for one in task["annotations"] if one["id"] == number)

    def _bump(self, task: int) -> None:
        self.tasks[task]["updated_at"] = self.tick()

    # what the server answers

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if early := self.before(request):
            return early
        if not path.startswith("/api/"):
            reply = httpx.Response(self.sound["status"], headers={**self.sound, "status": ""}, content=b"RIFF")
        elif request.headers.get("authorization") != f"Token {KEY}":
            return httpx.Response(401, json={"detail": "Invalid token."})
        else:
            reply = self._do(request)
        reply.headers["date"] = format_datetime(self.now, usegmt=True)
        self.after(request)
        return reply

    def time_out(self, request: httpx.Request) -> None:
        """Do not answer now, but do later what was asked: see `catch_up`."""
        self.late.append(request)
        raise httpx.ReadTimeout("timed out")

    def catch_up(self) -> None:
        while self.late:
            self._do(self.late.pop(0))

    def _do(self, request: httpx.Request) -> httpx.Response:
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        body = json.loads(request.content) if request.content else None
        return self._route(request.method, request.url.path.removeprefix("/api/").strip("/"), query, body)

    def _route(self, method: str, path: str, query: dict, body: object) -> httpx.Response:
        match method, path.split("/"):
            case "GET", ["projects"]:
                found = [one for one in self.projects.values() if query["title"].lower() in one["title"].lower()]
                shown = [self._counted(one) for one in reversed(found)]
                start = (int(query["page"]) - 1) * (size := int(query["page_size"]))
                more = "http://more" if start + size < len(found) else None
                return httpx.Response(200, json={"next": more, "results": shown[start : start + size]})
            case "POST", ["projects"]:
                number = max(self.projects, default=0) + 1
                self.projects[number] = {"id": number, "created_at": self.tick(), "model_version": "", **body}
                return httpx.Response(201, json=self.projects[number])
            case "PATCH", ["projects", number] if "model_version" in body and not any(
                body["model_version"] in task["models"] for task in self.tasks.values()
            ):
                return httpx.Response(400, json={"validation_errors": {"model_version": ["doesn't exist"]}})
            case "PATCH", ["projects", number]:
                return self._of(self.projects, number, lambda project: project.update(self._set(body)))
            case "GET", ["tasks"]:
                return self._list(int(query["project"]), query)
            case "POST", ["tasks"]:
                made = self._make(self.highest + 1, body["project"], body["data"], overlap=body["overlap"])
                return httpx.Response(201, json=made)
            case "POST", ["predictions"]:
                self.tasks[body["task"]]["models"].append(body["model_version"])
                return httpx.Response(201, json={"id": 1, **body})
            case "PATCH", ["tasks", number]:
                return self._of(self.tasks, number, lambda task: task.update(body, updated_at=self.tick()))
            case "POST", ["projects", number, "import"]:
                return self._import(int(number), body)
            case "POST", ["projects", number, "import", "predictions"]:
                for prediction in body:
                    self.tasks[prediction["task"]]["models"].append(prediction["model_version"])
                return httpx.Response(201, json={"created": len(body)})
            case "POST", ["dm", "actions"]:
                return self._delete_tasks(int(query["project"]), body)
            case "GET", ["dm", "views"]:
                return httpx.Response(200, json=[one for one in self.views if one["project"] == int(query["project"])])
            case "POST", ["dm", "views"]:
                self.views.append({"id": len(self.views) + 1, **body})
                return httpx.Response(201, json=self.views[-1])
            case "GET", ["storages", "localfiles"]:
                return httpx.Response(200, json=self.storages)
            case "POST", ["storages", "localfiles"]:
                self.storages.append(body)
                return httpx.Response(201, json=body)
            case "GET", ["version"]:
                return httpx.Response(200, json={"release": "1.23.2"})
            case "GET", ["users"]:
                return httpx.Response(200, json=[{"id": n, "email": email} for n, email in self.users.items()])
        return httpx.Response(404, text="<html>Not found</html>")

    def _of(self, things: dict[int, dict], number: str, change: Callable[[dict], None]) -> httpx.Response:
        if int(number) not in things:
            return httpx.Response(404, json={"detail": "Not found."})
        change(things[int(number)])
        return httpx.Response(200, json=things[int(number)])

    def _counted(self, project: dict) -> dict:
        return project | {"task_number": sum(task["project"] == project["id"] for task in self.tasks.values())}

    @staticmethod
    def _set(body: dict) -> dict:
        """Return the settings as they are stored: whoever hides predictions chooses no model."""
        return ({"model_version": ""} if body.get("show_collab_predictions") is False else {}) | body

    def _import(self, project: int, body: list[dict]) -> httpx.Response:
        if project not in self.projects:
            return httpx.Response(404, json={"detail": "No Project matches the given query."})
        numbers = []
        for task in body:
            made = self._make(max(self.tasks, default=0) + 1, project, task["data"])
            made["models"] += [prediction["model_version"] for prediction in task["predictions"]]
            numbers.append(made["id"])
        return httpx.Response(201, json={"task_count": len(numbers), "task_ids": numbers})

    def _make(self, number: int, project: int, data: dict, overlap: int = 1) -> dict:
        now, self.highest = self.tick(), max(self.highest, number)
        row = {"id": number, "project": project, "data": data, "created_at": now, "updated_at": now}
        self.tasks[number] = row | {"annotations": [], "models": [], "draft_exists": False, "overlap": overlap}
        return self.tasks[number]

    def _delete_tasks(self, project: int, body: dict) -> httpx.Response:
        assert [one["filter"].split(":")[-1] for one in body["filters"]["items"]] == [
            "total_annotations",
            "cancelled_annotations",
            "drafts",
        ]
        before = len(self.tasks)
        for number in body["selectedItems"]["included"]:
            task = self.tasks.get(number)
            if task and not task["annotations"] and not task["draft_exists"]:
                del self.tasks[number]
        if not any(task["project"] == project for task in self.tasks.values()):
            self.views = [view for view in self.views if view["project"] != project]
        return httpx.Response(200, json={"processed_items": before - len(self.tasks)})

    def _list(self, project: int, query: dict) -> httpx.Response:
        if project not in self.projects:
            return httpx.Response(404, json={"detail": "No Project matches the given query."})
        rows = [self.shown(task) for task in self.tasks.values() if task["project"] == project]
        for item in json.loads(query["query"])["filters"]["items"]:
            column, value = item["filter"].split(":")[-1], item["value"]
            rows = [row for row in rows if row["id" if column == "id" else "updated_at"] > value]
        rows.sort(key=lambda row: row["id"])
        return httpx.Response(200, json={"total": len(rows), "tasks": rows[: int(query["page_size"])]})

    @staticmethod
    def shown(task: dict) -> dict:
        skips = sum(one["was_cancelled"] for one in task["annotations"])
        return {
            **{name: value for name, value in task.items() if name != "models"},
            "total_annotations": len(task["annotations"]) - skips,
            "cancelled_annotations": skips,
            "predictions_model_versions": ",".join(sorted(set(task["models"]))),
        }
