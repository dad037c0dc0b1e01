"""A set of clips in which a class is a tone: a small project that a model can learn in seconds."""

from pathlib import Path
from typing import NoReturn

import click
import numpy as np
import pandas as pd
import pytest
import rows
import soundfile
import yaml
from click.testing import CliRunner, Result

from curation import tables

DATA = {"classes": ["tone", "noise"], "clip_s": 1.0, "rate_hz": 8000}
OPTIONS = {
    "--train": "train.csv",
    "--folds": "folds.csv",
    "--audio": "clips",
    "--models": "models",
    "--out": "predictions.csv",
    "--live": "live",
    "--checkpoint": ".checkpoints",
}
ARGUMENTS = [word for pair in OPTIONS.items() for word in pair]


def write(folder: Path, *, sections: dict[str, dict], clips: int = 18, folds: int = 3, test: int = 0) -> pd.Series:
    """Write a project into `folder`: clips of a tone or of noise, and return the label of each clip.

    The clips are as long as their number says and padded with zeros; the last `test` of them are the test fold.
    """
    rng = np.random.default_rng(0)
    labels = pd.Series({f"clip{n:02}": DATA["classes"][n % 2] for n in range(clips)})
    fold = {f"clip{n:02}": -1 if n >= clips - test else n // 2 % folds for n in range(clips)}
    (folder / "clips").mkdir(parents=True)
    for number, (clip_id, label) in enumerate(labels.items()):
        n = 5000 + 100 * number
        tone = np.sin(2 * np.pi * rng.uniform(700, 900) * np.arange(n) / 8000)
        sound = tone if label == "tone" else rng.standard_normal(n)
        samples = np.zeros(8000)
        samples[:n] = 0.1 * sound
        soundfile.write(folder / "clips" / f"{clip_id}.wav", samples, 8000, subtype="PCM_16")
    listed = [
        {"clip_id": c, "label": labels[c], "fold": f, "times": 1, "why": "kept"} for c, f in fold.items() if f >= 0
    ]
    tables.write(rows.table(tables.TRAIN, *listed), folder / "train.csv", tables.TRAIN)
    held = [{"clip_id": c, "fold": f} for c, f in fold.items()]
    tables.write(rows.table(tables.FOLDS, *held), folder / "folds.csv", tables.FOLDS)
    sections = {
        "data": DATA,
        "mel": {"window_s": 0.032, "hop_s": 0.02, "bands": 16, "min_hz": 0, "max_hz": 4000},
    } | sections
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    return labels


def section(name: str, **changes: object) -> dict[str, object]:
    """Return a section of the project's own params.yaml with a few steps of training, changed as asked."""
    steps = {"epochs": 1, "min_steps": 24, "batch_clips": 6}
    return yaml.safe_load(rows.PARAMS.read_text())[name] | steps | changes


def predicted(path: Path) -> pd.Series:
    """Return the most probable label of each clip in a table of predictions."""
    wide = tables.read(path, tables.PREDICTIONS).pivot_table(index="clip_id", columns="label", values="probability")
    return wide.idxmax(axis="columns")


def out_of_memory(*_: object, **__: object) -> NoReturn:
    """Take more than there is."""
    np.empty(2**60, np.uint8)
    raise AssertionError("so much memory there cannot be")


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, main: click.Command, sections: dict[str, dict]) -> Result:
    """Return the one line that a training in one process ends with."""
    write(folder / "p", sections=sections)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)  # a worker would not be faulty
    monkeypatch.chdir(folder / "p")
    result = CliRunner().invoke(main, ARGUMENTS)
    assert (result.exit_code, result.stderr.splitlines()[-1][:7]) == (1, "Error: ")
    return result
