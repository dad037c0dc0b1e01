import itertools
import shutil
from pathlib import Path
from typing import Literal

import click
import httpx
import pandas as pd
import pytest
import rows
from click.testing import CliRunner
from fake_label_studio import KEY, URL, FakeLabelStudio, Killed

from curation import annotation, files, label_studio, plan, pull, push, tables
from curation.label_studio import Task

CLASSES = ("harmful", "safe")
P = label_studio.Params(project="earmark", shown="blind", overlap_s=60, emails=False)
SCORES = pd.DataFrame(
    [("a", "harmful", 0.9), ("a", "safe", 0.1), ("b", "harmful", 0.25), ("b", "safe", 0.75)],
    columns=list(tables.SCORES.columns),
)


def wanted(clips: str, shown: str = "blind") -> dict[str, dict]:
    return {
        clip: {"audio": f"/{clip}.wav", "clip_id": clip, "rank": rank, "shown": shown}
        for rank, clip in enumerate(clips, 1)
    }


def tasks(clips: str, shown: str = "blind") -> list[dict]:
    return [{"data": data} for data in wanted(clips, shown).values()]


def present(number: int, clip: str, *, touched: bool = False, **data: object) -> Task:
    return Task(number, "", wanted(clip)[clip] | data, touched, frozenset())


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


@pytest.fixture
def server(fake: FakeLabelStudio) -> label_studio.Server:
    return label_studio.connect(URL, KEY, transport=fake.transport)


def do(
    server: label_studio.Server, clips: str, scores: pd.DataFrame = SCORES, shown: Literal["blind", "hinted"] = "blind"
) -> push.Receipt:
    return push.push(server, tasks(clips, shown), scores, P.model_copy(update={"shown": shown}), classes=CLASSES)


def asked(fake: FakeLabelStudio) -> list[str]:
    return sorted(task["data"]["clip_id"] for task in fake.tasks.values())


def test_the_plan_makes_what_is_missing_and_withdraws_what_is_not_wanted() -> None:
    planned = plan.plan(wanted("ab"), [present(1, "a"), present(2, "c")])
    assert (planned.create, planned.update, planned.withdraw) == (["b"], {}, [2])
    assert {clip: task.id for clip, task in planned.kept.items()} == {"a": 1}


def test_the_plan_leaves_alone_what_somebody_has_touched_and_what_is_not_ours() -> None:
    other = Task(9, "", {"text": "hello"}, touched=False, models=frozenset())
    touched = [present(1, "a", rank=5, touched=True), present(2, "c", touched=True)]
    planned = plan.plan(wanted("a"), [*touched, other])
    assert (planned.create, planned.update, planned.withdraw) == ([], {}, [])


def test_the_plan_updates_a_rank_that_changed() -> None:
    assert plan.plan(wanted("a"), [present(1, "a", rank=5)]).update == {1: "a"}


def test_an_address_is_checked_when_it_is_new() -> None:
    moved = present(1, "a", audio="/old/a.wav")
    planned = plan.plan(wanted("abc"), [moved, present(2, "b", rank=9)])
    assert (planned.create, planned.update, planned.unheard) == (["c"], {1: "a", 2: "b"}, ["c", "a"])


def test_of_doubles_the_one_with_an_answer_stays() -> None:
    doubles = [present(1, "a"), present(2, "a", touched=True), present(3, "a")]
    planned = plan.plan(wanted("a"), doubles)
    assert (planned.withdraw, planned.kept["a"].id) == ([1, 3], 2)


def test_the_plan_makes_anew_what_says_that_something_else_was_shown_for_it_may_be_open() -> None:
    planned = plan.plan(wanted("ab", "hinted"), [present(1, "a"), present(2, "b", touched=True)])
    assert (planned.create, planned.update, planned.withdraw) == (["a"], {}, [1])


def test_the_plan_changes_what_comes_next_where_it_is_and_makes_anew_what_comes_later() -> None:
    clips = [f"{number:02}" for number in range(40)]
    data = {clip: {"audio": "", "clip_id": clip, "rank": rank, "shown": "blind"} for rank, clip in enumerate(clips)}
    turned = [data[clip] | {"rank": 39 - number} for number, clip in enumerate(clips)]
    touched = {39, 5}
    planned = plan.plan(data, [Task(n, "", one, n in touched, frozenset()) for n, one in enumerate(turned)])
    order = [clip for number, clip in reversed(list(enumerate(clips))) if number not in touched]
    assert (list(planned.update.values()), planned.renew) == (order[:30], order[30:])
    assert (planned.create, planned.withdraw, planned.unheard) == ([], [], [])


