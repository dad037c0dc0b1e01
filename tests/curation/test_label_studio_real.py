"""Against a real Label Studio: the server in memory behaves like it, and faults lose and double nothing."""

import itertools
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import click
import pandas as pd
import pytest
import soundfile
from fake_label_studio import KEY, URL, FakeLabelStudio
from label_studio_server import RealLabelStudio

from curation import annotation, answers, page, plan, pull, push, tables
from curation import label_studio as ours
from curation.playable import unplayable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CLASSES = ("harmful", "safe")
CLIPS = "abcdef"
KNOWN = annotation.Known(CLASSES, frozenset(CLIPS))
EMPTY = (tables.REVIEWS.empty(), tables.UNREAD.empty())
SCORES = pd.DataFrame(
    [{"clip_id": clip, "label": label, "probability": 0.5} for clip in CLIPS for label in CLASSES],
    columns=list(tables.SCORES.columns),
)


def settings(title: str) -> ours.Params:
    return ours.Params(project=title, shown="blind", overlap_s=60, emails=False)


def tasks(clips) -> list[dict]:
    return [{"data": {"audio": "s3://b/x.wav", "clip_id": clip, "rank": n}} for n, clip in enumerate(clips, 1)]


def choice(answer: str) -> list[dict]:
    return [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [answer]}}]


@pytest.fixture
def server(label_studio: RealLabelStudio) -> ours.Server:
    return ours.connect(label_studio.url, KEY)


def do(server: ours.Server, clips, title: str) -> push.Receipt:
    return push.push(server, tasks(clips), SCORES, settings(title), classes=CLASSES)


class People:
    """The same acts on the real server and on the one in memory."""

    def __init__(self, real: RealLabelStudio | FakeLabelStudio) -> None:
        self.real = real

    def ask(self, method: str, path: str, who: str, body: dict | None = None) -> dict:
        with self.real.client(who) as client:
            reply = client.request(method, path, json=body)
            assert reply.is_success, reply.text[:300]
            return reply.json() if reply.content else {}

    def answer(self, task: int, who: str, result: list, *, skip: bool = False) -> int:
        if isinstance(self.real, FakeLabelStudio):
            return self.real.annotate(task, {"ann": 2, "bob": 3}[who], result, cancelled=skip)
        body = {"result": result, "lead_time": 2.5, "was_cancelled": skip}
        return int(self.ask("POST", f"/api/tasks/{task}/annotations/", who, body)["id"])

    def change(self, annotation: int, who: str, **values) -> None:
        if isinstance(self.real, FakeLabelStudio):
            self.real.change(annotation, {"ann": 2, "bob": 3}[who], **values)
        else:
            self.ask("PATCH", f"/api/annotations/{annotation}/", who, values)

    def delete(self, annotation: int, who: str) -> None:
        if isinstance(self.real, FakeLabelStudio):
            self.real.delete(annotation)
        else:
            self.ask("DELETE", f"/api/annotations/{annotation}/", who)

    def begin(self, task: int, who: str) -> None:
        if isinstance(self.real, FakeLabelStudio):
            self.real.tasks[task]["draft_exists"] = True
        else:
            self.ask("POST", f"/api/tasks/{task}/drafts", who, {"result": choice("safe"), "lead_time": 1})


def story(server: ours.Server, people: People, title: str) -> list:
    """Play rounds of asking and answering; return what happened without times and numbers."""
    told: list = []

    def pushed(clips: str) -> dict[str, int]:
        receipt = do(server, clips, title)
        told.append((clips, receipt.created, receipt.updated, receipt.withdrawn))
        return dict(zip(receipt.sent["clip_id"], receipt.sent["task_id"], strict=True))

    found = (*EMPTY, None)

    def pulled() -> None:
        nonlocal found
        found = pull.pull(server, *found, settings(title), known=KNOWN)
        rows = found[0].assign(
            who=found[0]["annotator"].map({n: i for i, n in enumerate(found[0]["annotator"].unique())})
        )
        columns = ["clip_id", "who", "answer", "seconds", "note", "overwrote"]
        told.append(sorted(map(str, rows[columns].assign(overwrote=rows["overwrote"] != "").to_numpy().tolist())))
        told.append(sorted(found[1][["clip_id", "reason", "detail"]].to_numpy().tolist()))

    pulled_before_anything = server.project(title)
    told.append(pulled_before_anything)
    numbers = pushed("abcdef")
    pulled()
    first = people.answer(numbers["a"], "ann", choice("safe"))
    second = people.answer(numbers["b"], "ann", choice("safe"))
    people.answer(numbers["b"], "bob", choice("none"))
    people.answer(numbers["c"], "ann", [], skip=True)
    people.begin(numbers["d"], "ann")
    pulled()
    people.change(first, "ann", result=choice("harmful"))
    people.change(second, "bob", result=choice("harmful"))
    numbers = pushed("af")
    pulled()
    people.delete(second, "ann")
    again = people.answer(numbers["f"], "bob", choice("dog"))
    pulled()
    people.change(again, "bob", result=choice("safe"))
    people.change(first, "ann", was_cancelled=True)
    pulled()
    pulled()
    pushed("fbca")
    pushed("fbca")
    told.append(sorted((str(task.data["clip_id"]), task.touched) for task in server.tasks(server.project(title))))
    return told


