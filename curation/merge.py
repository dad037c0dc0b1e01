"""Merge the answers of two branches: every row of either side stays. Git calls it, for data/reviews.csv."""

import shutil
import subprocess
from pathlib import Path

import click
import pandas as pd

from curation import tables

EPILOG = """\b
.gitattributes names this driver; `make` sets it up, or once in a clone:
  git config merge.earmark.driver "earmark merge %O %A %B"
Without it git merges line by line, and leaves conflicts to you.
"""


def merge(base: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Return the answers (`tables.REVIEWS`) of all, one row where several have it.

    A row that one side altered is as that side has it. None is ever taken away: answers only grow.

    Raises:
        click.ClickException: both sides altered one row.
    """
    key = list(tables.REVIEWS.key)
    rows = pd.concat([ours, theirs, base], ignore_index=True).drop_duplicates(ignore_index=True)
    several = rows.duplicated(key, keep=False)
    known = base.assign(known=True).merge(rows.reset_index(), how="right").sort_values("index")["known"].notna()
    merged = rows[~(several & known.to_numpy())]  # what a side made of a row replaces what both began with
    return tables.check(merged, tables.REVIEWS, "data/reviews.csv")


@click.command(epilog=EPILOG)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
def main(base: Path, ours: Path, theirs: Path) -> None:
    """Merge the answers in BASE, OURS and THEIRS into OURS; git calls this."""
    try:
        merged = merge(*(_read(path) for path in (base, ours, theirs)))
    except click.ClickException:
        git = shutil.which("git") or "git"  # which marks the conflict, so that neither side is lost
        subprocess.run([git, "merge-file", str(ours), str(base), str(theirs)], check=False)  # noqa: S603 - no shell
        raise
    tables.write(merged, ours, tables.REVIEWS)


def _read(path: Path) -> pd.DataFrame:
    """Read answers; an empty file is what git gives where the branches have no common table."""
    return tables.read(path, tables.REVIEWS) if path.stat().st_size else tables.REVIEWS.empty()


if __name__ == "__main__":
    main()
