"""What is documented is so."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from curation import tables
from curation.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES = [value for value in vars(tables).values() if isinstance(value, tables.Table)]


def contract(table: tables.Table) -> str:
    """Return the table of docs/data.md that describes the columns of `table`."""
    rows = [
        f"| {'**' * (name in table.key)}`{name}`{'**' * (name in table.key)} | {column.kind} | {column.meaning}"
        + (f": {', '.join(f'`{choice}`' for choice in column.choices)}" if column.choices else "")
        + " |"
        for name, column in table.columns.items()
    ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_data_page_describes_every_column(table: tables.Table) -> None:
    assert contract(table) in DATA


def test_the_readme_names_every_command_and_every_stage() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [name for name in COMMANDS if f"`earmark {name}" not in README] == []
    assert [name for name in stages if not re.search(rf"\b{name}\b", README)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`?make ([a-z-]+)`?", page.read_text(encoding="utf-8"))}
    assert named - targets == set()


def test_make_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"repro", "test", "check", "bench"} <= set(re.findall(r"^make (\S+)", listed, re.MULTILINE))