def test_the_server_in_memory_behaves_like_the_real_one(label_studio, server) -> None:
    fake = FakeLabelStudio()
    imagined = story(ours.connect(URL, KEY, transport=fake.transport), People(fake), "a story")
    assert story(server, People(label_studio), "a story") == imagined


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # of the SDK
def test_a_personal_access_token_serves_as_well_as_a_legacy_one(label_studio) -> None:
    with label_studio.client() as admin:
        created = admin.post("/api/token/", json={})
        assert created.is_success, created.text
    server = ours.connect(label_studio.url, created.json()["token"])
    assert do(server, "ab", "by token").created == 2
    assert server.emails()["1"] == "admin@example.com"


def test_the_page_of_the_stage_is_taken_as_it_is_and_predictions_fit_it(label_studio, server) -> None:
    do(server, "ab", "the page")
    config = server.project("the page").config
    assert config.strip() == page.config(CLASSES).strip()
    changed = SCORES.assign(probability=[0.9, 0.1] * len(CLIPS))
    receipt = push.push(server, tasks("ab"), changed, settings("the page"), classes=CLASSES)
    assert (receipt.created, receipt.updated) == (0, 0)
    assert all(len(task.models) == 2 for task in server.tasks(server.project("the page")))


def test_local_files_are_heard_only_once_their_folder_is_open(label_studio, server) -> None:
    folder = label_studio.home / "clips"
    folder.mkdir()
    soundfile.write(folder / "a.wav", [0.0] * 16000, 16000)
    address = {"a": "/data/local-files/?d=clips/a.wav"}
    assert unplayable(server, address, None) == {
        "a": "the server answers with 404 to a request for a range, not with 206"
    }
    project = server.create_project("local files", page.config(CLASSES), hinted=False)
    for _ in range(2):
        server.serve_folder(project, str(folder))
    assert unplayable(server, address, None) == {}
    assert unplayable(server, address, folder) == {}


def test_what_people_did_since_the_listing_is_not_withdrawn(label_studio, server) -> None:
    people, title = People(label_studio), "since the listing"
    numbers = [int(number) for number in do(server, "abcd", title).sent["task_id"]]
    people.begin(numbers[0], "ann")
    people.answer(numbers[1], "ann", choice("safe"))
    people.answer(numbers[2], "ann", [], skip=True)
    project = server.project(title)
    server.withdraw(project, numbers)
    assert [task.id for task in server.tasks(project)] == numbers[:3]


def test_what_is_submitted_on_a_page_that_is_open_since_before_a_push_is_stored_for_no_other_clip(
    label_studio, server, monkeypatch
) -> None:
    monkeypatch.setattr(plan, "IN_PLACE", 1)
    numbers = do(server, "abcd", "open").sent["task_id"]
    do(server, "dcae", "open")
    clips = {task.id: task.data["clip_id"] for task in server.tasks(server.project("open"))}
    assert sorted(clips.values()) == list("acde")
    with label_studio.client("ann") as ann:
        for number, clip in zip(numbers, "abcd", strict=True):
            reply = ann.post(f"/api/tasks/{number}/annotations/", json={"result": choice("safe"), "lead_time": 900})
            assert reply.status_code == (201 if clips.get(int(number)) == clip else 404)


