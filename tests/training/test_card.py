import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import described
import numpy as np
import pytest
import rows
import yaml
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from curation import cli, files, seal, tables

FACTS = Path(__file__).parents[1] / "card.yaml"
DATA = ("clips", "rejects", "labels", "groups", "folds", "reviews", "flags", "shortcuts")
SETTINGS = {"classes": list(described.CLASSES), "clip_s": 8, "rate_hz": 16000}
CARDS = ["DATA_CARD.md", "MODEL_CARD_lite_cnn.md"]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit() -> str:
    git("add", "--all")
    git("commit", "--quiet", "--message", "Change")
    return git("rev-parse", "HEAD")


def repro() -> None:
    """Write dvc.lock, as if the stages had run on what lies here."""

    def entries(*paths: str) -> list[dict[str, str]]:
        there = [path for path in paths if Path(path).is_file()]
        return [{"path": path, "md5": hashlib.md5(Path(path).read_bytes()).hexdigest()} for path in there]  # noqa: S324

    of_data = entries(*(f"data/{name}.csv" for name in DATA), "reports/flags.json")
    stages = {
        "ingest": {"outs": [{"path": "data/clips", "md5": "c11b5.dir"}]},
        "label": {"params": {"params.yaml": {"data": SETTINGS}}, "outs": of_data},
        "balance": {
            "params": {"params.yaml": {"balance": {"method": "oversample"}}},
            "outs": entries("data/train.csv"),
        },
        "train@lite_cnn": {
            "params": {"params.yaml": {"data": SETTINGS, "lite_cnn": {"epochs": 35}}},
            "deps": entries("data/train.csv"),
        },
        "evaluate": {"outs": entries("reports/metrics.json")},
        "shift": {"outs": entries("reports/shifts.json")},
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def project() -> None:
    """Write a finished project here."""
    for name, table in described.tables_of().items():
        tables.write(table, Path(f"data/{name}.csv"), getattr(tables, name.upper()))
    files.write_json({"label_issues": "found", "why": ""}, Path("reports/flags.json"))
    files.write_json({"lite_cnn": described.measured()}, Path("reports/metrics.json"))
    files.write_json({"lite_cnn": described.SHIFTED}, Path("reports/shifts.json"))
    folder = Path("models/lite_cnn")
    files.write_json(SETTINGS | {"model": "lite_cnn", "rounds": ["fold_0", "fold_1", "fold_2"]}, folder / "model.json")
    for fold in range(3):
        save_file({"a": np.zeros((3, 4)), "b": np.zeros(5)}, folder / f"fold_{fold}.safetensors")
    repro()


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished project that is in no repository, and go there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    project()
    return tmp_path


@pytest.fixture
def committed(repository: Path) -> str:
    """Return the commit of a finished project, and go there."""
    project()
    (repository / ".gitignore").write_text("/models/\n")
    (repository / "card.yaml").write_bytes(FACTS.read_bytes())
    return commit()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["card", *arguments], catch_exceptions=False)


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert not Path("reports/cards").exists()
    return result.output


def written(name: str) -> str:
    return Path("reports/cards", name).read_text(encoding="utf-8")


@pytest.mark.usefixtures("finished")
def test_without_facts_and_git_the_cards_say_so_and_the_command_what_to_do() -> None:
    lines = run().output.splitlines()
    assert lines[0] == f"card: {', '.join(f'reports/cards/{card}' for card in CARDS)}, data/croissant.json"
    assert lines[1] == "card: no commit holds all that the cards tell of: commit it, then run `earmark card` again"
    assert lines[2].startswith("card: not stated: ")
    assert "data.license" in lines[2]
    assert lines[3] == "card: Croissant requires name, license, url, creators, date_published"
    assert "- commit: none; nothing of this is in git\n" in written(CARDS[0])
    assert "- clips: `c11b5.dir`, the MD5 by which DVC finds them\n" in written(CARDS[0])
    assert "- test set: there is none\n" in written(CARDS[0])


