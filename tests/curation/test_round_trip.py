"""Random rounds of asking and answering: in the end reviews.csv holds exactly what people said, once."""

import json
import os
import tempfile
from pathlib import Path
from unittest import mock

import click
import httpx
import pandas as pd
import pytest
import rows
from fake_label_studio import KEY, URL, FakeLabelStudio, Killed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from curation import answers, label_studio, plan, pull, push, review, tables

CLASSES = ("harmful", "safe")
CLIPS = tuple("abcdef")
P = label_studio.Params(project="earmark", shown="blind", overlap_s=5, emails=False)
SCORES = pd.DataFrame(
    [{"clip_id": clip, "label": label, "probability": 0.5} for clip in CLIPS for label in CLASSES],
    columns=list(tables.SCORES.columns),
)
NOT_YET = "a"  # the clip that clips.csv may lack for a while
REVIEWS, UNREAD = (Path("data") / table.name for table in (tables.REVIEWS, tables.UNREAD))


def choice(answer: str) -> list[dict]:
    return [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [answer]}}]


def wanted(clips: tuple[str, ...]) -> list:
    return [
        {"data": {"audio": f"/{clip}.wav", "clip_id": clip, "rank": rank, "shown": "blind"}}
        for rank, clip in enumerate(clips, 1)
    ]


def said(annotation: dict) -> str:
    return "skipped" if annotation["was_cancelled"] else annotation["result"][0]["value"]["choices"][0]


def know(clips: tuple[str, ...]) -> None:
    """Write the clips that an answer may be about."""
    tables.write(rows.table(tables.CLIPS, *({"clip_id": clip} for clip in clips)), Path("data/clips.csv"), tables.CLIPS)