def test_a_page_that_is_open_since_before_a_push_that_only_withdraws_answers_for_no_other_clip(
    label_studio, server
) -> None:
    """SQLite: an import gives the highest numbers again, to whichever project comes first."""
    numbers = do(server, "abcd", "left open").sent.set_index("clip_id")["task_id"].astype(int).to_dict()
    assert do(server, "ab", "left open").withdrawn == 2
    one_more = do(server, "f", "another").sent["task_id"].astype(int).tolist()
    made = do(server, "abe", "left open").sent["task_id"].astype(int).tolist()
    assert not {numbers["c"], numbers["d"]} & {*one_more, *made}
    with label_studio.client("ann") as ann:
        for clip in "cd":
            body = {"result": choice("safe"), "lead_time": 900}
            assert ann.post(f"/api/tasks/{numbers[clip]}/annotations/", json=body).status_code == 404
    with label_studio.client() as admin:
        admin.delete(f"/api/projects/{server.project('left open').id}/").raise_for_status()
    assert do(server, "efabcd", "left open").sent["task_id"].min() > max(made)


def test_all_tasks_of_a_push_ask_as_many_people_as_the_project_does(label_studio, server) -> None:
    title = "two people"
    do(server, "a", title)
    project = server.project(title)
    server.update_project(project, {"maximum_annotations": 2})
    numbers = do(server, "abcd", title).sent["task_id"]
    with label_studio.client() as admin:
        assert [admin.get(f"/api/tasks/{number}/").json()["overlap"] for number in numbers] == [2, 2, 2, 2]


@pytest.mark.parametrize("seed", [0, 1])
def test_random_rounds_on_the_real_server(label_studio, server, seed: int, monkeypatch) -> None:
    """The long walk is `test_round_trip.py`, in memory; here the same law holds on the real thing."""
    monkeypatch.setattr(plan, "IN_PLACE", 1)
    rng, people, title = random.Random(seed), People(label_studio), f"walk {seed}"  # noqa: S311 - no secret
    do(server, CLIPS[:3], title)
    found, seen, place, gone = (*EMPTY, None), {}, {}, set()
    acts = ["push", "answer", "answer", "answer", "begin", "skip", "change", "delete", "remove", "pull", "pull", "pull"]
    for turn in range(45):
        project = server.project(title)
        held = server.tasks(project)
        there = {(task["id"], task["created_at"]): task["annotations"] for task in label_studio.export(project.id)}
        exported = [(task, one) for task, ones in there.items() for one in ones]
        who = rng.choice(["ann", "bob"])
        match {15: "end", 30: "kill"}.get(turn) or rng.choice(acts):
            case "push":
                touched = {task.id for task in held if task.touched}
                wanted = rng.sample(CLIPS, rng.randrange(1, len(CLIPS)))
                sent = do(server, wanted, title).sent
                now = server.tasks(project)
                assert touched <= {task.id for task in now} == set(sent["task_id"])
                assert len(now) == len({task.data["clip_id"] for task in now})
                idle = {task.data["clip_id"]: task.data["rank"] for task in now if not task.touched}
                begun = {task.data["clip_id"] for task in now if task.touched}
                assert idle == {clip: n for n, clip in enumerate(wanted, 1) if clip not in begun}
            case "answer" if held:
                people.answer(rng.choice(held).id, who, choice(rng.choice(CLASSES)))
            case "begin" if held:
                people.begin(rng.choice(held).id, who)
            case "skip" if held:
                people.answer(rng.choice(held).id, who, [], skip=True)
            case "change" if exported:
                people.change(rng.choice(exported)[1]["id"], who, result=choice(rng.choice(CLASSES)))
            case "delete" if exported:
                people.delete(rng.choice(exported)[1]["id"], who)
            case "remove" if held:
                people.ask("DELETE", f"/api/tasks/{rng.choice(held).id}/", "")
            case "end":
                people.ask("DELETE", f"/api/projects/{project.id}/", "")
                do(server, CLIPS[:3], title)
            case "kill":
                label_studio.kill()
                label_studio.start()
            case "pull":
                found = pull.pull(server, *found, settings(title), known=KNOWN)
                for task, one in exported:
                    said = "skipped" if one["was_cancelled"] else one["result"][0]["value"]["choices"][0]
                    seen[str(one["id"]), one["created_at"], one["updated_at"]] = said
                    place[str(one["id"]), one["created_at"]] = task
                rows = found[0][found[0]["answer"] != "deleted"]
                mine = {
                    tuple(key): said for *key, said in rows[[*answers.IDENTITY, "reviewed_utc", "answer"]].to_numpy()
                }
                assert len(mine) == len(rows)
                assert mine == seen
                held_now = {(str(one["id"]), one["created_at"]) for _, one in exported}
                gone |= {key for key, task in place.items() if task in there and key not in held_now}
                marked = found[0].loc[found[0]["answer"] == "deleted", answers.IDENTITY]
                assert set(map(tuple, marked.to_numpy())) == gone


