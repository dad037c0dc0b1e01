"""Say what came in, and what became of it."""

from collections.abc import Iterator

import pandas as pd

from curation.markdown import code
from training.findings import TEST, Findings

SHOWN = 5  # reasons
HEADER = ("label", "clips", "minutes", "groups")


def labels(found: Findings) -> Iterator[tuple[str, str, str, str]]:
    """Yield how many clips, minutes and groups each label has: a row of text for each, in the order of `HEADER`."""
    clips = found.labelled
    names = {label: code(label) for label in found.classes} | {"": "not labelled"}
    parts = {name: clips[clips["label"] == label] for label, name in names.items()} | {"all": clips}
    for name, part in parts.items():
        yield name, str(len(part)), f"{part['duration_s'].sum() / 60:.1f}", str(part["group"].nunique())


def stages(found: Findings) -> dict[str, str]:
    """Return what came of the recordings, stage by stage."""
    recordings = len({*found.clips["file"], *found.rejects["file"]})
    trained = found.train["times"] > 0
    listening = f"{len(found.queue)} clips, {found.listening_min:.1f} minutes"
    return {
        "recordings": f"{recordings}, of which {found.clips['file'].nunique()} gave clips",
        "rejected": f"{len(found.rejects)}{_counts(found.rejects['reason'])}",
        "doubted": f"{found.flags['clip_id'].nunique()} clips{_counts(found.flags['reason'])}",
        "to hear next": f"{listening}{_counts(found.queue['reason'])}",
        "trained on": f"{trained.sum()} clips, {found.train['times'].sum()} draws an epoch"
        f"{_counts(found.train.loc[trained, 'why'])}",
        "left out": f"{(~trained).sum()} clips{_counts(found.train.loc[~trained, 'why'])}",
        "kept for the test": f"{(found.folds['fold'] == TEST).sum()} clips",
    }


def _counts(reasons: pd.Series) -> str:
    """Return how often the commonest reasons occur, and all others together."""
    counted = sorted(reasons.value_counts().items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count} {code(str(reason))}" for reason, count in counted[:SHOWN]]
    rest = sum(count for _, count in counted[SHOWN:])
    return f" ({', '.join([*parts, f'{rest} others'] if rest else parts)})" if parts else ""
