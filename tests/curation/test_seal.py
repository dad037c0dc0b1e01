import json
import shutil
import subprocess
from pathlib import Path

import pytest
import rows
from click.testing import CliRunner

from curation import gate, seal, tables

LABELS = rows.labelled(tables.LABELS, c1="safe", c2="harmful", c3="safe")
FOLDS = rows.table(tables.FOLDS, *({"clip_id": f"c{n}", "fold": fold} for n, fold in ((1, -1), (2, -1), (3, 0))))
GOOD = {
    "m": {"collapsed": 0, "at_chance": 0, "faults": []}
    | {name: {"value": value, "low": value, "high": value} for name, value in
       (("balanced_accuracy", 0.9), ("roc_auc", 0.9), ("ece", 0.1))}
}  # fmt: skip


def test_the_hash_is_of_test_clips_and_labels_in_any_order_and_of_nothing_else() -> None:
    clips, sha256 = seal.fingerprint(LABELS, FOLDS)
    assert clips == 2
    assert seal.fingerprint(LABELS[::-1], FOLDS[::-1]) == (clips, sha256)
    of_training = LABELS.assign(label=["safe", "harmful", "harmful"])
    of_test = LABELS.assign(label=["harmful", "harmful", "safe"])
    moved = FOLDS.assign(fold=[-1, 0, -1])
    assert seal.fingerprint(of_training, FOLDS) == (clips, sha256)
    assert len({sha256, seal.fingerprint(of_test, FOLDS)[1], seal.fingerprint(LABELS, moved)[1]}) == 3


@pytest.fixture
def sealed(repository: Path) -> Path:
    """Return a repository on the branch `fix` with a sealed test set and models that pass."""
    tables.write(LABELS, Path("data/labels.csv"), tables.LABELS)
    tables.write(FOLDS, Path("data/folds.csv"), tables.FOLDS)
    shutil.copy(rows.PARAMS, "params.yaml")
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text(json.dumps(GOOD))
    assert run(seal.main, "--reason", "first").output == "seal: 2 clips, data/seal.csv\n"
    for command in (["add", "--all"], ["commit", "--quiet", "--message", "Seal"], ["switch", "--quiet", "-c", "fix"]):
        subprocess.run(["git", *command], check=True)
    return repository


def run(command, *arguments: str):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def relabel() -> None:
    tables.write(LABELS.assign(label="safe"), Path("data/labels.csv"), tables.LABELS)


@pytest.mark.usefixtures("sealed")
def test_an_unchanged_test_set_passes_and_sealing_it_again_adds_nothing() -> None:
    before = Path("data/seal.csv").read_bytes()
    assert run(seal.main, "--reason", "again").output == "seal: data/seal.csv has it already\n"
    assert Path("data/seal.csv").read_bytes() == before
    result = run(gate.main)
    assert result.exit_code == 0
    assert "pass  test set: as sealed on " in result.output


@pytest.mark.usefixtures("sealed")
def test_a_changed_test_label_fails_until_the_change_brings_a_dated_reason() -> None:
    relabel()
    failed = run(gate.main)
    assert failed.exit_code == 1
    assert "FAIL  test set: its 2 clips and their labels are not the 2 sealed on 20" in failed.output
    assert run(seal.main, "--reason", "heard again").exit_code == 0
    assert run(gate.main).exit_code == 0
    seals = tables.read(Path("data/seal.csv"), tables.SEAL)
    assert seals["reason"].tolist() == ["first", "heard again"]
    assert seals["date"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("deed", ["delete", "edit"])
def test_a_seal_of_main_cannot_be_taken_away_or_rewritten(deed: str) -> None:
    path = Path("data/seal.csv")
    if deed == "delete":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("first", "last"))
    result = run(gate.main)
    assert result.exit_code == 1
    assert "data/seal.csv may only grow, but rows of main were altered or are gone" in result.output


@pytest.mark.usefixtures("repository")
def test_where_the_seal_of_main_cannot_be_seen_the_gate_says_so(sealed: Path) -> None:
    subprocess.run(["git", "branch", "--quiet", "--move", "main", "master"], check=True)
    result = run(gate.main)
    assert result.exit_code == 0
    assert "skip  test set: whether data/seal.csv only grew is not known: There is no branch `main`" in result.output
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "master"], check=True)
    assert "skip" not in run(gate.main).output
    Path("data/seal.csv").unlink()
    assert "FAIL  test set: data/seal.csv may only grow" in run(gate.main).output


def test_without_a_test_fold_there_is_nothing_to_seal() -> None:
    tables.write(LABELS, Path("data/labels.csv"), tables.LABELS)
    tables.write(FOLDS.assign(fold=0), Path("data/folds.csv"), tables.FOLDS)
    result = run(seal.main, "--reason", "first")
    assert result.exit_code == 1
    assert "no test fold: the models are judged by cross-validation" in result.output


def test_an_empty_reason_is_refused() -> None:
    assert "--reason is empty" in run(seal.main, "--reason", " ").output
