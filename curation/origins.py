"""Say where the labels of a data set come from, how far people agree, and how many labels were wrong."""

from collections.abc import Iterator

from curation import label_noise, review
from curation.agreement import agreement
from curation.dataset import Dataset
from curation.label_noise import Heard
from curation.markdown import code, counted, table


def origins(found: Dataset) -> Iterator[str]:
    """Yield the paragraphs, as Markdown."""
    yield "\n".join(f"- {line}" for line in _labels(found))
    yield from _audit(found)


def _labels(found: Dataset) -> Iterator[str]:
    origin = found.labels["origin"].value_counts()
    agreed = ((found.labels["origin"] == "review") & (found.labels["answers"] > 1)).sum()
    yield (
        f"clips with the label as given: {origin.get('given', 0)}; decided by people's answers: "
        f"{origin.get('review', 0)} (by two answers or more: {agreed}); not labelled: {origin.get('none', 0)}"
    )
    answers = review.standing(found.reviews)
    if answers.empty:
        yield "answers: none"
        return
    clips, people = answers["clip_id"].nunique(), answers["annotator"].nunique()
    yield (
        f"answers that stand: {len(answers)} ({counted(answers['shown'])}), to {clips} clips, by {people} "
        f"{'person' if people == 1 else 'people'}"
    )
    yield from _agreement(found)


def _agreement(found: Dataset) -> Iterator[str]:
    measured = agreement(found.reviews, found.given)
    if measured["agreeing_pairs"] is None:
        yield "agreement between people: not measured, because no clip has two answers"
    else:
        alpha = "" if measured["alpha"] is None else f", Krippendorff's alpha {measured['alpha']:.2f}"
        yield (
            f"agreement, clips with two answers or more: {measured['clips']}; "
            f"{measured['agreeing_pairs']:.0%} of their pairs of answers are the same{alpha}"
        )
    for how, share in (("blind", measured["given_blind"]), ("hinted", measured["given_hinted"])):
        if share is not None:
            yield f"of the {how} answers to clips with a given label {share:.0%} repeat it"


def _audit(found: Dataset) -> Iterator[str]:
    heard = label_noise.label_noise(label_noise.heard(found.labels, found.given, found.reviews))
    sample = [part for part in heard if part.reason == "audit"]
    if not sample:
        yield (
            "How many of the given labels are wrong is not measured: nobody has answered a clip of the audit, the "
            "random sample in the queue."
        )
    for part in sample:
        yield (
            "Wrong labels among those that nothing spoke against, by a random sample of them: "
            f"{part.wrong} of {part.clips}, {_share(part)}."
        )
    if heard:
        rows = [(code(part.reason), str(part.clips), str(part.wrong), _share(part)) for part in heard]
        yield table(("asked for", "labelled clips decided unhinted", "label was wrong", "share"), rows, numbers=True)
        yield "In brackets: exact 95 % intervals, which take clips as independent. Only `audit` is a random sample."


def _share(part: Heard) -> str:
    return f"{part.wrong / part.clips:.0%} [{part.low:.0%}, {part.high:.0%}]"
