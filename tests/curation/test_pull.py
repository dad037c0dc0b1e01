import contextlib
import errno
import itertools
import json
import shutil
from pathlib import Path

import click
import pytest
import rows
from click.testing import CliRunner, Result
from fake_label_studio import KEY, URL, FakeLabelStudio, Killed

from curation import annotation, label_studio, pull, push, server, tables

CLASSES = ("harmful", "safe")
KNOWN = annotation.Known(CLASSES, frozenset("abc"))
P = label_studio.Params(project="earmark", shown="blind", overlap_s=60, emails=False)


def choice(answer: str) -> list[dict]:
    return [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [answer]}}]


@pytest.fixture
def fake() -> FakeLabelStudio:
    """Return a server with the tasks 1, 2, 3 for the clips a, b, c; an hour passes from event to event."""
    fake = FakeLabelStudio(step_s=3600)
    tasks = [{"data": {"audio": f"/{clip}.wav", "clip_id": clip, "rank": n}} for n, clip in enumerate("abc", 1)]
    push.push(connect(fake), tasks, tables.SCORES.empty(), P, classes=CLASSES)
    return fake


def connect(fake: FakeLabelStudio) -> label_studio.Server:
    return label_studio.connect(URL, KEY, transport=fake.transport)


def do(fake: FakeLabelStudio, *before):
    start = before or (tables.REVIEWS.empty(), tables.UNREAD.empty(), None)
    return pull.pull(connect(fake), *start, P, known=KNOWN)