def test_of_doubles_that_nobody_has_touched_the_one_that_is_as_wanted_stays() -> None:
    planned = plan.plan(wanted("a"), [present(1, "a", rank=5), present(2, "a"), present(3, "a")])
    assert (planned.withdraw, planned.kept["a"].id, planned.update) == ([1, 3], 2, {})


def test_a_queue_in_another_order_is_made_anew_but_for_what_comes_next(fake, server, monkeypatch) -> None:
    monkeypatch.setattr(plan, "IN_PLACE", 1)
    do(server, "abcd")
    fake.tasks[4]["draft_exists"] = True
    fake.asked.clear()
    receipt = do(server, "dcba")
    found = {number: (task["data"]["clip_id"], task["data"]["rank"]) for number, task in fake.tasks.items()}
    assert found == {1: ("a", 4), 4: ("d", 4), 5: ("c", 2), 6: ("b", 3)}
    assert [fake.tasks[number]["models"] for number in (5, 6)] == [[], [fake.projects[1]["model_version"]]]
    assert (receipt.created, receipt.updated, receipt.withdrawn) == (0, 3, 0)
    assert receipt.sent.set_index("clip_id")["task_id"].to_dict() == {"a": 1, "b": 6, "c": 5, "d": 4}
    assert sum(line.split()[0] != "GET" for line in fake.asked) == 4


def test_a_clip_that_has_moved_to_where_nobody_hears_it_keeps_the_task_it_has(fake, server, monkeypatch) -> None:
    monkeypatch.setattr(plan, "IN_PLACE", 0)
    do(server, "ab")
    fake.sound |= {"status": 404}
    moved = [{"data": task["data"] | {"audio": f"/elsewhere{task['data']['audio']}"}} for task in tasks("ab")]
    receipt = push.push(server, moved, SCORES, P, classes=CLASSES)
    assert (set(receipt.unplayable), receipt.created, receipt.updated, receipt.withdrawn) == ({"a", "b"}, 0, 0, 0)
    assert [task["data"] for task in fake.tasks.values()] == list(wanted("ab").values())


@pytest.mark.parametrize("in_place", [0, 1, 30])
def test_no_number_that_may_be_open_in_a_browser_is_given_to_another_clip(fake, server, monkeypatch, in_place) -> None:
    monkeypatch.setattr(plan, "IN_PLACE", in_place)
    opened: dict[int, str] = {}
    for clips in ("abc", "abd", "ebda", "adbe", "af", "a", "gfh", "hgf", "h", "", "i"):
        do(server, clips)
        assert asked(fake) == sorted(clips)
        for number, task in fake.tasks.items():
            assert opened.setdefault(number, task["data"]["clip_id"]) == task["data"]["clip_id"]


def test_a_push_makes_project_tasks_predictions_and_one_view_by_rank(fake, server) -> None:
    receipt = do(server, "ab")
    assert receipt.sent.to_dict("list") == {"clip_id": ["a", "b"], "project_id": [1, 1], "task_id": [1, 2]}
    assert receipt.label_at == f"{URL}/projects/1/data?tab=1&labeling=1"
    assert [task["data"] for task in fake.tasks.values()] == list(wanted("ab").values())
    project = fake.projects[1]
    assert [task["models"] for task in fake.tasks.values()] == [[project["model_version"]]] * 2
    assert project["show_collab_predictions"] is False
    assert [view["data"]["ordering"] for view in fake.views] == [["tasks:data.rank"]]


def test_a_second_push_writes_nothing(fake, server) -> None:
    do(server, "ab")
    fake.asked.clear()
    receipt = do(server, "ab")
    assert (receipt.created, receipt.updated, receipt.withdrawn) == (0, 0, 0)
    assert {line.split()[0] for line in fake.asked} == {"GET"}


