"""Random rounds of asking and answering: in the end reviews.csv holds exactly what people said, once."""

import httpx
import pandas as pd
import pytest
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

from curation import annotation, answers, label_studio, pull, push, tables

CLASSES = ("harmful", "safe")
CLIPS = tuple("abcdef")
P = label_studio.Params(project="earmark", shown="blind", overlap_s=5, emails=False)
SCORES = pd.DataFrame(
    [{"clip_id": clip, "label": label, "probability": 0.5} for clip in CLIPS for label in CLASSES],
    columns=list(tables.SCORES.columns),
)
KNOWN = annotation.Known(CLASSES, frozenset(CLIPS))


def choice(answer: str) -> list[dict]:
    return [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [answer]}}]


def wanted(clips: tuple[str, ...]) -> list:
    return [{"data": {"audio": f"/{clip}.wav", "clip_id": clip, "rank": rank}} for rank, clip in enumerate(clips, 1)]


class RoundTrip(RuleBasedStateMachine):
    """People, a queue that changes, and earmark, which may be killed before or after any of its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeLabelStudio()
        self.server = label_studio.connect(URL, KEY, transport=self.fake.transport)
        self.queue: tuple[str, ...] = ()
        self.reviews, self.unread, self.state = tables.REVIEWS.empty(), tables.UNREAD.empty(), None
        self.seen: dict[tuple, tuple] = {}  # every version that a pull could see: who, what, and when
        self.standing: dict[tuple, bool] = {}  # the answers that the last pull could see, and those taken back since

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
        return push.push(self.server, wanted(self.queue), SCORES, P, classes=CLASSES)

    @rule(request=st.integers(0, 10), stored=st.booleans())
    def a_push_is_killed(self, request: int, stored: bool) -> None:
        touched = {number for number, task in self.fake.tasks.items() if task["annotations"] or task["draft_exists"]}
        self.kill_at(request, stored=stored)
        try:
            self.push()
        except Killed:
            pass
        finally:
            self.let_live()
        assert touched <= set(self.fake.tasks)

    @rule()
    def a_push(self) -> None:
        touched = {number for number, task in self.fake.tasks.items() if task["annotations"] or task["draft_exists"]}
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
        assert sorted(receipt.sent["clip_id"]) == sorted(self.queue)
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

    @precondition(lambda self: self.fake.projects)
    @rule(request=st.integers(0, 3))
    def a_pull_is_killed(self, request: int) -> None:
        self.kill_at(request, stored=True)
        try:
            self.pull()
        except Killed:
            pass
        finally:
            self.let_live()

    @precondition(lambda self: self.fake.projects)
    @rule()
    def a_pull(self) -> None:
        self.pull()
        before = (self.reviews, self.unread, self.state)
        self.pull()
        for mine, theirs in zip(before[:2], (self.reviews, self.unread), strict=True):
            pd.testing.assert_frame_equal(mine, theirs)
        assert before[2] == self.state

    def pull(self) -> None:
        old = set(map(tuple, self.reviews.fillna(-1).to_numpy()))
        found = pull.pull(self.server, self.reviews, self.unread, self.state, P, known=KNOWN)
        self.reviews, self.unread, self.state = found
        assert old <= set(map(tuple, self.reviews.fillna(-1).to_numpy()))
        for task, one in self.annotations():
            who = (one["id"], one["created_at"])
            said = "skipped" if one["was_cancelled"] else one["result"][0]["value"]["choices"][0]
            version = (f"user-{one['updated_by']}", task["data"]["clip_id"], said)
            self.seen[*who, one["updated_at"]] = version
            self.standing[*who, task["id"], task["created_at"]] = True
        tasks = {(task["id"], task["created_at"]) for task in self.fake.tasks.values()}
        there = {(one["id"], one["created_at"]) for _, one in self.annotations()}
        for number, made, *task in self.standing:
            if tuple(task) in tasks and (number, made) not in there:
                self.standing[number, made, *task] = False

    @invariant()
    def reviews_hold_what_people_said_once(self) -> None:
        said = self.reviews[self.reviews["answer"] != "deleted"]
        keys = [(int(n), made, at) for n, made, at in said[[*answers.IDENTITY, "reviewed_utc"]].to_numpy()]
        assert len(set(keys)) == len(keys)
        rows = map(tuple, said[["annotator", "clip_id", "answer"]].to_numpy())
        assert dict(zip(keys, rows, strict=True)) == self.seen

    @invariant()
    def what_was_taken_back_is_marked_and_nothing_else(self) -> None:
        newest = self.reviews.sort_values("reviewed_utc", kind="stable").drop_duplicates(
            [*answers.IDENTITY, "annotator"], keep="last"
        )
        gone = {
            (int(number), made): set(rows["answer"] == "deleted")
            for (number, made), rows in newest.groupby(answers.IDENTITY)
        }
        assert gone == {(number, made): {not stands} for (number, made, *_), stands in self.standing.items()}

    @invariant()
    def nothing_is_unread(self) -> None:
        assert len(self.unread) == 0


def explore(examples: int) -> None:
    chosen = settings(max_examples=examples, stateful_step_count=20, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(RoundTrip, settings=chosen)


def test_reviews_hold_exactly_what_people_said_once() -> None:
    explore(15)


@pytest.mark.slow
def test_reviews_hold_exactly_what_people_said_once_in_many_more_rounds() -> None:
    explore(200)
