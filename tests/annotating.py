"""A project as `dvc repro` leaves it, with clips to hear, and `earmark annotate` in it."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rows
import soundfile

from curation import files, send, tables

CLASSES = ("harmful", "safe")
CLIPS = [f"{number:016x}" for number in range(10)]
LABELS = dict(zip(CLIPS, CLASSES * 5, strict=True))
ASKED = [CLIPS[n] for n in (5, 2, 7, 0, 3, 6, 1)]  # in this order; by name it would be another
DURATION_S = 8


def write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the project with seven clips in the queue and go there; what belongs to the user is there too."""
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(folder / "home"))
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(rows.PARAMS, "params.yaml")
    queue = rows.table(tables.QUEUE, *({"clip_id": clip_id, "rank": n} for n, clip_id in enumerate(ASKED, 1)))
    for kind, frame in (
        (tables.CLIPS, rows.table(tables.CLIPS, *({"clip_id": clip_id} for clip_id in CLIPS))),
        (tables.LABELS, rows.labelled(tables.LABELS, **LABELS)),
        (tables.SCORES, rows.labelled(tables.SCORES, **LABELS)),
        (tables.FLAGS, tables.FLAGS.empty()),
        (tables.QUEUE, queue),
    ):
        tables.write(frame, Path("data") / kind.name, kind)
    write_tasks("blind")
    Path("data/clips").mkdir()
    for number, clip_id in enumerate(CLIPS):
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(16_000 * DURATION_S) / 16_000)
        tone[len(tone) // 2 :] = 0
        soundfile.write(f"data/clips/{clip_id}.wav", tone, 16_000, subtype="PCM_16")


def write_tasks(shown: Literal["blind", "hinted"]) -> None:
    """Write the tasks of the queue."""
    queue, scores = (
        tables.read(Path("data/queue.csv"), tables.QUEUE),
        tables.read(Path("data/scores.csv"), tables.SCORES),
    )
    files.write_json(send.send(queue, scores, send.Params.load("send"), shown=shown), Path("data/tasks.json"))


def set_params(**values: str) -> None:
    """Give keys of params.yaml other values."""
    text = Path("params.yaml").read_text()
    for name, value in values.items():
        text = re.sub(rf"(?m)^(  {name}:) \S+", rf"\1 {value}", text)
    Path("params.yaml").write_text(text)


@contextmanager
def annotating() -> Iterator[tuple[str, Callable[[], str]]]:
    """Run `earmark annotate`; yield what it says until it waits, and a function that ends it by Ctrl-C."""
    command = [sys.executable, "-m", "curation.cli", "annotate", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:

        def stop() -> str:
            running.send_signal(signal.SIGINT)
            rest = running.communicate(timeout=60)[0]
            assert running.returncode == 0, rest
            return rest

        try:
            said = ""
            while "Ctrl-C" not in said:
                line = running.stdout.readline()
                assert line, f"ended with {running.wait()} after {said!r}"
                said += line
            yield said, stop
        finally:
            running.send_signal(signal.SIGTERM)


def reviews() -> dict[str, tuple[str, str, str]]:
    """Return the answers by clip: what, how shown, and the note."""
    found = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    return {row.clip_id: (row.answer, row.shown, row.note) for row in found.itertuples()}


def choice(answer: str) -> list[dict[str, object]]:
    """Return an answer as the page stores it."""
    return [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [answer]}}]
