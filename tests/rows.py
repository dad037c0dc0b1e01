"""Tiny tables, written where they are read: name what matters, the rest is filled in."""

from pathlib import Path

import pandas as pd

from curation import tables

FILL = {"text": "", "int": 0, "float": 1.0, "bool": False}
PARAMS = Path(__file__).parents[1] / "params.yaml"


def table(kind: tables.Table, *rows: dict[str, object]) -> pd.DataFrame:
    """Return a table of `kind` with these rows; columns that a row does not name hold a neutral value."""
    fill = {name: (column.choices or (FILL[column.kind],))[0] for name, column in kind.columns.items()}
    return pd.DataFrame([fill | row for row in rows], columns=list(kind.columns)) if rows else kind.empty()


def labelled(kind: tables.Table, **labels: str) -> pd.DataFrame:
    """Return a table of `kind` with one row a clip: its name and its label."""
    return table(kind, *({"clip_id": clip_id, "label": label} for clip_id, label in labels.items()))
