import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from curation import cli, versions
from training.review import SCHEMA

DOCS = Path(__file__).parents[2] / "docs"
CLIPS = "clip_id,file,duration_s,label,group\n"
BEFORE = {
    "data/clips.csv": CLIPS + "c1,a.wav,60,safe,g1\nc2,b.wav,30,harmful,g2\n",
    "data/labels.csv": "clip_id,label,origin\nc1,safe,given\nc2,harmful,given\n",
    "reports/metrics.json": '{"cnn": {"mcc": {"value": 0.25}}}',
    "params.yaml": "split: {folds: 5}\n",
}
AFTER = BEFORE | {
    "data/labels.csv": "clip_id,label,origin\nc1,safe,given\nc2,safe,review\n",
    "reports/metrics.json": '{"cnn": {"mcc": {"value": 0.5}}}',
    "params.yaml": "split: {folds: 4}\n",
}


def write(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def branch(repository: Path) -> Path:
    """Return a repository with BEFORE on `main`, and AFTER in the workspace of the branch `fix`."""
    write(BEFORE)
    git("add", "--all")
    git("commit", "--message", "Before")
    git("switch", "--create", "fix")
    write(AFTER)
    return repository


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["diff", *arguments], catch_exceptions=False)


@pytest.mark.usefixtures("branch")
def test_without_revisions_the_workspace_is_compared_with_where_the_branch_left_main() -> None:
    main = git("rev-parse", "main")
    found = json.loads(run("--json").output)
    assert found.pop("changes").keys() == {"labels", "balance", "metrics", "params"}
    assert found == {
        "schema": 1,
        "before": {"revision": main[:10], "commit": main, "notes": []},
        "after": {
            "revision": "the files here",
            "commit": None,
            "notes": ["Not committed: `data/labels.csv`, `params.yaml`, `reports/metrics.json`."],
        },
        "verdict": "No model to compare.",
    }


def tables(version: str) -> dict[str, str]:
    """Return files that differ between the versions `old` and `new` in every kind of change."""
    now = version == "new"
    clips = ["c0", "c1", "c2", *(("c3", "c5") if now else ("c3", "c4"))]
    label = {
        "c0": "harmful",
        "c1": "" if now else "safe",
        "c2": "safe",
        "c3": "safe" if now else "harmful",
        "c4": "safe",
    }
    label["c5"] = "harmful"

    def rows(header: str, line: Callable[[str], str]) -> str:
        return "\n".join([header, *map(line, clips)]) + "\n"

    answer = "c1,ann,2026-01-01T00:00:00Z,bad_audio,blind\nc3,ann,2026-01-01T00:00:01Z,safe,blind\n"
    return {
        "data/clips.csv": rows(
            "clip_id,file,duration_s,label,group", lambda c: f"{c},{c}{version}.wav,6,{label[c]},{c}"
        ),
        "data/labels.csv": rows("clip_id,label,origin", lambda c: f"{c},{label[c]},{'review' if now else 'given'}"),
        "data/groups.csv": rows("clip_id,group", lambda c: f"{c},{c}{version}"),
        "data/folds.csv": rows("clip_id,fold", lambda c: f"{c},{int(now)}"),
        "data/train.csv": rows("clip_id,times,why", lambda c: f"{c},{int(now)},kept"),
        "data/rejects.csv": f"file,start_s,label,reason,detail\n{version}.wav,,safe,silent,Nothing.\n",
        "data/reviews.csv": f"clip_id,annotator,reviewed_utc,answer,shown\n{answer if now else ''}",
        "data/predictions/cnn.csv": rows(
            "clip_id,label,probability", lambda c: f"{c},harmful,0.{4 + now}\n{c},safe,0.{6 - now}"
        ),
        "reports/metrics.json": json.dumps(
            {"cnn": {"mcc": {"value": 0.5 + now, "low": None, "high": 1}, "faults": [version]}}
        ),
        "params.yaml": f"split: {{salt: {version}}}\n",
    }


