"""Split the groups into a test fold and k folds, by a hash that no new clip and no new label can move."""

from pathlib import Path

import click
import pandas as pd
from pydantic import Field

from curation import params, tables
from curation.folds import SALTS_TRIED, TEST, fold_of, gaps


class Params(params.Section):
    """Section `split` of params.yaml."""

    folds: int = Field(ge=3, le=20)  # number of cross-validation folds
    test_share: float = Field(ge=0, lt=1)  # share of the groups kept for the test
    test_from_clips: int = Field(ge=1)  # smaller sets have no test fold: they are judged by cross-validation
    salt: str  # changes which group falls where


def split(clips: pd.DataFrame, groups: pd.DataFrame, p: Params, *, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return `tables.FOLDS`: the fold of each clip, a function of its group and of the salt alone.

    Raises:
        click.ClickException: a class is missing in a fold; the message names a salt with which none is.
    """
    rows = clips[["clip_id", "label"]].merge(groups[["clip_id", "group"]], on="clip_id", validate="one_to_one")
    test_share = p.test_share if len(rows) >= p.test_from_clips else 0.0
    numbers = [TEST, *range(p.folds)] if test_share > 0 else list(range(p.folds))

    def missing(salt: str) -> list[tuple[str, int]]:
        return gaps(rows["label"], fold_of(rows["group"], salt, test_share, p.folds), classes, numbers)

    if lacking := missing(p.salt):
        _check_enough(rows, classes, len(numbers))
        works = next((salt for n in range(1, SALTS_TRIED) if not missing(salt := f"{p.salt}-{n}")), None)
        raise click.ClickException(_refusal(lacking, works, p))
    return pd.DataFrame({"clip_id": rows["clip_id"], "fold": fold_of(rows["group"], p.salt, test_share, p.folds)})


def _check_enough(rows: pd.DataFrame, classes: tuple[str, ...], folds: int) -> None:
    for label in classes:
        count = rows.loc[rows["label"] == label, "group"].nunique()
        if count < folds:
            raise click.ClickException(
                f"Class {label!r} has labelled clips in {count} groups, but {folds} folds need one each. "
                "Add recordings of this class, or lower `split.folds` in params.yaml (at least 3)."
            )


def _refusal(lacking: list[tuple[str, int]], works: str | None, p: Params) -> str:
    label, fold = lacking[0]
    place = "the test fold" if fold == TEST else f"fold {fold}"
    advice = (
        f"With `split.salt: {works}` in params.yaml every class is in every fold."
        if works
        else f"None of {SALTS_TRIED} salts helps: lower `split.folds` (now {p.folds}) or add recordings."
    )
    return f"Class {label!r} has no clip in {place} with `split.salt: {p.salt}`. {advice}"


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips with their given labels.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the folds go.")
def main(clips: Path, groups: Path, out: Path) -> None:
    """Write the fold of every clip."""
    classes = params.Data.load("data").classes
    folds = split(
        tables.read(clips, tables.CLIPS), tables.read(groups, tables.GROUPS), Params.load("split"), classes=classes
    )
    tables.write(folds, out, tables.FOLDS)
    sizes = folds["fold"].value_counts().sort_index()
    click.echo("split: " + ", ".join(f"{'test' if fold == TEST else fold}: {n} clips" for fold, n in sizes.items()))


if __name__ == "__main__":
    main()
