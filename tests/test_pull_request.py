"""A rehearsal of a pull request of data: a server, a contributor, and what CI then says, word for word."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import fake_gitlab
import numpy as np
import pandas as pd
import pytest
import rows
import yaml
from click.testing import CliRunner

from curation import cli, label, seal, tables
from curation.changes import LIMIT
from training import evaluate

ROOT = Path(__file__).parents[1]
REVIEW_PAGE = (ROOT / "docs/review.md").read_text(encoding="utf-8")
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
        models="models",
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


def test_clips_that_somebody_calls_bad_audio_are_told_as_no_longer_judged_by(check_out: Callable[[str], None]) -> None:
    bad = answers(range(20, 24), "ann", 0).assign(answer="bad_audio")
    propose("drop", FIRST, pd.concat([bad, answers(range(24, 25), "ann", 0)]), skill=1.5)
    check_out("drop")
    said = CliRunner().invoke(cli.main, ["diff", "origin/main", "HEAD"], catch_exceptions=False).output
    assert said.startswith("**Look twice: models no longer judged by 4 clips (4 `bad_audio`). Balanced accuracy on")
    assert (
        "**Clips that models are no longer judged by**\n\n| clip_id | file         | label     | why         |" in said
    )
    assert [line for line in said.splitlines() if line.endswith("| `bad_audio` |")] == [
        f"| `c{n}`   | `rec-{n}.wav` | {label} | `bad_audio` |"
        for n, label in zip(range(20, 24), ["`harmful`", "`safe`   "] * 2, strict=True)
    ]


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


GH = """#!/bin/sh
# a GitHub with one pull request, 7, whose comment is in the folder beside this script
here=$(dirname "$0")
echo "$@" | tr '\\n' ' ' | cut -d ' ' -f 1-4 >> "$here/asked"
case "$*" in
  "run download"*) cp -r ../ci/review . ;;
  *pulls/7*) echo "$REVIEWED" ;;
  *issues/7/comments\\ --paginate*) test ! -e "$here/comment" || echo 31 ;;
  *"-F body=@body.md") cp body.md "$here/comment" ;;
esac
"""
STALE = "**These results may not belong to this code and data:** run `dvc repro` and commit.\n\n"
FAILS = """
**The gate fails:**

    FAIL  test set: its 24 clips and their labels are not the 24 sealed on DATE; when that is meant, run `earmark seal \
--reason "..."` and commit data/seal.csv with the change
    pass  cnn: sound
    pass  cnn: balanced_accuracy 0.833 [0.627, 0.955], at least 0.6
    pass  cnn: roc_auc 0.819 [0.533, 0.966], lower end at least 0.5
    pass  cnn: ece 0.146 no interval, at most 0.3
"""
LISTEN = "\n[Listen to it](https://github.example/o/r/actions/runs/5): artifact `review`.\n"


def scripts(name: str) -> list[str]:
    """Return what the steps of a workflow run."""
    (job,) = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `gh` and a `make` that does nothing on PATH, where the workflows find them, and return their folder."""
    programs = {"gh": GH, "make": "#!/bin/sh\n"}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "bin"


def workflows(tmp_path: Path, programs: Path) -> tuple[list[int], str]:
    """Run both workflows as GitHub does, and return the exit statuses of the first and the comment there is then."""
    clone, other = tmp_path / "ci", tmp_path / "comment"
    for folder in (clone / "review", other):
        shutil.rmtree(folder, ignore_errors=True)
    other.mkdir()
    head = git("rev-parse", "HEAD").strip()
    known = {"BASE": "origin/main", "NUMBER": "7", "REPO": "o/r", "RUN": "5", "REVIEWED": head}
    environment = os.environ | known | {"GITHUB_SERVER_URL": "https://github.example"}

    def status(script: str, folder: Path) -> int:
        return subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=environment, check=False).returncode

    found = [status(script, clone) for script in scripts("data-review")]
    assert [status(script, other) for script in scripts("data-review-comment")] == [0, 0]
    return found, sealed((programs / "comment").read_text(encoding="utf-8"))


def sealed(comment: str) -> str:
    """Return a comment whenever the test set was sealed."""
    return re.sub(r"sealed on \d{4}-\d\d-\d\d", "sealed on DATE", comment)


