import hashlib
from pathlib import Path

import click
import pytest

from curation import dvc_lock


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


LOCK = f"""\
schema: '2.0'
stages:
  label:
    cmd: python -m curation.label
    deps:
    - path: curation/label.py
      md5: of old code
    - path: data/clips.csv
      md5: {md5("clips")}
    params:
      params.yaml:
        data:
          rate_hz: 16000
    outs:
    - path: data/labels.csv
      md5: {md5("labels")}
  train@cnn:
    deps:
    - path: data/clips
      md5: abc.dir
    - path: data/labels.csv
      md5: {md5("labels of before")}
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dvc_lock.Lock:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in ("clips", "labels"):
        Path(f"data/{name}.csv").write_text(name)
    Path("dvc.lock").write_text(LOCK)
    return dvc_lock.read()


def test_params_are_those_a_stage_ran_with(ran: dvc_lock.Lock) -> None:
    assert ran.params("label") == {"data": {"rate_hz": 16000}}
    assert ran.params("train@cnn") == ran.params("evaluate") == {}


def test_hashes_are_dvcs(ran: dvc_lock.Lock) -> None:
    assert (ran.md5("data/clips"), ran.md5("data/clips.csv"), ran.md5("elsewhere")) == ("abc.dir", md5("clips"), "")


def test_a_table_that_is_not_as_a_stage_left_or_found_it_is_named_and_code_is_not(ran: dvc_lock.Lock) -> None:
    assert ran.changed(["label", "evaluate"]) == []
    assert ran.changed(["label", "train@cnn"]) == ["data/labels.csv"]
    Path("data/clips.csv").write_text("other clips")
    Path("data/labels.csv").unlink()
    assert ran.changed(["label"]) == ["data/clips.csv", "data/labels.csv"]


@pytest.mark.parametrize("text", ["", "stages: 1", "a: b: c", "[]", "\xff"])
def test_a_lock_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_bytes(text.encode("latin-1"))
    with pytest.raises(click.ClickException, match="is not as DVC writes it"):
        dvc_lock.read(tmp_path / "dvc.lock")


def test_without_a_lock_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"does not exist here\. .* after `dvc repro`"):
        dvc_lock.read(tmp_path / "dvc.lock")