@pytest.mark.usefixtures("finished")
def test_the_cards_tell_of_the_files_that_lie_here() -> None:
    run()
    data, model = (written(card) for card in CARDS)
    assert "8 sound clips, 1.8 minutes, from 8 recordings in 7 groups" in data
    assert "by a random sample of them: 1 of 2, 50% [1%, 99%]." in data
    assert "3 files (`fold_0`, `fold_1`, `fold_2`) of 17 numbers, 0.0 MB each" in model
    assert "lite_cnn: {epochs: 35}\n" in model
    assert "balance: {method: oversample}\n" in model
    for file in json.loads(Path("data/croissant.json").read_text())["distribution"][:-1]:
        assert file["sha256"] == hashlib.sha256(Path("data", file["contentUrl"]).read_bytes()).hexdigest()


def test_the_cards_name_the_commit_and_do_so_again_once_they_are_committed(committed: str) -> None:
    assert run().output.splitlines()[1:] == []
    first = {card: written(card) for card in CARDS}
    for text in first.values():
        assert f"- commit: `{committed}`, the last one that changed anything this page tells of\n" in text
    assert f"revision: {committed}\n" in first[CARDS[1]]
    commit()
    run()
    assert {card: written(card) for card in CARDS} == first
    assert git("status", "--porcelain") == ""


@pytest.mark.usefixtures("committed")
def test_what_is_not_committed_is_named_and_no_commit_is() -> None:
    labels = described.tables_of()["labels"].assign(confidence=0.5)
    tables.write(labels, Path("data/labels.csv"), tables.LABELS)
    repro()
    assert "no commit holds all" in run().output
    assert "- commit: none; not committed are `data/labels.csv`, `dvc.lock`\n" in written(CARDS[0])
    assert "revision:" not in written(CARDS[1])


@pytest.mark.usefixtures("finished")
def test_the_same_files_give_the_same_bytes() -> None:
    run("--out", "one")
    croissant = Path("data/croissant.json").read_bytes()
    run("--out", "two")
    assert croissant == Path("data/croissant.json").read_bytes()
    assert [path.name for path in sorted(Path("one").iterdir())] == CARDS
    for card in CARDS:
        assert Path("one", card).read_bytes() == Path("two", card).read_bytes()


@pytest.mark.usefixtures("finished")
def test_without_models_there_is_a_data_card_only_and_it_is_said() -> None:
    for path in ("reports/metrics.json", "reports/shifts.json", "data/train.csv"):
        Path(path).unlink()
    assert "card: no model card, because reports/metrics.json tells of none: `dvc repro` trains" in run().output
    assert [path.name for path in Path("reports/cards").iterdir()] == CARDS[:1]


@pytest.mark.usefixtures("finished")
def test_what_changed_clips_cost_is_told_where_it_was_measured() -> None:
    run()
    assert "- `lite_cnn` is worst with a gain of +12 dB: balanced accuracy 0.55 [0.50, 0.70]" in written(CARDS[1])
    Path("reports/shifts.json").unlink()
    repro()
    run()
    assert "- What noise, another level, codecs or a room cost it was not measured.\n" in written(CARDS[1])


@pytest.mark.usefixtures("finished")
def test_without_weights_the_model_card_says_where_they_are() -> None:
    Path("models").rename("elsewhere")
    run()
    assert "weights: not here; `dvc pull models/lite_cnn` brings them" in written(CARDS[1])
    run("--models", "elsewhere")
    assert "of 17 numbers" in written(CARDS[1])