def test_the_json_has_the_keys_that_are_documented_and_no_other(repository: Path) -> None:
    for version in ("old", "new"):
        write(tables(version))
        git("add", "--all")
        git("commit", "--message", version)
    found = json.loads(run("--json", "HEAD~1", "HEAD").output)
    schema = json.loads((DOCS / "review.schema.json").read_text())
    jsonschema.validate(found, schema)
    assert found["schema"] == SCHEMA
    assert f"`schema` is {SCHEMA}." in (DOCS / "review.md").read_text()
    rows = re.findall(r"^\| `(changes\.\w+.*?) \|", (DOCS / "review.md").read_text(), flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row.removeprefix("changes."))}
    assert documented == found["changes"].keys() == schema["properties"]["changes"]["properties"].keys()
    assert found["changes"]["comparison"]["cnn"].keys() == schema["$defs"]["comparison"]["properties"].keys()
    assert [clip["why"] for clip in found["changes"]["judged"]["removed"]] == ["bad_audio", "not there"]


@pytest.mark.usefixtures("branch")
def test_two_revisions_are_compared_whatever_the_workspace_holds() -> None:
    git("commit", "--all", "--message", "After")
    write(BEFORE)
    there, back = (json.loads(run("--json", *names).output)["changes"] for names in (("main", "fix"), ("fix", "main")))
    assert there["params"] == {"split.folds": {"before": 5, "after": 4}}
    assert back["params"] == {"split.folds": {"before": 4, "after": 5}}
    assert run("main").output.startswith("**Nothing changed.** From `main` to `the files here`: nothing changed.\n")


@pytest.mark.usefixtures("branch")
def test_the_exit_code_tells_a_change_only_when_asked() -> None:
    assert [run().exit_code, run("--exit-code").exit_code, run("--exit-code", "main", "main").exit_code] == [0, 1, 0]


