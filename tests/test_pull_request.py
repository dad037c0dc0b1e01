"""A rehearsal of a pull request of data: a server, a contributor, and what CI then says, word for word."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import rows
import yaml
from click.testing import CliRunner

from curation import cli, label, seal, tables
from training import evaluate

ROOT = Path(__file__).parents[1]
COMMENT = (Path(__file__).parent / "pull_request.md").read_text(encoding="utf-8")
FIRST, ADDED, TESTED = 60, 12, 24  # clips
HOSTILE = "<script>|`@you`\u202e.wav"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def clips(count: int) -> pd.DataFrame:
    numbers = range(count)
    files = [HOSTILE if number == FIRST else f"rec-{number:02}.wav" for number in numbers]
    return rows.table(
        tables.CLIPS,
        *(
            {"clip_id": f"c{n:02}", "file": file, "label": ("harmful", "safe")[n % 2], "group": f"g{n:02}"}
            | {"duration_s": 6.0}
            for n, file in zip(numbers, files, strict=True)
        ),
    )


def answers(numbers: range, annotator: str, minute: int) -> pd.DataFrame:
    """Return answers that contradict the given label."""
    return rows.table(
        tables.REVIEWS,
        *(
            {"clip_id": f"c{n:02}", "annotator": annotator, "answer": ("safe", "harmful")[n % 2], "seconds": 4.5}
            | {"reviewed_utc": f"2026-01-02T10:{minute:02}:{n:02}Z", "shown": "blind", "note": "heard\\ntwice"}
            for n in numbers
        ),
    )


def stage(main: click.Command, **options: str) -> None:
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0


def write(count: int, reviews: pd.DataFrame, skill: float) -> None:
    """Write what the pipeline would: sources, then tables, the metrics by the real stages."""
    table = clips(count)
    tables.write(table, Path("data/clips.csv"), tables.CLIPS)
    tables.write(reviews, Path("data/reviews.csv"), tables.REVIEWS)
    groups = table[["clip_id", "group"]].assign(why="given")
    tables.write(groups, Path("data/groups.csv"), tables.GROUPS)
    folds = table[["clip_id"]].assign(fold=[-1 if n < TESTED else n % 2 for n in range(count)])
    tables.write(folds, Path("data/folds.csv"), tables.FOLDS)
    stage(label.main, clips="data/clips.csv", reviews="data/reviews.csv", out="data/labels.csv")
    truth = np.where(np.arange(TESTED) % 2 == 0, 1.0, -1.0)
    score = 1 / (1 + np.exp(-(truth * skill + np.random.default_rng(1).normal(size=TESTED))))
    predictions = pd.DataFrame({"clip_id": table["clip_id"][:TESTED], "harmful": score.round(4)})
    predictions["safe"] = 1 - predictions["harmful"]
    long = predictions.melt("clip_id", var_name="label", value_name="probability")
    tables.write(long, Path("data/predictions/cnn.csv"), tables.PREDICTIONS)
    data = {name: f"data/{name}.csv" for name in ("labels", "folds", "groups")}
    stage(
        evaluate.main,
        **data,
        nuisance="data/predictions/cnn.csv",
        predictions="data/predictions",
        out="reports/metrics.json",
        plots="reports/plots",
        summary="reports/summary",
    )


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


@pytest.fixture
def server(repository: Path, tmp_path: Path) -> Path:
    """Return a bare repository with a sealed test set on `main`, of which we are a clone."""
    shutil.copy(ROOT / ".gitattributes", ".")
    write(FIRST, tables.REVIEWS.empty(), skill=0.3)
    assert CliRunner().invoke(seal.main, ["--reason", "first test set"]).exit_code == 0
    commit("Begin")
    git("clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    git("fetch", "--quiet")
    return tmp_path / "origin.git"


def propose(branch: str, count: int, reviews: pd.DataFrame, skill: float) -> None:
    git("switch", "--quiet", "--create", branch, "origin/main")
    write(count, reviews, skill)
    commit("Hear ten clips, add twelve")
    git("push", "--quiet", "origin", branch)


@pytest.fixture
def check_out(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def clone(branch: str) -> None:
        git("clone", "--quiet", "--branch", branch, str(server), str(tmp_path / "ci"))
        monkeypatch.chdir(tmp_path / "ci")

    return clone


def test_the_comment_says_word_for_word_what_ten_corrections_and_twelve_clips_change(
    check_out: Callable[[str], None],
) -> None:
    propose("hear", FIRST + ADDED, answers(range(20, 30), "ann", 0), skill=1.5)
    check_out("hear")
    said = CliRunner().invoke(cli.main, ["diff", "origin/main", "HEAD"], catch_exceptions=False)
    assert said.output == COMMENT
    gate = CliRunner().invoke(cli.main, ["gate"], catch_exceptions=False)
    assert gate.exit_code == 1
    assert "FAIL  test set: its 24 clips and their labels are not the 24 sealed on 20" in gate.output


def test_answers_of_two_branches_all_stay_when_git_merges_them(check_out: Callable[[str], None]) -> None:
    both = answers(range(20, 24), "zoe", 5)  # pulled by either side
    ours, theirs = answers(range(20, 30), "ann", 0), answers(range(18, 28), "bob", 7)
    propose("ours", FIRST, pd.concat([ours, both]), skill=0.3)
    propose("theirs", FIRST, pd.concat([theirs, both]), skill=0.3)
    check_out("ours")
    git("config", "user.name", "CI")
    git("config", "user.email", "ci@example.org")
    git("config", "merge.earmark.driver", f'"{sys.executable}" -m curation.merge %O %A %B')
    merged = subprocess.run(["git", "merge", "origin/theirs"], capture_output=True, text=True, check=False)
    assert "CONFLICT (content): Merge conflict in data/labels.csv" in merged.stdout  # which `dvc repro` makes anew
    assert "data/reviews.csv" not in git("diff", "--name-only", "--diff-filter=U")
    found = tables.read(Path("data/reviews.csv"), tables.REVIEWS)
    wanted = pd.concat([ours, theirs, both]).sort_values(list(tables.REVIEWS.key), ignore_index=True)
    pd.testing.assert_frame_equal(found, wanted)
    write(FIRST, found, skill=0.3)
    commit("Merge")
    said = CliRunner().invoke(cli.main, ["diff", "origin/ours", "HEAD"], catch_exceptions=False)
    assert "10 new answers" in said.output
    assert "gone or altered" not in said.output


def test_the_workflow_runs_these_commands_and_needs_no_secret() -> None:
    review, comment = (
        yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
        for name in ("data-review", "data-review-comment")
    )
    commands = "\n".join(step.get("run", "") for step in review["jobs"]["review"]["steps"])
    for command in ("dvc pull", "dvc repro --dry", "earmark diff", "earmark gate"):
        assert f".venv/bin/{command}" in commands
    assert review["permissions"] == {"contents": "read"}
    assert "secrets." not in (ROOT / ".github/workflows/data-review.yml").read_text()
    assert not any("checkout" in step.get("uses", "") for step in comment["jobs"]["comment"]["steps"])
    assert comment[True]["workflow_run"]["workflows"] == [review["name"]]  # YAML reads `on` as true
