"""Whatever a server does, at whichever request: push and pull say so, lose nothing, and complete the next time."""

import base64
import copy
import json
import re
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import annotating
import pytest
import rows
from click.testing import CliRunner, Result
from fake_label_studio import KEY
from fake_over_http import Fault, Served, serving

from curation import cli, files, tables

HTML = f"<html><body>Bad Gateway, you sent {KEY}</body></html>".encode()
SAID = json.dumps({"detail": f"no, {KEY}"}).encode()
FAULTS = {
    "401": (Fault(401, SAID), r"with 401: no, \*\*\*. The key is wrong, expired"),
    "403": (Fault(403, SAID), "with 403: .* ask an administrator"),
    "404": (Fault(404, HTML), "with 404: no JSON. The project may be gone"),
    "429": (Fault(429, SAID), "with 429: .* run the same command again later"),
    "500": (Fault(500, SAID), "with 500: .* Look at the log of the server, then run the same command again"),
    "502": (Fault(502, HTML), "with 502: no JSON. Look at the log of the server, then run the same command again"),
    "half": (Fault(200, b'{"results": [{"id": 1, "ti'), "with 200: no JSON"),
    "cut": (Fault(200, SAID, cut=True), r"does not answer \(RemoteProtocolError.* run the same command again"),
}
BEFORE, NOW = "abx", "bcade"


def write_queue(clips: str, probability: float) -> None:
    tasks = [
        {"data": {"audio": f"/{c}.wav", "clip_id": c, "rank": n, "shown": "blind"}} for n, c in enumerate(clips, 1)
    ]
    files.write_json(tasks, Path("data/tasks.json"))
    scores = [{"clip_id": clip, "label": "safe", "probability": probability} for clip in clips]
    queue = [{"clip_id": clip, "rank": n} for n, clip in enumerate(clips, 1)]
    for kind, table in (
        (tables.SCORES, rows.table(tables.SCORES, *scores)),
        (tables.QUEUE, rows.table(tables.QUEUE, *queue)),
        (tables.LABELS, rows.labelled(tables.LABELS, **dict.fromkeys(clips, "safe"))),
        (tables.FLAGS, tables.FLAGS.empty()),
    ):
        tables.write(table, Path("data") / kind.name, kind)


def run(command: str) -> Result:
    return CliRunner().invoke(cli.main, [command])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Yield a server with a round that is answered in part and pulled, before the queue and the scores changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the attempts to read
    shutil.copy(rows.PARAMS, "params.yaml")
    tables.write(rows.labelled(tables.CLIPS, **dict.fromkeys("abcdex", "")), Path("data/clips.csv"), tables.CLIPS)
    with serving() as server:
        monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
        write_queue(BEFORE, 0.5)
        assert run("push").exit_code == 0
        server.fake.annotate(1, 2, annotating.choice("safe"))
        assert run("pull").exit_code == 0
        server.fake.annotate(1, 3, annotating.choice("harmful"))
        write_queue(NOW, 0.75)
        yield server


def falls_ill(served: Served, command: str, fault: Fault, *, stores: bool) -> Iterator[Result]:
    """Run the command in the same situation again and again, ill from the first request, the second, and so on."""
    fake, data = served.fake, shutil.copytree("data", "before")
    for number in count(1):
        shutil.rmtree("data")
        shutil.copytree(data, "data")
        served.fake, served.asked = copy.deepcopy(fake), 0
        served.fault, served.ill_from, served.stores = fault, number, stores
        result = run(command)
        if served.asked < number:
            assert number > 4
            return
        yield result
        served.fault = None


def assert_refused(result: Result, words: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert re.search(words, result.output), result.output
    assert KEY not in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stores"), [*((name, False) for name in FAULTS), ("502", True), ("cut", True)])
def test_a_push_to_an_ill_server_says_so_and_the_next_one_completes(served: Served, name: str, stores: bool) -> None:
    fault, words = FAULTS[name]
    for result in falls_ill(served, "push", fault, stores=stores):
        assert_refused(result, words)
        served.fault = None
        done = run("push")
        assert done.exit_code == 0, done.output
        ours = list(served.fake.tasks.values())
        assert Counter(task["data"]["clip_id"] for task in ours) == Counter(NOW)
        assert all(Counter(task["models"]).most_common(1)[0][1] == 1 for task in ours)
        assert [one["completed_by"] for one in served.fake.tasks[1]["annotations"]] == [2, 3]
        assert tables.read(Path("data/sent.csv"), tables.SENT)["clip_id"].tolist() == sorted(NOW)
        assert served.fake.projects[1]["model_version"] in served.fake.tasks[1]["models"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_pull_from_an_ill_server_says_so_and_the_next_one_completes(served: Served, name: str) -> None:
    fault, words = FAULTS[name]
    for result in falls_ill(served, "pull", fault, stores=False):
        assert_refused(result, words)
        assert {path.name: path.read_bytes() for path in Path("data").glob("[a-z]*")} == {
            path.name: path.read_bytes() for path in Path("before").glob("[a-z]*")
        }
        served.fault = None
        assert run("pull").output == "pull: 1 new of 2 in data/reviews.csv\n"


def test_an_expired_token_is_said_before_anything_is_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"token_type": "refresh", "exp": time.time() - 1})
    token = (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".c2ln"
    )
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    served.asked = 0
    for command in ("push", "pull"):
        result = run(command)
        assert (result.exit_code, served.asked) == (1, 0)
        assert "API key has expired" in result.output
        assert "take a new one from `Account & Settings`" in result.output
        assert token not in result.output


def test_a_disk_that_is_full_when_the_receipt_is_written_leaves_the_old_one_and_the_next_push_completes(
    served: Served,
) -> None:
    before, limits = Path("data/sent.csv").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        result = run("push")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1
    assert "data/sent.csv: cannot be written (File too large). What stood there is unchanged" in result.output
    assert Path("data/sent.csv").read_bytes() == before
    assert [path.name for path in Path("data").glob(".*sent.csv")] == []
    done = run("push")
    assert "(0 made, 0 changed, 0 withdrawn)" in done.output
    assert tables.read(Path("data/sent.csv"), tables.SENT)["clip_id"].tolist() == sorted(NOW)
    assert Counter(task["data"]["clip_id"] for task in served.fake.tasks.values()) == Counter(NOW)