def test_new_scores_go_up_as_a_new_version(fake, server) -> None:
    do(server, "ab")
    do(server, "ab", SCORES.assign(probability=1 - SCORES["probability"]))
    assert [len(task["models"]) for task in fake.tasks.values()] == [2, 2]
    assert fake.projects[1]["model_version"] == fake.tasks[1]["models"][-1] != fake.tasks[1]["models"][0]


def test_a_live_model_that_somebody_has_chosen_stays_chosen(server, fake) -> None:
    do(server, "ab")
    fake.projects[1]["model_version"] = "live"
    do(server, "ab", SCORES.assign(probability=[0.2, 0.8, 0.4, 0.6]))
    assert fake.projects[1]["model_version"] == "live"
    assert [len(task["models"]) for task in fake.tasks.values()] == [2, 2]


def test_scores_of_other_clips_only_are_no_predictions(fake, server) -> None:
    assert do(server, "xy").created == 2
    assert fake.projects[1]["model_version"] == ""


def test_predictions_name_the_likeliest_class() -> None:
    version, found = push.predictions(SCORES)
    said = {clip: (one["score"], one["result"][0]["value"]["choices"]) for clip, one in found.items()}
    assert said == {"a": (0.9, ["harmful"]), "b": (0.75, ["safe"])}
    assert version == push.predictions(SCORES.copy())[0] != push.predictions(SCORES.iloc[:2])[0]


@pytest.mark.parametrize(("path", "stored"), [("/api/tasks/", "a"), ("/import", "abc")])
def test_a_write_without_a_reply_is_not_sent_again_and_the_next_push_completes(
    fake, server, monkeypatch, path: str, stored: str
) -> None:
    monkeypatch.setattr(push, "CREATED_AT_ONCE", 2)

    def lose(request: httpx.Request) -> None:
        if request.method == "POST" and request.url.path.endswith(path):
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    fake.after = lose
    with pytest.raises(click.ClickException, match=r"RemoteProtocolError.*Whether it has done .* is not known"):
        do(server, "abcde")
    assert sum(line.startswith("POST") and line.endswith(path) for line in fake.asked) == 1
    assert asked(fake) == list(stored)
    fake.after = lambda request: None
    assert do(server, "abcde").created == 5 - len(stored)
    assert asked(fake) == list("abcde")


def test_a_page_changed_by_hand_is_set_again_with_a_word(fake, server, capsys) -> None:
    do(server, "a")
    page = fake.projects[1]["label_config"]
    fake.projects[1]["label_config"] = "<View/>"
    do(server, "a")
    assert fake.projects[1]["label_config"] == page
    assert "differs from earmark's and is set to it" in capsys.readouterr().err


def test_tasks_that_are_stored_late_are_not_doubled(fake, server) -> None:
    def wait(request: httpx.Request) -> None:
        if request.url.path.endswith("/import"):
            fake.time_out(request)

    fake.before = wait
    with pytest.raises(click.ClickException, match=r"ReadTimeout.*Whether it has done .* is not known"):
        do(server, "abc")
    fake.before = lambda request: fake.catch_up() if request.url.path.endswith("/import") else None
    receipt = do(server, "abc")
    assert asked(fake) == ["a", "b", "c"]
    assert set(receipt.sent["task_id"]) == set(fake.tasks)
    assert receipt.withdrawn == 2
    again = do(server, "abc")
    assert (again.created, again.updated, again.withdrawn) == (0, 0, 0)


def test_of_doubles_that_are_noticed_the_one_that_somebody_has_begun_stays(fake, server) -> None:
    do(server, "a")
    project = fake.projects[1]["id"]

    def meanwhile(request: httpx.Request) -> None:
        if request.url.path.endswith("/import"):
            fake.after = lambda _: None
            server.create_tasks(server.project("earmark"), [{"data": wanted("abc")["c"], "predictions": []}])
            fake.tasks[max(fake.tasks)]["draft_exists"] = True

    fake.after = meanwhile
    receipt = do(server, "abc")
    assert asked(fake) == ["a", "b", "c"]
    assert fake.tasks[max(fake.tasks)]["draft_exists"]
    assert receipt.sent["task_id"].tolist() == list(fake.tasks)
    assert set(receipt.sent["project_id"]) == {project}


