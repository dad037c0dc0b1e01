"""Blend models: the mean of what they say, which errs less where they err on different clips."""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import pandas as pd

from curation import files, tables

SHARED = ("rate_hz", "clip_s", "classes", "rounds")  # in the model.json of each, for all learn from the same clips


def blend(said: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return `tables.PREDICTIONS`: the mean of the probabilities, to which each model contributes the same.

    Nothing is fitted, so what was out of sample stays so.

    Args:
        said: `tables.PREDICTIONS` of each model.

    Raises:
        click.ClickException: they are not of the same clips and classes.
    """
    first, *others = (
        (name, table.set_index(["clip_id", "label"])["probability"].sort_index()) for name, table in said.items()
    )
    for name, column in others:
        if len(odd := column.index.symmetric_difference(first[1].index)):
            raise click.ClickException(
                f"{first[0]} and {name} do not predict the same: clip {odd[0][0]!r}, class {odd[0][1]!r} is of one "
                "alone. `dvc repro` trains them anew."
            )
    columns = [first[1], *(column for _, column in others)]
    return pd.concat(columns, axis=1).mean(axis=1).rename("probability").reset_index()


@click.command()
@click.option("--of", type=click.Path(path_type=Path), required=True, multiple=True, help="Folder of a model.")
@click.option("--said", type=click.Path(path_type=Path), required=True, multiple=True, help="What it predicts.")
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Where the blend's description goes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the predictions go.")
def main(of: tuple[Path, ...], said: tuple[Path, ...], models: Path, out: Path) -> None:
    """Write the mean of what models predict for the clips they have not seen."""
    tables.write(blend({path.stem: tables.read(path, tables.PREDICTIONS) for path in said}), out, tables.PREDICTIONS)
    built = json.loads((of[0] / "model.json").read_text(encoding="utf-8"))
    files.write_json(
        {"model": "blend", "of": [path.name for path in of]} | {key: built[key] for key in SHARED},
        models / "model.json",
    )
    click.echo(f"blend: the mean of {' and '.join(path.name for path in of)}")


if __name__ == "__main__":
    main()
