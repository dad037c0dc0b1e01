import json
import shutil
from pathlib import Path

import httpx
import pytest
import rows
from click.testing import CliRunner, Result
from fake_label_studio import KEY, FakeLabelStudio

from curation import connection, label_studio, send, tables

QUEUE = rows.table(
    tables.QUEUE,
    {"clip_id": "bbbb", "rank": 1, "reason": "suspect"},
    {"clip_id": "aaaa", "rank": 2, "reason": "audit"},
)
SCORES = rows.table(
    tables.SCORES,
    {"clip_id": "bbbb", "label": "harmful", "probability": 0.25},
    {"clip_id": "bbbb", "label": "safe", "probability": 0.75},
)


def test_a_task_is_blind_and_tasks_come_in_the_order_of_the_queue() -> None:
    tasks = send.send(QUEUE, SCORES, send.Params(audio_prefix="/clips/"), shown="blind")
    assert tasks == [
        {"data": {"audio": "/clips/bbbb.wav", "clip_id": "bbbb", "rank": 1, "shown": "blind"}},
        {"data": {"audio": "/clips/aaaa.wav", "clip_id": "aaaa", "rank": 2, "shown": "blind"}},
    ]


def test_the_guess_goes_along_where_it_is_shown_because_whoever_imports_the_tasks_by_hand_has_no_other() -> None:
    first, second = send.send(QUEUE, SCORES, send.Params(audio_prefix="/clips/"), shown="hinted")
    assert (first["data"]["shown"], list(second)) == ("hinted", ["data"])  # no model has heard aaaa
    assert first["predictions"][0]["result"][0]["value"] == {"choices": ["safe"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(QUEUE, Path("queue.csv"), tables.QUEUE)
    for kind in (tables.LABELS, tables.SCORES):
        tables.write(rows.labelled(kind, cccc="safe"), Path(kind.name), kind)
    tables.write(tables.FLAGS.empty(), Path("flags.csv"), tables.FLAGS)
    Path("clips").mkdir()
    return tmp_path


def run(out: str) -> Result:
    words = f"--queue queue.csv --labels labels.csv --scores scores.csv --flags flags.csv --audio clips --out {out}"
    words += " --reviews reviews.csv --sent sent.csv"
    return CliRunner().invoke(send.main, words.split(), catch_exceptions=False)


@pytest.mark.usefixtures("folder")
def test_the_stage_writes_the_same_tasks_byte_for_byte() -> None:
    assert [run(name).output for name in ("a.json", "b.json")] == [f"send: 2 tasks in {x}.json\n" for x in "ab"]
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert [task["data"]["clip_id"] for task in json.loads(Path("a.json").read_text())] == ["bbbb", "aaaa"]


@pytest.mark.usefixtures("folder")
def test_the_stage_pushes_to_a_server_and_writes_its_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLabelStudio()
    server = label_studio.connect("https://labels.test", KEY, transport=fake.transport)
    monkeypatch.setattr(label_studio, "from_environment", lambda: server)
    assert "2 tasks on the server (2 made, 0 changed, 0 withdrawn)" in run("tasks.json").output
    assert Path("sent.csv").read_text() == "clip_id,project_id,task_id\naaaa,1,2\nbbbb,1,1\n"
    assert "/data/local-files/?d=clips/cccc.wav" in fake.projects[1]["expert_instruction"]


@pytest.mark.usefixtures("folder")
def test_a_clip_that_cannot_be_heard_is_named_and_the_others_are_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLabelStudio()
    fake.before = lambda request: httpx.Response(404) if "aaaa" in str(request.url) else None
    server = label_studio.connect("https://labels.test", KEY, transport=fake.transport)
    monkeypatch.setattr(label_studio, "from_environment", lambda: server)
    said = run("tasks.json").output
    assert "; 1 tasks on the server (1 made, 0 changed, 0 withdrawn); label at https" in said
    assert ". 1 clips cannot be heard from the server and were not sent (aaaa: the server answers with 404" in said
    assert "NOT" not in said


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("key", [KEY, ""])
def test_a_server_that_is_down_or_half_configured_does_not_fail_the_stage(key, monkeypatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", key)
    monkeypatch.setattr(connection, "READ_AGAIN", 0)
    result = run("tasks.json")
    assert result.exit_code == 0
    assert "NOT on the server" in result.output
    assert result.output.endswith("`earmark push` does it later.\n")
    assert len(json.loads(Path("tasks.json").read_text())) == 2