@pytest.mark.usefixtures("finished")
def test_a_blend_has_a_card_that_names_its_models_and_their_recipes() -> None:
    names = ("blend", "lite_cnn", "svm")
    files.write_json(dict.fromkeys(names, described.measured()), Path("reports/metrics.json"))
    rounds = {"rounds": ["fold_0", "fold_1", "fold_2"]}
    files.write_json(rounds | {"model": "blend", "of": ["lite_cnn", "svm"]}, Path("models/blend/model.json"))
    shutil.copytree("models/lite_cnn", "models/svm")
    files.write_json(rounds | {"model": "svm"}, Path("models/svm/model.json"))
    repro()
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"] |= {"svm": {"params": {"params.yaml": {"svm": {"penalty": 2.5}}}}, "blend": {}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    run()
    blend, machine = (written(f"MODEL_CARD_{name}.md") for name in ("blend", "svm"))
    assert "- weights: none of its own; it says the mean of what `lite_cnn` and `svm` say\n" in blend
    assert "lite_cnn: {epochs: 35}\nsvm: {penalty: 2.5}\n" in blend
    assert "Predict with `lite_cnn` and `svm` as their cards say" in blend
    assert "weights: 3 files (`fold_0`, `fold_1`, `fold_2`) of 17 numbers" in machine
    assert "svm: {penalty: 2.5}\n" in machine
    assert "model = svm.load(" in machine


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    "path", ["data/reviews.csv", "data/labels.csv", "reports/metrics.json", "reports/shifts.json", "data/train.csv"]
)
def test_figures_of_different_states_are_not_put_side_by_side(path: str) -> None:
    with Path(path).open("a") as file:
        file.write(" ")
    assert f"Error: {path}: not as dvc.lock says that the stages read and wrote it." in refused()


@pytest.mark.usefixtures("finished")
def test_tables_that_dvc_does_not_know_are_refused() -> None:
    Path("data").rename("other")
    assert "other/clips.csv, other/labels.csv, other/groups.csv and " in refused("--data", "other")


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda: Path("dvc.lock").unlink(), "dvc.lock does not exist here. Run this in the folder of dvc.yaml"),
        (lambda: Path("card.yaml").write_text("data: {licence: x}"), "card.yaml: `data.licence`: Extra inputs"),
        (lambda: Path("models/lite_cnn/fold_1.safetensors").write_bytes(b"x"), "fold_1.safetensors cannot be read"),
        (lambda: Path("models/lite_cnn/fold_1.safetensors").unlink(), "fold_1.safetensors cannot be read"),
        (lambda: Path("models/lite_cnn/model.json").write_text('{"rounds": ["test"]}'), "the folds ask for ['fold_0'"),
        (lambda: Path("models/lite_cnn/model.json").write_text("["), "model.json cannot be read"),
    ],
)
def test_a_fault_ends_in_one_line(break_it: object, said: str) -> None:
    break_it()
    assert said in refused()


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("name", ["../../escaped", "a b", ""])
def test_no_model_names_a_file_elsewhere(name: str) -> None:
    files.write_json({name: described.measured()}, Path("reports/metrics.json"))
    repro()
    assert "is no model that stage `evaluate` judged" in refused()


@pytest.mark.usefixtures("finished")
def test_the_seal_of_the_test_set_is_told_and_whether_it_still_holds() -> None:
    folds = described.tables_of()["folds"].assign(fold=[-1, 0, 1, 2, 0, -1, 1, 2])
    tables.write(folds, Path("data/folds.csv"), tables.FOLDS)
    Path("reports/metrics.json").unlink()
    repro()
    run()
    assert "- test set: not sealed\n" in written(CARDS[0])
    clips, sha256 = seal.fingerprint(described.tables_of()["labels"], folds)
    row = {"number": 0, "date": "2026-11-01", "clips": clips, "sha256": sha256, "reason": "first | one"}
    for said, end in ((sha256, ""), ("0" * 64, "; it is another one now")):
        tables.write(rows.table(tables.SEAL, row | {"sha256": said}), Path("data/seal.csv"), tables.SEAL)
        run()
        assert rf"- test set: sealed on `2026-11-01` (`first \u007c one`), SHA-256 `{said}`{end}" in written(CARDS[0])


def test_the_help_has_examples() -> None:
    help_ = run("--help").output
    assert "Examples:\n    earmark card  " in help_
    assert "card.yaml" in help_
