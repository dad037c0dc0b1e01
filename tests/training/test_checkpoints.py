from pathlib import Path

import click
import pytest
import torch

from training import checkpoints


def test_a_state_comes_back_to_the_key_it_was_saved_for(tmp_path: Path) -> None:
    state = {"history": [{"loss": 0.1}], "model": {"w": torch.tensor([1.5])}}
    checkpoints.save(state, tmp_path / "new" / "a.pt", key="k")
    assert checkpoints.load(tmp_path / "new" / "a.pt", key="k") == state
    assert checkpoints.load(tmp_path / "new" / "a.pt", key="other") is None
    assert checkpoints.load(tmp_path / "b.pt", key="k") is None


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"PK broken")
    with pytest.raises(click.ClickException, match=r"a.pt is no checkpoint that can be read. Delete it"):
        checkpoints.load(tmp_path / "a.pt", key="k")


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"key": "k", "state": Path}, tmp_path / "a.pt")
    with pytest.raises(click.ClickException, match="is no checkpoint"):
        checkpoints.load(tmp_path / "a.pt", key="k")


def test_the_key_changes_with_table_and_settings(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("a")
    two.write_text("b")
    keys = [
        checkpoints.key(one, p={"seed": 0}),
        checkpoints.key(one, p={"seed": 1}),
        checkpoints.key(two, p={"seed": 0}),
    ]
    assert len(set(keys)) == 3
    assert keys[0] == checkpoints.key(one, p={"seed": 0})


def test_a_changed_line_of_code_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SOURCES", tmp_path)
    keys = set()
    for line in ("a = 1", "a = 2"):
        (tmp_path / "model.py").write_text(line)
        keys.add(checkpoints.key(p={}))
    assert len(keys) == 2
