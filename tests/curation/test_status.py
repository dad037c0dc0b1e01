from pathlib import Path

import numpy as np
import pandas as pd
import rows
from click.testing import CliRunner
from fake_label_studio import KEY, URL, FakeLabelStudio

from curation import annotation, label_studio, pull, push, review, send, status, tables

QUEUE = rows.table(tables.QUEUE, *({"clip_id": c, "rank": n, "reason": "suspect"} for n, c in enumerate("abc", 1)))
SENT = rows.table(tables.SENT, {"clip_id": "a"}, {"clip_id": "b"})


def answer(clip: str, who: str, said: str, second: int = 1) -> dict[str, object]:
    when = f"2026-01-01T00:00:0{second}Z"
    return {
        "clip_id": clip,
        "annotator": who,
        "reviewed_utc": when,
        "answer": said,
        "seconds": 60,
        "annotation_id": who,
    }


def test_the_status_counts_what_stands() -> None:
    reviews = rows.table(
        tables.REVIEWS,
        answer("a", "ann", "harmful"),
        answer("a", "ann", "safe", 2),  # ann changed her mind
        answer("a", "bob", "safe"),
        answer("a", "cyn", "harmful"),
        answer("b", "ann", "skipped"),
        answer("d", "ann", "bad_audio"),
        answer("d", "bob", "unsure"),
        answer("d", "cyn", "unsure"),
        answer("e", "ann", "none"),
        answer("e", "ann", "deleted", 2),
    )
    assert status.status(QUEUE, SENT, reviews) == [
        "asked     2 clips on the server, 1 answered, 1 skipped, 0 open",
        "answers   6 standing to 2 clips, 2 skipped, taken back or replaced",
        "          2 unsure, 1 bad_audio, 0 none",
        "people    3 annotators, 8 minutes",
        "agreement 33% of 6 pairs of answers to the same clip",
        "queue     1 of 3 clips to hear: 1 suspect",
        "          1 of them are not on the server: `earmark push`",
    ]


def test_what_was_taken_back_took_time_and_each_answer_counts_once() -> None:
    reviews = rows.table(
        tables.REVIEWS,
        answer("a", "ann", "harmful"),
        answer("a", "ann", "deleted", 2) | {"seconds": np.nan},
        answer("b", "ann", "harmful"),
        answer("b", "ann", "safe", 2) | {"seconds": 180},  # with the 60 from before
        answer("c", "bob", "safe") | {"annotation_id": ""},  # typed in
        answer("c", "cyn", "safe") | {"annotation_id": ""},
    )
    assert review.minutes(reviews) == 1 + 3 + 2


def test_a_second_round_still_counts_what_the_first_one_asked() -> None:
    fake = FakeLabelStudio()
    server = label_studio.connect(URL, KEY, transport=fake.transport)
    p = label_studio.Params(project="earmark", shown="blind", overlap_s=5, emails=False)
    known = annotation.Known(("harmful", "safe"), frozenset("abcdef"))
    part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["safe"]}}

    def asking(clips: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        queue = rows.table(tables.QUEUE, *({"clip_id": clip, "rank": n} for n, clip in enumerate(clips, 1)))
        tasks = send.send(queue, tables.SCORES.empty(), send.Params(audio_prefix="/"), shown="blind")
        return queue, push.push(server, tasks, tables.SCORES.empty(), p, classes=("harmful", "safe")).sent

    asking("abc")
    fake.annotate(1, 2, [part])
    fake.annotate(2, 2, [], cancelled=True)
    queue, sent = asking("def")
    fake.annotate(dict(zip(sent["clip_id"], sent["task_id"], strict=True))["d"], 2, [part])
    reviews, _, _ = pull.pull(server, tables.REVIEWS.empty(), tables.UNREAD.empty(), None, p, known=known)
    assert status.status(queue, sent, reviews)[0] == "asked     5 clips on the server, 2 answered, 1 skipped, 2 open"


def test_the_command_works_before_anything_was_sent(tmp_path: Path) -> None:
    tables.write(QUEUE, tmp_path / "queue.csv", tables.QUEUE)
    result = CliRunner().invoke(status.main, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    assert "0 clips on the server" in result.output
    assert "nobody has heard the same" in result.output
