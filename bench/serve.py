"""Time one prediction of `earmark serve`, over HTTP on loopback, its server on one core."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import soundfile
import yaml

from curation import page, tables

CLASSES = ("harmful", "safe")
CLIPS, NEW, FOLDS = 40, 20, 5  # clips to learn from; clips that training has not seen
RATE_HZ, CLIP_S = 16_000, 8
REQUESTS = 200
LIMIT_MS = 150
TOKEN = "only-for-this-bench"  # noqa: S105 - no secret
ROOT = Path(__file__).parents[1]


def write(project: Path) -> list[str]:
    """Write a project with clips of tones and of noise; return the clips that are not to be learnt from."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["lite_cnn"] |= {"epochs": 1, "min_steps": 20}
    params["label_studio"]["shown"] = "hinted"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / "data" / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = [f"{number:016x}" for number in range(CLIPS + NEW)]
    for number, clip_id in enumerate(ids):
        noise = rng.standard_normal(RATE_HZ * CLIP_S)
        tone = np.sin(2 * np.pi * rng.uniform(500, 2000) * np.arange(len(noise)) / RATE_HZ)
        sound = 0.1 * (noise if number % 2 else tone)
        soundfile.write(project / "data" / "clips" / f"{clip_id}.wav", sound, RATE_HZ, subtype="PCM_16")
    rows = pd.DataFrame({"clip_id": ids[:CLIPS], "fold": [n // 2 % FOLDS for n in range(CLIPS)]})
    tables.write(rows, project / "data/folds.csv", tables.FOLDS)
    labels = [CLASSES[n % 2] for n in range(CLIPS)]
    tables.write(rows.assign(label=labels, times=1, weight=1.0, why="kept"), project / "data/train.csv", tables.TRAIN)
    return ids[CLIPS:]


def train(project: Path) -> None:
    """Run the stage as dvc.yaml does."""
    paths = {"train": "data/train.csv", "folds": "data/folds.csv", "audio": "data/clips", "models": "models/lite_cnn"}
    paths |= {"out": "data/predictions/lite_cnn.csv", "live": "live", "checkpoint": ".checkpoints"}
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    command = [sys.executable, "-m", "training.lite_cnn", *options]
    subprocess.run(command, cwd=project, env=environment(project), check=True, capture_output=True)


def environment(project: Path) -> dict[str, str]:
    """Return the environment of the programs: earmark's modules are found, nothing of the user's is touched."""
    return os.environ | {"PYTHONPATH": str(ROOT), "EARMARK_SERVE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}


def ask(client: httpx.Client, clip_ids: list[str]) -> dict[str, float]:
    """Ask for one clip after the other, as Label Studio does when a task is opened; return the percentiles in ms."""
    taken_ms = []
    for number in range(REQUESTS):
        task = {"id": number, "data": {"clip_id": clip_ids[number % len(clip_ids)], "shown": "hinted"}}
        body = {"tasks": [task], "label_config": page.config(CLASSES, hinted=True), "project": "1.1", "params": {}}
        begun = time.perf_counter()
        client.post("/predict", json=body).raise_for_status()
        taken_ms.append(1000 * (time.perf_counter() - begun))
    return {f"p{share}": round(float(np.percentile(taken_ms, share)), 1) for share in (50, 95)}


def main() -> None:
    """Print a table, and fail when a new clip takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        new = write(project)
        train(project)
        command = [sys.executable, "-m", "curation.cli", "serve", "--port", "0"]
        one_core = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_setaffinity") else set()
        with subprocess.Popen(
            command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout
            url = re.search(r"http://[0-9.:]+", server.stdout.readline())
            assert url
            if one_core:
                os.sched_setaffinity(server.pid, one_core)
            with httpx.Client(base_url=url[0], auth=("earmark", TOKEN), trust_env=False) as client:
                known = [f"{number:016x}" for number in range(CLIPS)]
                figures = {"new clip, 5 rounds hear it": ask(client, new), "clip of the table": ask(client, known)}
            server.terminate()
    for what, figure in figures.items():
        print(f"{what:28} p50 {figure['p50']:6.1f} ms  p95 {figure['p95']:6.1f} ms")
    assert figures["new clip, 5 rounds hear it"]["p95"] < LIMIT_MS


if __name__ == "__main__":
    main()