@pytest.mark.parametrize("hook", ["before", "after"])
def test_pushes_from_two_machines_at_once_ask_about_every_clip_once(hook: str) -> None:
    """The whole of one push happens before, or after, each of the requests of the other."""
    for request in itertools.count():
        fake = FakeLabelStudio()
        one, other = (label_studio.connect(URL, KEY, transport=fake.transport) for _ in range(2))
        left = iter(range(request, -1, -1))

        def meanwhile(_: httpx.Request, left=left, other=other) -> None:
            if next(left, 1) == 0:
                do(other, "abc")

        setattr(fake, hook, meanwhile)
        do(one, "abc")
        assert asked(fake) == ["a", "b", "c"]
        again = do(one, "abc")
        assert (again.created, again.updated, again.withdrawn) == (0, 0, 0)
        if next(left, None) is not None:
            break
    assert request > 8


def showing(fake: FakeLabelStudio) -> str:
    return "hinted" if fake.projects[1]["show_collab_predictions"] else "blind"


def say(fake: FakeLabelStudio, number: int) -> int:
    part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["safe"]}}
    return fake.annotate(number, 3, [part])


def stored(server: label_studio.Server) -> dict[str, str]:
    """Return what the answers say was shown, by annotation."""
    known = annotation.Known(CLASSES, frozenset("abc"))
    reviews, _, _ = pull.pull(server, tables.REVIEWS.empty(), tables.UNREAD.empty(), None, P, known=known)
    return dict(zip(reviews["annotation_id"].astype(int), reviews["shown"], strict=True))


@pytest.mark.parametrize("killed", [False, True])
def test_no_answer_around_a_switch_is_stored_with_what_was_not_shown(killed: bool) -> None:
    """People answer at each request of the push that switches, some of them on pages they have open since before."""
    for request in itertools.count():
        fake = FakeLabelStudio()
        server = label_studio.connect(URL, KEY, transport=fake.transport)
        do(server, "abc")
        truth = {say(fake, 1): "blind"}
        fake.tasks[2]["draft_exists"] = True
        left = iter(range(request, -1, -1))
        opened: dict[tuple, str] = {}

        def people(_: httpx.Request, fake=fake, left=left, truth=truth, opened=opened) -> None:
            if next(left, 1) == 0:
                opened |= {(number, task["created_at"]): showing(fake) for number, task in fake.tasks.items()}
                truth[say(fake, max(fake.tasks))] = showing(fake)
                if killed:
                    raise Killed

        fake.before = people
        try:
            do(server, "abc", shown="hinted")
        except Killed:
            truth |= {say(fake, number): showing(fake) for number in fake.tasks}
            do(server, "abc", shown="hinted")
        ended, fake.before = next(left, None) is not None, lambda _: None
        for number, task in fake.tasks.items():
            if (number, task["created_at"]) in opened:
                truth[say(fake, number)] = opened[number, task["created_at"]]
        fresh = [number for number, task in fake.tasks.items() if task["data"]["shown"] == "hinted"]
        after = {say(fake, number) for number in fresh}
        found = stored(server)
        assert found.keys() == {*truth, *after}
        assert {number: shown for number, shown in found.items() if shown != "unknown"}.items() <= {
            **truth,
            **dict.fromkeys(after, "hinted"),
        }.items()
        assert {found[number] for number in after} <= {"hinted"}
        if ended:
            break
    assert len(after) == 1  # nobody has touched c
    assert request > 8


def test_guesses_switched_on_by_hand_are_switched_off_and_answers_meanwhile_are_not_called_blind(
    fake, server, capsys
) -> None:
    do(server, "abc")
    before = say(fake, 1)
    assert stored(server) == {before: "blind"}
    fake.projects[1]["show_collab_predictions"] = True
    meanwhile = say(fake, 2)
    assert stored(server)[meanwhile] == "unknown"
    do(server, "abc")
    assert "project 'earmark' shows the model's guess and is set to `blind`" in capsys.readouterr().err
    assert fake.projects[1]["show_collab_predictions"] is False
    after = say(fake, next(number for number, task in fake.tasks.items() if task["data"]["clip_id"] == "c"))
    assert stored(server) == {before: "unknown", meanwhile: "unknown", after: "blind"}


