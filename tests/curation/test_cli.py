import importlib.metadata
import os
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from curation import cli

HELP = """
import sys
from curation.cli import main
try:
    main(["--help"], prog_name="earmark")
finally:
    print(sorted({"pandas", "numpy", "torch", "dvc", "yaml", "curation.importer"} & set(sys.modules)))
"""


def test_help_imports_no_command_and_nothing_heavy_and_is_fast() -> None:
    began = _cpu_s_of_children()
    shown = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert _cpu_s_of_children() - began < 1  # pandas alone takes that long on a small machine


def _cpu_s_of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def test_help_names_every_command_in_the_order_of_work() -> None:
    shown = CliRunner().invoke(cli.main, ["--help"]).output
    places = [shown.index(f"\n  {name} ") for name in cli.COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_can_be_imported_and_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(cli.main, [name, "--help"])
    assert shown.exit_code == 0, shown.exception
    assert shown.output.startswith(f"Usage: main {name} ")


@pytest.mark.parametrize("name", ["import", "diff"])
def test_the_help_of_a_command_has_examples_and_its_exit_status(name: str) -> None:
    shown = CliRunner().invoke(cli.main, [name, "--help"], prog_name="earmark").output
    assert f"\n    earmark {name} " in shown
    assert "Exit status: 0" in shown


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli.main, ["improt"])
    assert result.exit_code == 2
    assert "No such command 'improt'" in result.output


def test_the_version_is_the_one_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"earmark": "1.2.3"}.__getitem__)
    assert CliRunner().invoke(cli.main, ["--version"], prog_name="earmark").output == "earmark 1.2.3\n"


def test_ctrl_c_gives_one_line_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("curation.importer"), "main", interrupted)
    result = CliRunner().invoke(cli.main, ["import"])
    assert (result.exit_code, result.output) == (130, "\nearmark: interrupted. Run the same command again to go on.\n")