# faults

MANY = [f"{number:016x}" for number in range(5000)]


def assert_complete(server: ours.Server, title: str) -> None:
    do(server, MANY, title)
    counts = Counter(task.data["clip_id"] for task in server.tasks(server.project(title)))
    assert counts == Counter(MANY)
    again = do(server, MANY, title)
    assert (again.created, again.updated, again.withdrawn) == (0, 0, 0)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_server_killed_in_the_middle_of_a_push_has_everything_once_after_the_next(
    label_studio, server, batch, monkeypatch
) -> None:
    title, create, calls = f"server killed {batch}", ours.Server.create_tasks, itertools.count(1)

    def struck(*arguments) -> list[int]:
        if next(calls) == batch:
            threading.Timer(0.05, label_studio.kill).start()
        return create(*arguments)

    monkeypatch.setattr(ours.Server, "create_tasks", struck)
    try:
        with pytest.raises(click.ClickException, match="does not answer"):
            do(server, MANY, title)
        with pytest.raises(click.ClickException, match="does not answer"):
            pull.pull(server, *EMPTY, None, settings(title), known=KNOWN)
    finally:
        label_studio.start()
    assert_complete(server, title)


PUSH = """
import sys, pandas as pd
from curation import label_studio, push, tables
p = label_studio.Params(project=sys.argv[3], shown="blind", overlap_s=60, emails=False)
tasks = [{"data": {"audio": "s3://b/x.wav", "clip_id": f"{n:016x}", "rank": n + 1}} for n in range(int(sys.argv[4]))]
push.push(label_studio.connect(*sys.argv[1:3]), tasks, tables.SCORES.empty(), p, classes=("harmful", "safe"))
"""


def test_a_push_killed_in_the_middle_is_completed_by_the_next(label_studio, server) -> None:
    title = "push killed"
    command = [sys.executable, "-c", PUSH, label_studio.url, KEY, title, str(len(MANY))]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as child, label_studio.client() as admin:
        while not (project := server.project(title)):
            assert child.poll() is None
            time.sleep(0.05)
        while not 0 < admin.get(f"/api/projects/{project.id}/").json()["task_number"] < len(MANY):
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
    assert_complete(server, title)


def test_two_pushes_at_once_without_a_lock_ask_about_every_clip_once(label_studio, server) -> None:
    title = "two at once"
    command = [sys.executable, "-c", PUSH, label_studio.url, KEY, title, "300"]
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [child.wait() for child in both] == [0, 0]
    counts = Counter(task.data["clip_id"] for task in server.tasks(server.project(title)))
    assert counts == Counter(MANY[:300])


def test_a_switch_leaves_no_task_that_says_what_was_not_shown(label_studio, server) -> None:
    title, people = "switched", People(label_studio)

    def switched(shown) -> list[tuple]:
        made = [{"data": {**task["data"], "shown": shown}} for task in tasks("ab")]
        p = settings(title).model_copy(update={"shown": shown})
        push.push(server, made, SCORES, p, classes=CLASSES, examples={"safe": ["x & y"]})
        project = server.project(title)
        assert project.hinted == (shown == "hinted")
        again = push.push(server, made, SCORES, p, classes=CLASSES, examples={"safe": ["x & y"]})
        assert (again.created, again.updated, again.withdrawn) == (0, 0, 0)
        assert server.project(title) == project
        assert project.model
        return sorted((task.data["clip_id"], task.data["shown"]) for task in server.tasks(project))

    assert switched("blind") == [("a", "blind"), ("b", "blind")]
    people.answer(server.tasks(server.project(title))[0].id, "ann", choice("safe"))
    assert switched("hinted") == [("a", "unknown"), ("b", "hinted")]
    assert switched("blind") == [("a", "unknown"), ("b", "blind")]