def test_the_instructions_hold_examples_where_a_browser_can_follow_and_none_in_a_bucket(fake, server) -> None:
    examples = {"safe": ["x", "y"]}
    push.push(server, tasks("a"), SCORES, P, classes=CLASSES, examples=examples)
    text = fake.projects[1]["expert_instruction"]
    assert 'href="/x.wav"' in text
    assert 'href="/y.wav"' in text
    assert fake.projects[1]["show_instruction"] is True
    bucket = [{"data": wanted("a")["a"] | {"audio": "s3://bucket/a.wav"}}]
    push.push(server, bucket, SCORES, P, classes=CLASSES, examples=examples)
    assert "href" not in fake.projects[1]["expert_instruction"]


def test_tasks_that_are_not_those_of_the_stage_are_refused(server) -> None:
    for odd in ([{"data": {}}], ["a"], [*tasks("a"), *tasks("a")]):
        with pytest.raises(click.ClickException, match="not those of stage `send`"):
            push.push(server, odd, SCORES, P, classes=CLASSES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: label_studio.Server) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    Path("data").mkdir()
    files.write_json(tasks("ab"), Path("data/tasks.json"))
    tables.write(SCORES, Path("data/scores.csv"), tables.SCORES)
    tables.write(rows.labelled(tables.LABELS, a="harmful", b="safe"), Path("data/labels.csv"), tables.LABELS)
    for kind in (tables.FLAGS, tables.QUEUE):
        tables.write(kind.empty(), Path("data") / kind.name, kind)
    monkeypatch.setattr(push, "from_environment", lambda: server)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_command_pushes_and_writes_the_receipt() -> None:
    result = CliRunner().invoke(push.main)
    assert result.exit_code == 0, result.output
    assert "push: 2 tasks on the server (2 made, 0 changed, 0 withdrawn); label at http" in result.output
    assert Path("data/sent.csv").read_text() == "clip_id,project_id,task_id\na,1,1\nb,1,2\n"


@pytest.mark.usefixtures("folder")
def test_a_clip_that_left_the_queue_stays_until_a_pull_has_seen_that_its_answer_was_taken_back(
    fake: FakeLabelStudio, server: label_studio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "from_environment", lambda: server)
    tables.write(rows.table(tables.CLIPS, {"clip_id": "a"}, {"clip_id": "b"}), Path("data/clips.csv"), tables.CLIPS)

    def run(command: click.Command) -> list[str]:
        result = CliRunner().invoke(command)
        assert result.exit_code == 0, result.output
        return asked(fake)

    run(push.main)
    unseen, seen = say(fake, 1), say(fake, 2)
    fake.delete(unseen)
    run(pull.main)
    fake.delete(seen)
    files.write_json([], Path("data/tasks.json"))
    assert run(push.main) == ["b"]
    run(pull.main)
    assert run(push.main) == []
    answers = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    assert answers[["clip_id", "answer"]].to_numpy().tolist() == [["b", "safe"], ["b", "deleted"]]


@pytest.mark.usefixtures("folder")
def test_clips_that_cannot_be_heard_are_named_and_not_sent(fake: FakeLabelStudio) -> None:
    fake.sound |= {"status": 404}
    result = CliRunner().invoke(push.main)
    assert result.exit_code == 1
    assert "2 clips cannot be heard from the server and were not sent" in result.output
    assert "a: the server answers with 404" in result.output
    assert fake.tasks == {}


@pytest.mark.usefixtures("folder")
def test_two_pushes_at_once_are_refused(fake: FakeLabelStudio) -> None:
    with files.locked(Path("data/sent.csv")):
        result = CliRunner().invoke(push.main)
    assert (result.exit_code, fake.asked) == (1, [])
    assert "Another earmark is at work on data/sent.csv" in result.output


@pytest.mark.usefixtures("folder")
def test_without_a_server_the_command_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "from_environment", lambda: None)
    result = CliRunner().invoke(push.main)
    assert result.exit_code == 1
    assert "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or import data/tasks.json" in result.output


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("text", "message"), [(None, "does not exist"), ("{", "is not JSON")])
def test_a_missing_or_broken_tasks_file_is_named(text: str | None, message: str) -> None:
    Path("data/tasks.json").unlink() if text is None else Path("data/tasks.json").write_text(text)
    result = CliRunner().invoke(push.main)
    assert result.exit_code == 1
    assert f"data/tasks.json {message}" in result.output
