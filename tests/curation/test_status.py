from pathlib import Path

import rows
from click.testing import CliRunner

from curation import status, tables

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
    )
    assert status.status(QUEUE, SENT, reviews) == [
        "asked     2 clips on the server, 1 answered, 1 open",
        "answers   3 standing to 1 clips, 1 skipped, taken back or replaced",
        "people    3 annotators, 4 minutes",
        "agreement 33% of 3 pairs of answers to the same clip",
        "queue     2 of 3 clips to hear: 2 suspect",
        "          1 of them are not on the server: `earmark push`",
    ]


def test_the_command_works_before_anything_was_sent(tmp_path: Path) -> None:
    tables.write(QUEUE, tmp_path / "queue.csv", tables.QUEUE)
    result = CliRunner().invoke(status.main, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    assert "0 clips on the server" in result.output
    assert "nobody has heard the same" in result.output
