"""The whole way of an answer without earmark near a server: tasks are imported by hand, and answers come as a file."""

from pathlib import Path

import annotating
import httpx
import pytest
from annotating import ASKED, CLASSES
from click.testing import CliRunner
from label_studio_server import KEY, RealLabelStudio

from curation import cli, page, send, tables


def imported(admin: httpx.Client) -> tuple[int, list[int]]:
    """Make a project and upload the tasks into it, as docs/labelling.md says; return their numbers."""
    config = page.config(CLASSES, hinted=True)
    project = admin.post("/api/projects/", json={"title": "by_hand", "label_config": config}).json()["id"]
    file = {"file": ("tasks.json", Path("data/tasks.json").read_bytes())}
    done = admin.post(f"/api/projects/{project}/import", files=file).json()
    assert (done["task_count"], done["prediction_count"]) == (len(ASKED), len(ASKED))
    listing = {"project": project, "fields": "all", "include": "id,data"}
    number = {task["data"]["clip_id"]: task["id"] for task in admin.get("/api/tasks/", params=listing).json()["tasks"]}
    return project, [number[clip_id] for clip_id in ASKED]


def exported(admin: httpx.Client, project: int) -> dict[str, bytes]:
    """Return what the server gives away: by its button, the same of all tasks, snapshots without and with users."""
    button = f"/api/projects/{project}/export?exportType=JSON"
    found = {"button": admin.get(button).content, "all": admin.get(f"{button}&download_all_tasks=true").content}
    for name, options in (("snapshot", {}), ("users", {"annotations__completed_by": {"only_id": False}})):
        made = admin.post(f"/api/projects/{project}/exports/", json={"serialization_options": options}).json()["id"]
        found[name] = admin.get(f"/api/projects/{project}/exports/{made}/download?exportType=JSON").content
    return found


def first_day(ann: httpx.Client, bob: httpx.Client, tasks: list[int]) -> tuple[str, str]:
    """Answer, also in somebody else's place, and skip; return what is to be changed and to be taken back."""
    changed, deleted, overwritten = (answer(ann, task, "safe") for task in tasks[:3])
    bob.patch(overwritten, json={"result": annotating.choice("harmful")}).raise_for_status()
    for task, said in zip((tasks[0], *tasks[3:5]), ("none", "", "dog"), strict=True):
        answer(bob, task, said)
    return changed, deleted


def answer(who: httpx.Client, task: int, said: str) -> str:
    """Answer, or skip with an empty answer; return the address of the answer."""
    body = {"result": annotating.choice(said) if said else [], "was_cancelled": not said, "lead_time": 2.5}
    return f"/api/annotations/{who.post(f'/api/tasks/{task}/annotations/', json=body).json()['id']}/"


def pull(folder: str, *words: str) -> tuple[str, list[str]]:
    """Run `earmark pull`; return the reviews as they are, and why answers were not taken."""
    done = CliRunner().invoke(cli.main, ["pull", "--data", folder, *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    unread = tables.read(Path(folder) / "unread.csv", tables.UNREAD)
    return (Path(folder) / "reviews.csv").read_text(), unread["detail"].tolist()


@pytest.mark.slow
def test_an_export_of_tasks_imported_by_hand_tells_the_same_as_the_server(
    label_studio: RealLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotating.write(tmp_path, monkeypatch)
    annotating.set_params(shown="hinted", project="by_hand")
    paths = {name: f"data/{name}.csv" for name in ("queue", "labels", "scores", "flags", "reviews")}
    paths |= {"audio": "data/clips", "out": "data/tasks.json", "sent": "data/sent.csv"}
    words = [word for name, path in paths.items() for word in (f"--{name}", path)]
    assert CliRunner().invoke(send.main, words).output == f"send: {len(ASKED)} tasks in data/tasks.json\n"
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    with label_studio.client() as admin, label_studio.client("ann") as ann, label_studio.client("bob") as bob:
        project, tasks = imported(admin)
        changed, deleted = first_day(ann, bob, tasks)
        first, exports = pull("server"), [exported(admin, project)]
        ann.patch(changed, json={"result": annotating.choice("unsure")}).raise_for_status()
        ann.delete(deleted).raise_for_status()
        second = pull("server")
        exports.append(exported(admin, project))
    dog = "['dog'] is not one of harmful, safe, unsure, bad_audio, none"
    assert (first[0].count("\n"), first[1]) == (6, [dog])
    added = set(second[0].splitlines()) - set(first[0].splitlines())
    assert sorted(line.split(",")[3] for line in added) == ["deleted", "unsure"]
    monkeypatch.delenv("LABEL_STUDIO_URL")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    for name in exports[0]:
        for day, expected in zip(exports, (first, second), strict=True):
            Path("export.json").write_bytes(day[name])
            found = pull(name, "--from", "export.json")
            if name == "button" and day is exports[1]:  # it leaves out a task that has lost its only answer
                expected = ("".join(line for line in expected[0].splitlines(True) if ",deleted," not in line), [dog])
            assert found == expected, name