def in_ci(check_out: Callable[[str], None]) -> str:
    """Check a branch out where the programs of CI are, and return the comment, with room for what comes first."""
    propose("hear", FIRST + ADDED, answers(range(20, 30), "ann", 0), skill=1.5)
    check_out("hear")
    git("config", "user.name", "CI")
    git("config", "user.email", "ci@example.org")
    Path(".venv/bin").mkdir(parents=True)
    for name, arguments in (("dvc", "-m dvc"), ("earmark", "-m curation.cli"), ("python", "")):
        Path(f".venv/bin/{name}").write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        Path(f".venv/bin/{name}").chmod(0o755)
    shutil.copytree(ROOT / ".github", ".github")
    Path(".gitignore").write_text("/.venv/\n/review/\n")
    Path("dvc.yaml").write_text(
        "stages: {label: {cmd: 'true', deps: [data/reviews.csv], outs: [{data/labels.csv: {cache: false}}]}}"
    )
    commit("Add a stage that never ran")
    base = git("merge-base", "origin/main", "HEAD").strip()
    return f"<!-- earmark data review -->\n{{}}{COMMENT.replace('origin/main', base)}{FAILS}"


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_the_job_for_gitlab_puts_all_into_one_note_and_keeps_it_up_to_date(check_out: Callable[[str], None]) -> None:
    (snippet,) = re.findall(r"## On GitLab\n\n```yaml\n(.*?)```", REVIEW_PAGE, flags=re.DOTALL)
    (job,) = yaml.safe_load(snippet).values()
    told = in_ci(check_out)
    known = {"CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "origin/main"}
    notes = "/api/v4/projects/5/merge_requests/7/notes"
    with fake_gitlab.serving("secret", notes) as gitlab:

        def run(script: list[str], token: str) -> int:
            variables = known | job["variables"] | {"CI_API_V4_URL": f"{gitlab.url}/api/v4", "REVIEW_TOKEN": token}
            return subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", "\n".join(script)], env=os.environ | variables, check=False
            ).returncode

        assert run(job["script"], "secret") == 1  # for the gate
        first = sealed(gitlab.notes[2])
        Path("review/comment.md").write_text("<!-- earmark data review -->\nLater\n")
        (post,) = (line for line in job["script"] if "REVIEW_TOKEN" in line)
        assert run([post], "") == 0
        assert gitlab.asked == [f"GET {notes}?per_page=100&sort=asc", f"POST {notes}"]
        assert run([post], "secret") == 0
    assert first == told.format(STALE)
    assert gitlab.asked[2:] == [f"GET {notes}?per_page=100&sort=asc", f"PUT {notes}/2"]
    assert gitlab.notes == {1: "A note of a person.", 2: "<!-- earmark data review -->\nLater\n"}
    assert all(Path(folder, "review.html").exists() for folder in job["artifacts"]["paths"])


@pytest.mark.slow
def test_the_workflows_put_all_into_one_comment_and_keep_it_up_to_date_and_say_what_fails(
    check_out: Callable[[str], None], installed: Path, tmp_path: Path
) -> None:
    told = in_ci(check_out) + LISTEN
    assert workflows(tmp_path, installed) == ([0, 0, 0, 1], told.format(STALE))
    subprocess.run([".venv/bin/dvc", "commit", "--force", "--quiet"], check=True)
    commit("Run the stage")
    assert workflows(tmp_path, installed) == ([0, 0, 0, 1], told.format(""))
    posted = [line for line in (installed / "asked").read_text().splitlines() if "--method" in line]
    assert posted == [
        "api --method POST repos/o/r/issues/7/comments",
        "api --method PATCH repos/o/r/issues/comments/31",
    ]
    assert Path("review/review.html").exists()

    Path("data/labels.csv").write_text("id\n1\n")
    Path("dvc.yaml").write_text("stages: [")
    commit("Break the table and the pipeline")
    statuses, comment = workflows(tmp_path, installed)
    assert statuses == [0, 0, 0, 1]
    assert "**`dvc repro --dry` fails:**\n\n    './dvc.yaml' is invalid." in comment
    broken = "    Error: data/labels.csv of HEAD cannot be read: the table has no column 'clip_id'."
    assert f"**`earmark diff` fails:**\n\n{broken}" in comment
    assert "**`earmark gate` fails:**\n\n    Error: data/labels.csv" in comment
    shutil.rmtree(".venv")
    assert "**`earmark diff` fails:**\n\n    [Errno 2] No such file" in workflows(tmp_path, installed)[1]


def test_the_longest_output_leaves_a_comment_that_github_takes() -> None:
    specification = importlib.util.spec_from_file_location("data_review", ROOT / ".github/data_review.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    long = "\u202e" + "x" * 99_999
    for said in (module.block([long, long]), module.failure("earmark diff", long)):
        assert LIMIT + 2 * len(said) + 500 < 65_536
        assert "\u202e" not in said
    assert module.failure("earmark diff", "") == "**`earmark diff` fails:**\n\n    It says nothing."


def test_the_workflow_that_runs_code_of_others_has_no_secret_and_the_other_runs_none() -> None:
    review, comment = (
        yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
        for name in ("data-review", "data-review-comment")
    )
    assert review["permissions"] == {"contents": "read"}
    assert "secrets." not in (ROOT / ".github/workflows/data-review.yml").read_text()
    assert not any("checkout" in step.get("uses", "") for step in comment["jobs"]["comment"]["steps"])
    assert comment[True]["workflow_run"]["workflows"] == [review["name"]]  # YAML reads `on` as true