class RoundTrip(RuleBasedStateMachine):
    """People, a queue that changes, and earmark, which may be killed before or after any of its requests and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeLabelStudio()
        self.server = label_studio.connect(URL, KEY, transport=self.fake.transport)
        self.queue: tuple[str, ...] = ()
        self.before, self.folder = Path.cwd(), tempfile.TemporaryDirectory()
        self.few = mock.patch.object(plan, "IN_PLACE", 1)  # the others of a queue in another order are made anew
        self.few.start()
        os.chdir(self.folder.name)
        text = rows.PARAMS.read_text()
        Path("params.yaml").write_text(text.replace("  overlap_s: 30 ", f"  overlap_s: {P.overlap_s} "))
        know(CLIPS)
        self.reviews, self.unread = tables.REVIEWS.empty(), tables.UNREAD.empty()
        self.seen: dict[tuple, tuple] = {}  # every version that a pull could see: who, what, and when
        self.standing: dict[tuple, bool] = {}  # the answers that the last pull could see, and those taken back since
        self.maybe: dict[tuple, tuple] = {}  # what pulls could see that were interrupted: it may be home
        self.taken: set[tuple] = set()  # the answers that these pulls could see taken back: they may be marked
        self.whole = True  # whether the last pull was not interrupted
        self.committed: tuple = ()
        self.open: dict[int, str] = {}  # the clip that a page shows which somebody may have left open, by task

    def teardown(self) -> None:
        self.few.stop()
        os.chdir(self.before)
        self.folder.cleanup()

    def kill_at(self, request: int, *, stored: bool) -> None:
        left = iter(range(request, -1, -1))

        def maybe(_: httpx.Request) -> None:
            if next(left, 1) == 0:
                raise Killed

        self.fake.before, self.fake.after = (lambda _: None, maybe) if stored else (maybe, lambda _: None)

    def let_live(self) -> None:
        self.fake.before = self.fake.after = lambda _: None

    def annotations(self) -> list[tuple[dict, dict]]:
        return [(task, one) for task in self.fake.tasks.values() for one in task["annotations"]]

    @initialize()
    def a_first_round(self) -> None:
        self.queue = CLIPS[:3]
        self.push()
        for number in list(self.fake.tasks)[:2]:
            self.fake.annotate(number, 2, choice("safe"))
        self.pull()

    @rule(clips=st.lists(st.sampled_from(CLIPS), unique=True).map(tuple))
    def the_queue_changes(self, clips: tuple[str, ...]) -> None:
        self.queue = clips

    def push(self) -> push.Receipt:
        home = review.answered_tasks(self.reviews)
        return push.push(self.server, wanted(self.queue), SCORES, P, classes=CLASSES, answered=home)

    def touched(self) -> set[int]:
        """Return the tasks that a push has to leave alone: here or there they have an answer, or are begun."""
        home = review.answered_tasks(self.reviews)
        return {
            number
            for number, task in self.fake.tasks.items()
            if task["annotations"] or task["draft_exists"] or (str(number), task["created_at"]) in home
        }

    @rule(request=st.integers(0, 10), stored=st.booleans())
    def a_push_is_killed(self, request: int, stored: bool) -> None:
        touched = self.touched()
        self.kill_at(request, stored=stored)
        try:
            self.push()
        except Killed:
            pass
        finally:
            self.let_live()
        assert touched <= set(self.fake.tasks)

    @rule(request=st.integers(0, 10))
    def a_push_times_out_and_is_done_later(self, request: int) -> None:
        left = iter(range(request, -1, -1))

        def late(asked: httpx.Request) -> None:
            if next(left, 1) == 0 and asked.url.path.endswith("/import"):
                self.fake.time_out(asked)

        self.fake.before = late
        try:
            self.push()
        except click.ClickException:
            assert self.fake.late
        finally:
            self.let_live()

    @rule(request=st.integers(0, 10))
    def the_server_catches_up_while_we_push(self, request: int) -> None:
        left = iter(range(request, -1, -1))
        self.fake.before = lambda _: self.catch_up() if next(left, 1) == 0 else None
        self.push()
        self.let_live()
        self.a_push()

    @rule(request=st.integers(0, 10), place=st.integers(0, 9))
    def somebody_answers_while_we_push(self, request: int, place: int) -> None:
        left, said = iter(range(request, -1, -1)), []

        def answer(_: httpx.Request) -> None:
            if next(left, 1) == 0 and self.fake.tasks:
                number = sorted(self.fake.tasks)[place % len(self.fake.tasks)]
                said.append(self.fake.annotate(number, 2, choice("safe")))

        self.fake.before = answer
        self.push()
        self.let_live()
        assert set(said) <= {one["id"] for _, one in self.annotations()}
        self.a_push()

    @rule()
    def a_push(self) -> None:
        touched = self.touched()
        receipt = self.push()
        assert touched <= set(self.fake.tasks)
        open_clips = [
            (task["data"]["clip_id"], task["data"]["rank"])
            for number, task in self.fake.tasks.items()
            if number not in touched
        ]
        begun = {self.fake.tasks[number]["data"]["clip_id"] for number in touched}
        rank = {clip: place for place, clip in enumerate(self.queue, 1)}
        assert sorted(open_clips) == sorted((clip, rank[clip]) for clip in self.queue if clip not in begun)
        assert set(receipt.sent["clip_id"]) == {*self.queue, *begun}
        assert set(receipt.sent["task_id"]) <= set(self.fake.tasks)
        assert all(len(set(task["models"])) == len(task["models"]) for task in self.fake.tasks.values())
        again = self.push()
        assert (again.created, again.updated, again.withdrawn) == (0, 0, 0)

    @precondition(lambda self: self.fake.tasks)
    @rule(data=st.data(), user=st.sampled_from([2, 3]), answer=st.sampled_from([*CLASSES, "unsure", "none"]))
    def somebody_answers(self, data: st.DataObject, user: int, answer: str) -> None:
        self.fake.annotate(data.draw(st.sampled_from(sorted(self.fake.tasks))), user, choice(answer))

    @precondition(lambda self: self.fake.tasks)
    @rule(data=st.data(), user=st.sampled_from([2, 3]))
    def somebody_skips(self, data: st.DataObject, user: int) -> None:
        self.fake.annotate(data.draw(st.sampled_from(sorted(self.fake.tasks))), user, [], cancelled=True)

    @precondition(lambda self: self.fake.tasks)
    @rule(data=st.data())
    def somebody_begins(self, data: st.DataObject) -> None:
        self.fake.tasks[data.draw(st.sampled_from(sorted(self.fake.tasks)))]["draft_exists"] = True

    @precondition(annotations)
    @rule(data=st.data(), user=st.sampled_from([1, 2, 3]), answer=st.sampled_from(CLASSES))
    def somebody_changes_an_answer(self, data: st.DataObject, user: int, answer: str) -> None:
        _, one = data.draw(st.sampled_from(self.annotations()))
        self.fake.change(one["id"], user, result=choice(answer), was_cancelled=False)

    @precondition(annotations)
    @rule(data=st.data())
    def somebody_deletes_an_answer(self, data: st.DataObject) -> None:
        self.fake.delete(data.draw(st.sampled_from(self.annotations()))[1]["id"])

    @precondition(lambda self: self.fake.tasks)
    @rule(data=st.data())
    def an_administrator_deletes_a_task(self, data: st.DataObject) -> None:
        del self.fake.tasks[data.draw(st.sampled_from(sorted(self.fake.tasks)))]

    @rule(chance=st.integers(0, 4))
    def an_administrator_deletes_the_project(self, chance: int) -> None:
        if chance:
            return
        self.fake.projects.clear()
        self.fake.tasks.clear()
        self.fake.views.clear()

    @rule(known=st.booleans())
    def a_clip_is_cut_or_lost(self, known: bool) -> None:
        know(CLIPS if known else tuple(clip for clip in CLIPS if clip != NOT_YET))

    @rule()
    def the_server_catches_up(self) -> None:
        self.catch_up()

    def catch_up(self) -> None:
        """Store what was given up for lost: an import that comes so late may be given the number of an old page."""
        if self.fake.late:
            highest = max(self.fake.tasks, default=0)
            self.open = {number: clip for number, clip in self.open.items() if number <= highest}
        self.fake.catch_up()

    @precondition(lambda self: self.fake.projects)
    @rule(request=st.integers(0, 4))
    def a_pull_is_killed(self, request: int) -> None:
        self.kill_at(request, stored=True)
        try:
            self.pull()
        except Killed:
            pass
        finally:
            self.let_live()

    @precondition(lambda self: self.fake.projects)
    @rule(write=st.integers(0, 2), full=st.booleans())
    def a_pull_is_interrupted_between_its_writes(self, write: int, full: bool) -> None:
        left, replace = iter(range(write, -1, -1)), Path.replace

        def interrupted(path: Path, target: Path) -> Path:
            if next(left, 1) == 0:
                raise OSError("disk full") if full else Killed
            return replace(path, target)

        with mock.patch.object(Path, "replace", interrupted):
            try:
                self.pull()
            except (Killed, click.ClickException):
                self.look()
                self.maybe |= self.visible()
                self.taken |= self.taken_back()
                self.whole = False

    @precondition(lambda self: self.fake.projects)
    @rule()
    def a_commit(self) -> None:
        self.pull()
        files = [(path, path.read_bytes()) for path in (REVIEWS, UNREAD)]
        self.committed = (files, dict(self.seen), dict(self.standing))

    @precondition(lambda self: self.fake.projects and self.committed)
    @rule()
    def a_checkout(self) -> None:
        files, seen, standing = self.committed
        for path, content in files:
            path.write_bytes(content)
        self.reviews, self.seen, self.standing, self.maybe = tables.REVIEWS.empty(), dict(seen), dict(standing), {}
        self.taken = set()
        self.pull()

    @precondition(lambda self: self.fake.projects)
    @rule()
    def a_pull(self) -> None:
        self.pull()
        files = (REVIEWS, UNREAD, Path("data/pulled.json"))
        before = [path.read_bytes() for path in files]
        self.pull()
        assert [path.read_bytes() for path in files] == before

    def pull(self) -> None:
        with mock.patch.object(pull, "from_environment", return_value=self.server):
            pull.pull_and_write(Path("data/clips.csv"), Path("data"))
        self.look()
        home = self.home()
        found = {key: seen for key, seen in self.maybe.items() if key in home} | self.visible()
        for key, (version, place) in found.items():
            self.seen[key] = version
            self.standing[place] = True
        marked = {place for place in self.taken if self.marks().get(place[:2]) == {True}}
        for place in (self.taken_back() | marked) & self.standing.keys():
            self.standing[place] = False
        self.maybe, self.taken, self.whole = {}, set(), True

    def taken_back(self) -> set[tuple]:
        tasks = {(task["id"], task["created_at"]) for task in self.fake.tasks.values()}
        there = {(one["id"], one["created_at"]) for _, one in self.annotations()}
        places = {*self.standing, *(place for _, place in self.maybe.values())}
        return {place for place in places if place[2:] in tasks and place[:2] not in there}

    def visible(self) -> dict[tuple, tuple]:
        """Return every version on the server: who, about what, what, and where it stands."""
        return {
            (one["id"], one["created_at"], one["updated_at"]): (
                (f"user-{one['updated_by']}", task["data"]["clip_id"], said(one)),
                (one["id"], one["created_at"], task["id"], task["created_at"]),
            )
            for task, one in self.annotations()
        }

    def look(self) -> None:
        """Read what is home; nothing of it is ever lost."""
        old = set(map(tuple, self.reviews.fillna(-1).to_numpy()))
        self.reviews, self.unread = tables.read(REVIEWS, tables.REVIEWS), tables.read(UNREAD, tables.UNREAD)
        assert old <= set(map(tuple, self.reviews.fillna(-1).to_numpy()))

    def home(self) -> dict[tuple, tuple]:
        """Return every version that is home, in reviews.csv or unread.csv."""
        found = {}
        for single in map(json.loads, self.unread["raw"]):
            one = single["annotations"][0]
            version = (f"user-{one['updated_by']}", single["data"]["clip_id"], said(one))
            found[one["id"], one["created_at"], one["updated_at"]] = version
        told = self.reviews[self.reviews["answer"] != "deleted"]
        keys = [(int(n), made, at) for n, made, at in told[[*answers.IDENTITY, "reviewed_utc"]].to_numpy()]
        assert len(set(keys)) == len(keys)
        return found | dict(zip(keys, map(tuple, told[["annotator", "clip_id", "answer"]].to_numpy()), strict=True))

    @invariant()
    def what_people_said_is_home_once(self) -> None:
        home = self.home()
        assert self.seen.items() <= home.items()
        assert home.items() <= (self.seen | {key: version for key, (version, _) in self.maybe.items()}).items()

    def marks(self) -> dict[tuple, set[bool]]:
        """Return of every answer that is home whether it is marked as taken back, for each who had a hand in it."""
        newest = self.reviews.sort_values("reviewed_utc", kind="stable").drop_duplicates(
            [*answers.IDENTITY, "annotator"], keep="last"
        )
        found: dict[tuple, set] = {}
        for number, made, answer in newest[[*answers.IDENTITY, "answer"]].to_numpy():
            found.setdefault((int(number), made), set()).add(answer == "deleted")
        for raw, reason in self.unread[["raw", "reason"]].to_numpy():
            one = json.loads(raw)["annotations"][0]
            found.setdefault((one["id"], one["created_at"]), set()).add(reason == "deleted")
        return found

    @precondition(lambda self: self.whole)
    @invariant()
    def what_was_taken_back_is_marked_and_nothing_else(self) -> None:
        assert self.marks() == {place[:2]: {not stands} for place, stands in self.standing.items()}

    @invariant()
    def no_page_that_was_left_open_answers_for_another_clip(self) -> None:
        for number, task in self.fake.tasks.items():
            assert self.open.setdefault(number, task["data"]["clip_id"]) == task["data"]["clip_id"]

    @invariant()
    def only_what_is_about_no_clip_is_unread(self) -> None:
        assert set(self.unread["clip_id"]) <= {NOT_YET}


def explore(examples: int) -> None:
    chosen = settings(max_examples=examples, stateful_step_count=20, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(RoundTrip, settings=chosen)


def test_reviews_hold_exactly_what_people_said_once() -> None:
    explore(10)


@pytest.mark.slow
def test_reviews_hold_exactly_what_people_said_once_in_many_more_rounds() -> None:
    explore(80)
