from pathlib import Path
from typing import Literal

import click
import pytest
from pydantic import PositiveInt

from curation import params


class Params(params.Section):
    max_flags: PositiveInt
    rule: Literal["one", "both"]


def load(tmp_path: Path, text: str) -> Params:
    (tmp_path / "params.yaml").write_text(text)
    return Params.load("flag", tmp_path / "params.yaml")


def test_a_section_is_read_typed(tmp_path: Path) -> None:
    assert load(tmp_path, "flag: {max_flags: 3, rule: both}") == Params(max_flags=3, rule="both")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag: {max_flags: 0, rule: one}", "`flag.max_flags`: Input should be greater than 0, got 0. Mend it"),
        ("flag: {max_flags: many, rule: one}", "`flag.max_flags`: Input should be a valid integer, .*, got 'many'"),
        ("flag: {max_flags: 1, rule: two}", "`flag.rule`: Input should be 'one' or 'both', got 'two'"),
        ("flag: {max_flags: 1}", "`flag.rule`: Field required"),
        ("flag: {max_flags: 1, rule: one, max_flag: 2}", "`flag.max_flag`: Extra inputs are not permitted, got 2"),
        ("flag:", "`flag`: Input should be a valid dictionary"),
        ("queue: {}", "has no section `flag`"),
        ("- 1", "has no section `flag`"),
        ("flag: {", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(click.ClickException, match=message):
        load(tmp_path, text)


def test_a_missing_file_names_the_folder_to_be_in(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"does not exist here\. Run this in the folder of dvc.yaml"):
        Params.load("flag", tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("[harmful]", "at least 2 items"),
        ("[harmful, harmful]", "a class stands twice"),
        ("[harmful, unsure]", r"\['unsure'\] cannot be classes: these words are answers"),
    ],
)
def test_classes_are_distinct_and_no_answers(tmp_path: Path, classes: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(f"data: {{classes: {classes}, clip_s: 8, rate_hz: 16000}}")
    with pytest.raises(click.ClickException, match=message):
        params.Data.load("data", tmp_path / "params.yaml")