@pytest.mark.usefixtures("branch")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["v9"], "git has no revision 'v9' here. Branches and tags: fix, main."),
        (["--", "--json"], "git has no revision '--json' here."),
    ],
)
def test_a_revision_that_is_not_there_exits_with_2_and_one_line(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert result.output.count("\n") == 1


def test_a_shallow_clone_says_how_to_fetch_the_rest(
    branch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("commit", "--all", "--message", "After")
    git("clone", "--depth", "1", "--branch", "fix", branch.as_uri(), str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    result = run()
    assert result.exit_code == 2
    assert "This clone is shallow: `git fetch --unshallow origin main` brings those of the server." in result.output


def test_a_folder_without_the_files_is_refused(branch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(branch / "reports")
    result = run()
    assert result.exit_code == 2
    assert "has none of data/clips.csv, data/labels.csv" in result.output
    assert "Run this in the folder of dvc.yaml, and name a revision that has them." in result.output


@pytest.mark.usefixtures("branch")
def test_a_revision_from_before_a_table_existed_is_compared_by_the_others_and_it_says_so() -> None:
    git("rm", "--quiet", "--cached", "data/labels.csv", "reports/metrics.json")
    git("commit", "--quiet", "--message", "Older")
    older = run("HEAD").output
    assert "> `HEAD` has no `data/labels.csv`, `reports/metrics.json`: what these would tell is not compared." in older
    assert "**Clips relabelled**" in older  # against the given label


@pytest.mark.usefixtures("branch")
def test_tables_and_columns_that_one_side_lacks_are_named_with_the_side() -> None:
    write({"data/folds.csv": "clip_id,fold\nc1,0\nc2,1\n", "data/train.csv": "clip_id,times,why\nc1,1,kept\n"})
    write({"data/clips.csv": "clip_id,file,duration_s,label\nc1,a.wav,60,safe\nc2,b.wav,30,harmful\n"})
    said = run("HEAD").output
    assert "> `HEAD` has no `data/folds.csv`, `data/train.csv`: what these would tell is not compared." in said
    assert "> `the files here` has no `group` in `data/clips.csv`: what these would tell is not compared." in said
    assert not any(words in said for words in ("regrouped", "another fold", "in or out of training"))


@pytest.mark.usefixtures("branch")
def test_a_table_that_is_in_dvc_is_read_from_its_cache_and_missed_when_that_is_gone() -> None:
    Path("data/folds.csv").write_text("clip_id,fold\nc1,0\n")
    Path("dvc.yaml").write_text(
        "stages: {split: {cmd: 'true', deps: [params.yaml], outs: [{data/folds.csv: {persist: true}}]}}"
    )
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], check=True)
    git("add", "--all")
    git("commit", "--message", "Folds in DVC")
    Path("data/folds.csv").unlink()
    assert "not in DVC's cache" not in run("HEAD").output
    shutil.rmtree(".dvc/cache")
    missing = run("HEAD~0").output
    assert "is not in DVC's cache`: `dvc fetch --all-commits` brings it, if the remote has it." in missing


@pytest.mark.usefixtures("branch")
def test_a_table_that_cannot_be_read_is_named_with_its_revision() -> None:
    Path("data/clips.csv").write_text("id\n1\n")
    git("commit", "--all", "--message", "Break")
    said = "Error: data/clips.csv of HEAD cannot be read: the table has no column 'clip_id'."
    assert run("HEAD").output.startswith(said)


@pytest.mark.usefixtures("branch")
def test_what_only_the_page_shows_is_read_for_the_page_only() -> None:
    write({"data/scores.csv": "id\n1\n"})
    assert run("main").exit_code == 0
    assert "data/scores.csv of the files here cannot be read" in run("main", "--html", "review.html").output


def test_the_page_has_the_sound_of_a_removed_clip_from_the_cache_and_says_when_that_is_gone(repository: Path) -> None:
    Path("data/clips").mkdir(parents=True)
    for clip_id in ("c1", "c2"):
        soundfile.write(f"data/clips/{clip_id}.wav", np.zeros(16000), 16000)
    write({"data/clips.csv": CLIPS + "c1,a.wav,1,safe,g1\nc2,b.wav,1,harmful,g2\n"})
    Path("dvc.yaml").write_text(
        "stages: {ingest: {cmd: 'true', deps: [params.yaml], outs: [{data/clips: {persist: true}}]}}"
    )
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], check=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Two clips")
    write({"data/clips.csv": CLIPS + "c1,a.wav,1,safe,g1\n"})
    Path("data/clips/c2.wav").unlink()
    result = run("HEAD", "--html", "review.html")
    assert result.exit_code == 0
    assert result.stderr.endswith("diff: review.html\n")
    page = Path("review.html").read_text()
    assert page.count("<audio") == page.count("data:audio/flac;base64,") == 1
    assert "No nearest clips are shown: data/features/vectors.npz does not exist." in page
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(".dvc/tmp")
    assert run("HEAD", "--html", "review.html").exit_code == 0
    page = Path("review.html").read_text()
    assert "<audio" not in page
    assert "data/clips/c2.wav is not here: `dvc pull` brings it, for an old revision after `git checkout`." in page


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ("http://127.0.0.1:1/x", "`: `dvc fetch"),
        ("s3://bucket/x", ", and its remote fails: s3 is supported, but requires"),
    ],
)
def test_a_remote_that_does_not_answer_costs_the_sounds_and_is_asked_once(
    repository: Path, monkeypatch: pytest.MonkeyPatch, remote: str, why: str
) -> None:
    Path("data/clips").mkdir(parents=True)
    names = [f"c{number}" for number in range(4)]
    for name in names:
        soundfile.write(f"data/clips/{name}.wav", np.zeros(16000), 16000)
    write({"data/clips.csv": CLIPS + "".join(f"{name},{name}.wav,1,safe,g1\n" for name in names)})
    write({"data/scores.csv": "clip_id,label,probability\nc1,safe,1\n"})
    stages = {name: f"{{cmd: 'true', deps: [params.yaml], outs: [data/{name}]}}" for name in ("clips", "scores.csv")}
    Path("dvc.yaml").write_text(f"stages: {{a: {stages['clips']}, b: {stages['scores.csv']}}}")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "--default", "--quiet", "far", remote], check=True)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Four clips")
    for gone in ("data/clips", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(gone)
    write({"data/clips.csv": CLIPS})
    asked = []
    file_system = versions._file_system
    monkeypatch.setattr(versions, "_file_system", lambda commit: asked.append(commit) or file_system(commit))
    result = run("HEAD", "--html", "review.html")
    assert result.exit_code == 0
    assert f"is not in DVC's cache{why}" in result.output
    assert Path("review.html").read_text().count("is not here: `dvc pull` brings it") == 4
    assert len(asked) == 2  # for the scores, and for the folder of clips