def listed(fake: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return, filled as it goes, how many tasks each listing returned."""
    counts: list[int] = []
    original = fake._list

    def counting(project: int, query: dict):
        reply = original(project, query)
        counts.append(len(reply.json()["tasks"]))
        return reply

    monkeypatch.setattr(fake, "_list", counting)
    return counts


def test_only_tasks_that_changed_are_asked_for_again(fake, monkeypatch) -> None:
    first = do(fake)
    fake.annotate(2, 4, choice("safe"))
    counts = listed(fake, monkeypatch)
    reviews, _, state = do(fake, *first)
    assert counts == [2]  # the last of before, within the overlap, and the new one
    assert reviews[["clip_id", "annotator", "answer"]].to_numpy().tolist() == [["b", "user-4", "safe"]]
    assert state.begun_utc == fake.tasks[2]["updated_at"]
    assert do(fake, reviews, first[1], state)[2] == state


def test_long_listings_come_in_pages_without_gaps(fake, monkeypatch) -> None:
    monkeypatch.setattr(label_studio, "PAGE", 2)
    for number in fake.tasks:
        fake.annotate(number, 4, choice("safe"))
    counts = listed(fake, monkeypatch)
    reviews, _, _ = do(fake)
    assert counts == [2, 1]
    assert sorted(reviews["clip_id"]) == ["a", "b", "c"]


def test_a_project_made_anew_is_read_from_its_beginning(fake) -> None:
    fake.annotate(1, 4, choice("safe"))
    before = do(fake)
    fake.projects[1]["created_at"] = fake.tick()
    moved = fake.tasks.pop(1)
    fake.tasks[3] = {**moved, "id": 3, "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}
    fake.tasks[3]["annotations"] = [{**moved["annotations"][0], "id": 9, "updated_at": "2025-01-01T00:00:00Z"}]
    assert len(do(fake, *before)[0]) == len(before[0]) + 1


def test_a_project_that_is_gone_is_a_refusal_in_words(fake) -> None:
    fake.projects.clear()
    with pytest.raises(click.ClickException, match=r"has no project 'earmark'. `earmark push` makes it"):
        do(fake)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeLabelStudio) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(rows.labelled(tables.CLIPS, a="", b="", c=""), Path("data/clips.csv"), tables.CLIPS)
    monkeypatch.setattr(pull, "from_environment", lambda: connect(fake))
    return tmp_path / "data"


def run(*options: str) -> Result:
    return CliRunner().invoke(pull.main, options, catch_exceptions=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_pull_changes_no_byte(folder: Path, fake: FakeLabelStudio) -> None:
    fake.annotate(1, 4, choice("safe"))
    fake.annotate(2, 4, choice("dog"))
    assert run().output == ("pull: 1 new of 1 in data/reviews.csv; 1 could not be taken, see data/unread.csv\n")
    before = content(folder)
    assert run().output.startswith("pull: 0 new of 1")
    assert content(folder) == before


def test_the_queue_says_why_an_answered_clip_was_asked(folder: Path, fake: FakeLabelStudio) -> None:
    fake.annotate(1, 4, choice("safe"))
    fake.annotate(2, 4, choice("safe"))
    queue = rows.table(tables.QUEUE, {"clip_id": "a", "rank": 1, "reason": "audit"})
    tables.write(queue, folder / "queue.csv", tables.QUEUE)
    run()
    reviews = tables.read(folder / "reviews.csv", tables.REVIEWS)
    assert dict(zip(reviews["clip_id"], reviews["asked"], strict=True)) == {"a": "audit", "b": ""}


def test_an_interruption_between_any_two_writes_loses_nothing(folder: Path, fake, monkeypatch) -> None:
    """An answer waits for its class to be known, and when it is, the server is not asked for it again."""
    replace, params = Path.replace, Path("params.yaml")
    for number, answer in ((1, "dog"), (2, "safe")):
        fake.annotate(number, 4, choice(answer))
        run()
    fake.annotate(3, 4, choice("cat"))
    before, text = content(folder), params.read_text()
    params.write_text(text.replace("classes: [harmful, safe]", "classes: [harmful, safe, dog]"))
    assert params.read_text() != text
    faults = {Killed(): "", OSError(errno.ENOSPC, "No space left on device"): "cannot be written (No space left on"}
    for fault, write in itertools.product(faults, range(4)):
        for path in folder.iterdir():
            path.write_bytes(before[path.name])
        left = iter(range(write, -1, -1))

        def interrupted(path: Path, target: Path, fault=fault, left=left) -> Path:
            if next(left) == 0:
                raise fault
            return replace(path, target)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Path, "replace", interrupted)
            result = run()
            assert (result.exit_code, faults[fault] in result.output) == (1, True) or write == 3  # it has three writes
        assert write == 3 or (folder / "pulled.json").read_bytes() == before["pulled.json"]
        assert run().output.endswith("of 2 in data/reviews.csv; 1 could not be taken, see data/unread.csv\n")
        found = tables.read(folder / "reviews.csv", tables.REVIEWS)
        assert dict(zip(found["clip_id"], found["answer"], strict=True)) == {"a": "dog", "b": "safe"}
        assert tables.read(folder / "unread.csv", tables.UNREAD)["clip_id"].tolist() == ["c"]


def test_whose_the_ids_are_is_written_only_when_asked_for(folder: Path) -> None:
    run()
    assert not (folder / "annotators.csv").exists()
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("emails: false", "emails: true"))
    run()
    assert (folder / "annotators.csv").read_text().splitlines()[:2] == ["annotator,email", "user-1,admin@example.com"]


def test_users_of_servers_of_their_own_are_told_apart(folder: Path, fake: FakeLabelStudio, tmp_path: Path) -> None:
    for number, config in enumerate(("ann", "bob"), 1):  # each is user 1 of the own server
        login = server.login(tmp_path / f"{config}.json")
        fake.users[1] = login.email
        fake.annotate(number, 1, choice("safe"))
        run()
    fake.annotate(3, 2, choice("safe"))
    run()
    found = tables.read(folder / "reviews.csv", tables.REVIEWS)
    who = dict(zip(found["clip_id"], found["annotator"], strict=True))
    assert who["b"] == login.email.removesuffix("@localhost")
    assert len(set(who.values())) == 3
    assert who["c"] == "user-2"


def test_an_export_is_taken_as_the_server_would_be(folder: Path, fake: FakeLabelStudio) -> None:
    fake.annotate(1, 4, choice("safe"))
    fake.annotate(2, 5, [], cancelled=True)
    Path("export.json").write_text(json.dumps([fake.shown(task) for task in fake.tasks.values()]))
    run("--from", "export.json")
    from_export = (folder / "reviews.csv").read_bytes()
    assert not (folder / "pulled.json").exists()
    (folder / "reviews.csv").unlink()
    run()
    assert (folder / "reviews.csv").read_bytes() == from_export


def test_an_export_names_users_of_servers_of_their_own_where_it_holds_their_addresses(folder: Path, fake) -> None:
    fake.annotate(1, 1, choice("safe"))
    fake.annotate(2, 4, choice("safe"))
    tasks = [fake.shown(task) for task in fake.tasks.values()]
    emails = {1: "annotator-3f2a91@localhost", 4: "ann@example.com"}
    for one in [one for task in tasks for one in task["annotations"]]:
        one["completed_by"] = {"id": one["completed_by"], "email": emails[one["completed_by"]]}
    Path("export.json").write_text(json.dumps([*tasks, 3, {"annotations": 3}]))
    run("--from", "export.json")
    found = tables.read(folder / "reviews.csv", tables.REVIEWS)
    assert found["annotator"].tolist() == ["annotator-3f2a91", "user-4"]
    assert "example.com" not in (folder / "reviews.csv").read_text()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "export.json is not JSON"),
        ("{}", "export.json is not a full export"),
        ('[{"clip_id": "a", "label": "safe"}]', "not in JSON-MIN or CSV"),
    ],
)
def test_what_is_no_full_export_is_refused(text: str, message: str) -> None:
    Path("export.json").write_text(text)
    result = run("--from", "export.json")
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize("name", ["reviews.csv", "unread.csv"])
def test_answers_that_were_home_and_are_not_any_more_come_again(folder: Path, fake, monkeypatch, name: str) -> None:
    """As after `git checkout` of the table, a branch switch, or a stash."""
    run()
    before = content(folder)
    for number, answer in ((1, "safe"), (2, "dog"), (3, "harmful")):
        fake.annotate(number, 4, choice(answer))
        run()
    after = content(folder)
    (folder / name).write_bytes(before[name])
    run()
    again = content(folder)
    assert {table: again[table] for table in ("reviews.csv", "unread.csv")} == {
        table: after[table] for table in ("reviews.csv", "unread.csv")
    }
    counts = listed(fake, monkeypatch)
    run()
    assert counts == [1]  # within the overlap; the others are known to be home


def test_rows_that_came_another_way_hide_no_loss(folder: Path, fake: FakeLabelStudio) -> None:
    fake.annotate(1, 4, choice("safe"))
    run()
    fake.annotate(2, 4, choice("safe"))
    run()
    reviews = tables.read(folder / "reviews.csv", tables.REVIEWS)
    by_hand = reviews.assign(task_id="", annotation_id="", annotator="ann")
    tables.write(by_hand, folder / "reviews.csv", tables.REVIEWS)  # as many rows, but others
    assert run().output.startswith("pull: 2 new of 4")


@pytest.mark.parametrize("text", ["{}", "<<<<<<< HEAD", '{"project_id": 1, "project_utc": "", "begun_utc": ""}'])
def test_a_state_that_cannot_be_read_is_as_good_as_none(folder: Path, fake: FakeLabelStudio, text: str) -> None:
    fake.annotate(1, 4, choice("safe"))
    run()
    before = content(folder)
    (folder / "pulled.json").write_text(text)
    assert run().output.startswith("pull: 0 new of 1")
    assert content(folder) == before


@pytest.mark.usefixtures("folder")
def test_without_a_server_the_command_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "from_environment", lambda: None)
    assert "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or name an export" in run().output
