"""The tables of a data set side by side, for the cards that describe it."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from curation import params
from curation.markdown import code

TEST = -1


@dataclass(frozen=True)
class Dataset:
    """What the stages wrote of a data set: tables as in `tables`."""

    data: params.Data
    clips: pd.DataFrame
    rejects: pd.DataFrame
    labels: pd.DataFrame
    groups: pd.DataFrame
    folds: pd.DataFrame
    reviews: pd.DataFrame
    flags: pd.DataFrame
    shortcuts: pd.DataFrame
    refused: str  # why no label could be doubted; empty: they were

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The clips with the given label (`given`) and today's, origin, answers, group and fold."""
        clips = self.clips.rename(columns={"label": "given"}).drop(columns="group")
        rows = clips.merge(self.labels, on="clip_id", validate="one_to_one")
        rows = rows.merge(self.groups, on="clip_id", validate="one_to_one")
        return rows.merge(self.folds, on="clip_id", validate="one_to_one")

    @property
    def labelled(self) -> pd.DataFrame:
        """The rows that have a label."""
        return self.rows[self.rows["label"] != ""]

    @property
    def given(self) -> pd.Series:
        """The given label by clip_id."""
        return self.clips.set_index("clip_id")["label"]

    @property
    def has_test(self) -> bool:
        """Whether there is a test fold."""
        return bool((self.folds["fold"] == TEST).any())

    def summary(self) -> str:
        """Return in a sentence what there is."""
        labels = ", ".join(f"{(self.labels['label'] == label).sum()} {code(label)}" for label in self.data.classes)
        return (
            f"{len(self.clips)} sound clips, {self.clips['duration_s'].sum() / 60:.1f} minutes, from "
            f"{self.clips['file'].nunique()} recordings in {self.groups['group'].nunique()} groups; "
            f"{len(self.labelled)} have a label: {labels}."
        )
