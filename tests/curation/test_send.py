import json
import shutil
from pathlib import Path

import rows
from click.testing import CliRunner

from curation import send, tables

QUEUE = rows.table(
    tables.QUEUE,
    {"clip_id": "bbbb", "rank": 1, "reason": "suspect"},
    {"clip_id": "aaaa", "rank": 2, "reason": "audit"},
)


def test_a_task_is_blind_and_tasks_come_in_the_order_of_the_queue() -> None:
    tasks = send.send(QUEUE, send.Params(audio_prefix="/clips/"))
    assert tasks == [
        {"data": {"audio": "/clips/bbbb.wav", "clip_id": "bbbb", "rank": 1}},
        {"data": {"audio": "/clips/aaaa.wav", "clip_id": "aaaa", "rank": 2}},
    ]


def test_the_stage_writes_the_same_tasks_byte_for_byte(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(QUEUE, Path("queue.csv"), tables.QUEUE)
    results = [CliRunner().invoke(send.main, ["--queue", "queue.csv", "--out", name]) for name in ("a.json", "b.json")]
    assert [result.output for result in results] == ["send: 2 tasks in a.json\n", "send: 2 tasks in b.json\n"]
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert [task["data"]["clip_id"] for task in json.loads(Path("a.json").read_text())] == ["bbbb", "aaaa"]
