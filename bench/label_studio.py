"""Time push and pull on a real Label Studio with 10,000 tasks, and fail when they take too long or too much memory.

Needs an empty server on this machine: LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY, and EARMARK_CLIPS, a folder below its
document root that it may serve as local files (docs/labelling.md).
"""

import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import soundfile

from curation import annotation, label_studio, page, pull, push, send, tables

T = TypeVar("T")
TASKS, NEW, SOME = 10_000, 10, 1_000  # tasks; new answers; tasks in another order, or each asked for by http
PUSH, PULL_NEW, FIRST_PULL = f"push {TASKS} tasks with predictions", f"pull {NEW} new answers", f"first pull of {TASKS}"
REORDER = f"push {SOME - NEW} changed ranks"
LIMITS = {PUSH: 30, REORDER: 30, PULL_NEW: 2, FIRST_PULL: 40, "peak_mb": 500}  # seconds, MB
CLASSES = ("harmful", "safe")
OUT = Path("bench/label_studio.json")
P = label_studio.Params(project="earmark bench", shown="blind", overlap_s=30, emails=False)
figures: dict[str, float] = {}


def timed(what: str, call: Callable[[], T]) -> T:
    """Run `call` and print how long it took."""
    begun = time.perf_counter()
    result = call()
    figures[what] = round(time.perf_counter() - begun, 2)
    print(f"{what:55} {figures[what]:8.2f} s", flush=True)
    return result


def answer(server: label_studio.Server, project: label_studio.Project, choice: str, task_ids: list[int]) -> None:
    """Answer tasks one by one, as people do."""
    part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": [choice]}}
    for task_id in task_ids:
        server._ask("POST", f"api/tasks/{task_id}/annotations/", dict, json={"result": [part], "lead_time": 2})


def import_answered(server: label_studio.Server, project: label_studio.Project, clip_ids: list[str]) -> None:
    """Import tasks that are answered: answering 10,000 one by one takes half an hour."""
    part = {"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["safe"]}}
    done = [{"result": [part], "lead_time": 2}]
    for start in range(0, len(clip_ids), 500):
        some = clip_ids[start : start + 500]
        server.create_tasks(project, [{"data": {"audio": "/", "clip_id": one}, "annotations": done} for one in some])


def emptied(server: label_studio.Server, project: label_studio.Project) -> label_studio.Project:
    """Return a new project in the place of this one."""
    server._ask("DELETE", f"api/projects/{project.id}/", type(None))
    return server.create_project(P.project, page.config(CLASSES), hinted=False)


def peak_mb() -> float:
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a table and write it as JSON."""
    server, served = label_studio.from_environment(), os.environ.get("EARMARK_CLIPS")
    if server is None or served is None:
        print("skipped: LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY and EARMARK_CLIPS are not all set")
        return
    rng = np.random.default_rng(0)
    ids = [f"{number:016x}" for number in range(TASKS)]
    with tempfile.TemporaryDirectory(dir=served) as folder:
        clips = Path(folder)
        soundfile.write(clips / "first.wav", rng.normal(0, 0.1, 16000), 16000)
        for clip_id in ids:
            shutil.copy(clips / "first.wav", clips / f"{clip_id}.wav")
        prefix = f"/data/local-files/?d={Path(served).name}/{clips.name}/"
        queue = pd.DataFrame({"clip_id": ids, "rank": range(1, TASKS + 1), "reason": "audit"})
        tasks = send.send(queue, tables.SCORES.empty(), send.Params(audio_prefix=prefix), shown="blind")
        scores = rng.random(TASKS)
        both = [
            pd.DataFrame({"clip_id": ids, "label": label, "probability": p})
            for label, p in zip(CLASSES, (scores, 1 - scores), strict=True)
        ]
        measure(server, tasks, pd.concat(both, ignore_index=True), clips, served)
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    over = {what: figures[what] for what, limit in LIMITS.items() if figures[what] >= limit}
    assert not over, f"over the limits {LIMITS}: {over}"


def measure(server: label_studio.Server, tasks: list, scores: pd.DataFrame, clips: Path, served: str) -> None:
    """Push, push again, pull, answer, pull again."""
    project = server.create_project(P.project, page.config(CLASSES), hinted=False)
    server.serve_folder(project, served)
    receipt = timed(
        PUSH,
        lambda: push.push(server, tasks, scores, P, classes=CLASSES, clips=clips),
    )
    timed("push again", lambda: push.push(server, tasks, scores, P, classes=CLASSES, clips=clips))
    known = annotation.Known(CLASSES, frozenset(receipt.sent["clip_id"]))
    empty = (tables.REVIEWS.empty(), tables.UNREAD.empty())
    time.sleep(P.overlap_s)  # people take longer to begin; the next pull would ask again for what was just made
    *_, state = timed("pull, nothing answered", lambda: pull.pull(server, *empty, None, P, known=known))
    answer(server, project, "safe", list(receipt.sent["task_id"][:NEW]))
    reviews, *_ = timed(PULL_NEW, lambda: pull.pull(server, *empty, state, P, known=known))
    assert len(reviews) == NEW
    turned = [{"data": task["data"] | {"rank": SOME - rank}} for rank, task in enumerate(tasks[NEW:SOME], NEW)]
    moved = [*tasks[:NEW], *turned, *tasks[SOME:]]
    receipt = timed(REORDER, lambda: push.push(server, moved, scores, P, classes=CLASSES))
    assert receipt.updated == len([task for task, old in zip(moved, tasks, strict=True) if task != old])
    project = emptied(server, project)
    server.serve_folder(project, served)
    http = [{"data": task["data"] | {"audio": server.url.rstrip("/") + task["data"]["audio"]}} for task in tasks[:SOME]]
    timed(f"push {SOME} tasks, each asked for by http", lambda: push.push(server, http, scores, P, classes=CLASSES))
    project = emptied(server, project)
    import_answered(server, project, list(known.clip_ids))
    before = peak_mb()
    reviews, *_ = timed(FIRST_PULL, lambda: pull.pull(server, *empty, None, P, known=known))
    assert len(reviews) == TASKS
    print(f"{'memory of the whole process, before and after':55} {before:.0f} and {peak_mb():.0f} MB")
    figures["peak_mb"] = round(peak_mb())
    server._ask("DELETE", f"api/projects/{project.id}/", type(None))


if __name__ == "__main__":
    main()
