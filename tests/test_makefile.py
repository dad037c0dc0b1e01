"""`make repro` makes the sample where there is nothing, and lets alone what is there."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
HEADER = "file,label,group\n"


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        ({}, ["earmark sample", "dvc repro"]),
        ({"raw.csv": HEADER}, ["earmark sample", "dvc repro"]),
        ({"raw/a b.wav": "x"}, ["earmark sample", "dvc repro"]),  # which refuses, and says what to do
        ({"raw/a b.wav": "x", "raw.csv": HEADER}, ["dvc repro"]),
        ({"raw.dvc": "", "raw.csv": HEADER}, ["dvc repro"]),  # to be pulled
    ],
)
def test_the_sample_is_made_where_there_are_no_recordings(
    tmp_path: Path, there: dict[str, str], asked: list[str]
) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/insights.md").touch()
    for name, content in there.items():
        (tmp_path / "data" / name).write_text(content)
    for command in ("earmark", "dvc"):
        (tmp_path / command).write_text('#!/bin/sh\necho "$(basename "$0") $*" >> asked\n')
        (tmp_path / command).chmod(0o755)
    subprocess.run(["make", "--old-file=.venv/ready", "BIN=.", "repro"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "asked").read_text().splitlines() == asked