class Cut(socketserver.BaseRequestHandler):
    """Hand a request on to the real server, and cut the line instead of handing back the reply to an import."""

    target: tuple[str, int]
    cuts = 0

    def handle(self) -> None:
        with socket.create_connection(self.target) as there:
            threading.Thread(target=self.forth, args=(there,), daemon=True).start()
            while data := there.recv(65536):
                if getattr(self, "importing", False):
                    type(self).cuts += 1
                    return
                self.request.sendall(data)

    def forth(self, there: socket.socket) -> None:
        try:
            while data := self.request.recv(65536):
                if b"/import?" in data.split(b"\r\n", 1)[0]:
                    self.importing = True
                there.sendall(data)
        except OSError:
            return


def test_a_reply_that_is_lost_after_the_tasks_were_stored_doubles_nothing(label_studio, server) -> None:
    title = "reply lost"
    Cut.target = ("127.0.0.1", label_studio.port)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cut) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        through = ours.connect(f"http://127.0.0.1:{proxy.server_address[1]}", KEY)
        for stored in (1001, 2002):  # the first one of a push is made by itself
            with pytest.raises(click.ClickException, match="Whether it has done what was asked is not known"):
                do(through, MANY, title)
            assert len(server.tasks(server.project(title))) == stored
        proxy.shutdown()
    assert Cut.cuts == 2
    assert_complete(server, title)


def test_a_server_killed_in_the_middle_of_a_pull_loses_and_doubles_no_answer(label_studio, server, monkeypatch) -> None:
    title, clips = "pull killed", MANY[:2500]  # three pages
    known = annotation.Known(CLASSES, frozenset(clips))
    do(server, clips[:1], title)
    project = server.project(title)
    heard = [one | {"annotations": [{"result": choice("safe"), "lead_time": 2.5}]} for one in tasks(clips)]
    server.create_tasks(project, heard)
    answered = ours.Server.answered

    def struck(*arguments):
        for number, task in enumerate(answered(*arguments)):
            if number == 1200:
                label_studio.kill()
            yield task

    monkeypatch.setattr(ours.Server, "answered", struck)
    try:
        with pytest.raises(click.ClickException, match="does not answer"):
            pull.pull(server, *EMPTY, None, settings(title), known=known)
    finally:
        label_studio.start()
    monkeypatch.undo()
    reviews, unread, state = pull.pull(server, *EMPTY, None, settings(title), known=known)
    assert (sorted(reviews["clip_id"]), len(unread)) == (clips, 0)
    again = pull.pull(server, reviews, unread, state, settings(title), known=known)
    pd.testing.assert_frame_equal(again[0], reviews)


def test_a_project_deleted_on_the_server_is_made_again_and_answers_stay(label_studio, server) -> None:
    title, people = "deleted", People(label_studio)
    people.answer(int(do(server, "ab", title).sent["task_id"][0]), "ann", choice("safe"))
    reviews, unread, state = pull.pull(server, *EMPTY, None, settings(title), known=KNOWN)
    with label_studio.client() as admin:
        admin.delete(f"/api/projects/{state.project_id}/")
    with pytest.raises(click.ClickException, match="`earmark push` makes it; what is home stays"):
        pull.pull(server, reviews, unread, state, settings(title), known=KNOWN)
    assert do(server, "ab", title).created == 2
    after, _, now = pull.pull(server, reviews, unread, state, settings(title), known=KNOWN)
    pd.testing.assert_frame_equal(after, reviews)
    assert now != state


def test_a_label_set_changed_under_our_feet_loses_no_answer(label_studio, server) -> None:
    title, people = "classes", People(label_studio)
    numbers = do(server, "ab", title).sent["task_id"]
    project = server.project(title)
    server.update_project(project, {"label_config": page.config(("dog", "cat"))})
    people.answer(int(numbers[0]), "ann", choice("dog"))
    found = pull.pull(server, *EMPTY, None, settings(title), known=KNOWN)
    assert (len(found[0]), found[1]["reason"].tolist()) == (0, ["answer"])
    assert do(server, "ab", title).created == 0
    assert server.project(title).config.strip() == page.config(CLASSES).strip()
    more = annotation.Known((*CLASSES, "dog"), KNOWN.clip_ids)
    reviews, unread, _ = pull.pull(server, *found, settings(title), known=more)
    assert (reviews["answer"].tolist(), len(unread)) == (["dog"], 0)
