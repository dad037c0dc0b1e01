"""Say what the measurements of a data set warn of: shortcuts, imbalance, few groups, doubts, lost recordings."""

from collections.abc import Iterator

from curation.dataset import Dataset
from curation.markdown import code

ALL = "all"  # in `tables.SHORTCUTS`


def cautions(found: Dataset) -> Iterator[str]:
    """Yield, as Markdown, a sentence on each thing that may mislead a model or whoever judges it."""
    yield from shortcuts(found)
    yield from _imbalance(found)
    yield from _groups(found)
    yield from doubts(found)
    yield from _lost(found)


def shortcuts(found: Dataset) -> Iterator[str]:
    """Yield each measure of the recording that tells the label better than luck, or that none does."""
    single = found.shortcuts[found.shortcuts["measure"] != ALL].sort_values(["auc", "measure"], ascending=[False, True])
    beyond = single[single["auc"] > single["chance_auc"]]
    for row in beyond.to_dict("records"):
        yield (
            f"{code(row['measure'])} alone tells the label (AUC {row['auc']:.2f}; luck reaches "
            f"{row['chance_auc']:.2f}): of {row['clips']} clips with {code(row['where'])} {row['share']:.0%} are "
            f"{code(row['label'])}. A model may learn this instead of the sound."
        )
    if beyond.empty and len(single):
        best = single.iloc[0]
        yield (
            f"No measure of the recording tells the label better than luck: the best is {code(best['measure'])}, "
            f"AUC {best['auc']:.2f}, and luck reaches {best['chance_auc']:.2f}."
        )


def doubts(found: Dataset) -> Iterator[str]:
    """Yield how many labels a model doubts that nobody has answered yet, or why none could be doubted."""
    if found.refused:
        yield f"No label could be doubted, because the scores were not sound: {code(found.refused)}."
        return
    doubted = found.flags.loc[found.flags["reason"] == "label", "clip_id"]
    unheard = (found.labels["clip_id"].isin(doubted) & (found.labels["answers"] == 0)).sum()
    yield (
        f"{len(doubted)} of {len(found.labelled)} labels are doubted by a model that had not seen the clip's group; of "
        f"these clips {unheard} have no answer by people."
    )


def _imbalance(found: Dataset) -> Iterator[str]:
    counts = found.labelled["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    for label, count in counts.head(1).items():
        share = count / len(found.labelled)
        yield (
            f"Saying {code(str(label))} of every clip is right for {share:.0%} of those labelled. Judge models by "
            "figures that do not reward this, such as balanced accuracy."
        )


def _groups(found: Dataset) -> Iterator[str]:
    sizes = found.labelled.groupby("group").size()
    if len(sizes):
        yield (
            f"The {len(found.labelled)} labelled clips are not independent: they come from {len(sizes)} groups, the "
            f"largest of which holds {sizes.max()}."
        )


def _lost(found: Dataset) -> Iterator[str]:
    """Yield which share of the recordings given each label gave no clip, where some did not."""
    kept = found.clips.groupby("label")["file"].agg(set).to_dict()
    rejected = found.rejects.groupby("label")["file"].agg(set).to_dict()
    lost = {label: (rejected.get(label, set()) - kept.get(label, set()), kept.get(label, set())) for label in rejected}
    shares = [
        f"{len(gone)} of {len(gone | there)} {code(str(label)) if label else 'without a label'}"
        for label, (gone, there) in sorted(lost.items())
        if gone
    ]
    if shares:
        yield f"Recordings that gave no clip, by given label: {', '.join(shares)}."
