"""What changed between two revisions, as Markdown for a pull request or a terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from curation import model_changes
from curation.markdown import code
from curation.section import Section, as_json, number, text
from curation.verdict import Changes, confirmed, counts, relabelled, some, verdict

LIMIT = 60_000  # characters: GitHub takes 65,536 a comment, in which .github/data_review.py also has the gate
ROWS = (20, 10, 5, 1)  # of a list, as many as there is room for
ANSWERS = 5  # to a clip
RELABELLED = "Clips relabelled"
UNJUDGED = "Clips that models are no longer judged by"


def markdown(changes: Changes, *, before: str, after: str, notes: Iterable[str] = ()) -> str:
    """Return a verdict and a section for each kind of change, the most important first, in `LIMIT` characters.

    Args:
        changes: from `curation.diff.diff`, with `comparison` from `training.compare.compare`.
        before: name of the earlier revision.
        after: name of the later one.
        notes: what could not be read, in Markdown.
    """
    told = "; ".join(counts(changes)) or "nothing changed"
    blocks = [f"**{verdict(changes)}** From {code(before)} to {code(after)}: {told}."]
    blocks += [f"> {note}" for note in some(list(notes))]
    sections = [section for section in _sections(changes) if section.rows]
    bodies = _fitting(sections, LIMIT - 500 - sum(len(block) + 2 for block in blocks))
    blocks += [bodies[section.title] for section in sections if section.title in bodies]
    left_out = [section.title for section in sections if section.title not in bodies]
    if left_out:
        blocks.append(f"Left out for length: {', '.join(left_out)}. `earmark diff --json` has all.")
    return "\n\n".join(blocks)


def _fitting(sections: Sequence[Section], room: int) -> dict[str, str]:
    """Return the bodies that fit into so many characters, with fewer rows where all do not; relabelled clips do."""
    bodies = {}
    for section in sorted(sections, key=lambda section: section.title != RELABELLED):
        body = next((body for rows in ROWS if len(body := section.body(rows)) + 2 <= room), None)
        if body is not None:
            bodies[section.title] = body
            room -= len(body) + 2
    return bodies


def _sections(changes: Changes) -> Iterator[Section]:
    """Yield each section, the most important first."""
    clips, rejects = changes.get("clips", {}), changes.get("rejects", {})
    fresh = ("clip_id", "file", "label", "group", "fold")
    yield model_changes.states(changes.get("metrics", {}))
    yield from model_changes.models(changes)
    yield _listed(UNJUDGED, ("clip_id", "file", "label", "why"), changes.get("judged", {}).get("removed", []))
    yield model_changes.attribution(changes.get("comparison", {}))
    yield _moved("Clips in another fold", changes.get("folds", []))
    yield _labels(RELABELLED, relabelled(changes))
    yield _listed("Clips added", fresh, clips.get("added", []))
    yield _listed("Clips removed", fresh, clips.get("removed", []))
    yield _listed("Newly rejected", ("file", "start_s", "label", "reason", "detail"), rejects.get("added", []))
    yield _balance(changes.get("balance", []))
    yield from _answers(changes.get("answers", {}))
    yield _agreement(changes.get("agreement", {}))
    yield _moved("Clips in another group", changes.get("groups", []))
    yield _labels("Clips with their label from elsewhere", confirmed(changes))
    yield _moved("Clips newly in or out of training", changes.get("train", []))
    yield _listed("No longer rejected", ("file", "start_s", "label", "reason"), rejects.get("removed", []))
    yield _moved("Clips in another file", changes.get("files", []))
    settings = [
        [code(key), as_json(pair["before"]), as_json(pair["after"])] for key, pair in changes.get("params", {}).items()
    ]
    yield Section("Params", ("key", "before", "after"), settings)


def _labels(title: str, clips: Sequence[Changes]) -> Section:
    rows = [
        [
            *(text(clip[column]) for column in ("clip_id", "file", "fold")),
            *(f"{text(clip[when]['label'])} {text(clip[when]['origin'])}" for when in ("before", "after")),
            str(len(clip["answers"])),
            ", ".join(some([_said(answer) for answer in clip["answers"]], ANSWERS)) or "-",
        ]
        for clip in clips
    ]
    return Section(title, ("clip_id", "file", "fold", "before", "after", "answered", "answers"), rows)


def _said(answer: Changes) -> str:
    return f"{text(answer['answer'])} by {text(answer['annotator'])} {text(answer['shown'])}"


def _answers(answers: Changes) -> Iterator[Section]:
    rows = []
    added = answers.get("added", [])
    for annotator in sorted({answer["annotator"] for answer in added}):
        theirs = [answer for answer in added if answer["annotator"] == annotator]
        shown = Counter(answer["shown"] for answer in theirs)
        said = Counter(answer["answer"] for answer in theirs)
        counted = ", ".join(f"{count} {text(answer)}" for answer, count in sorted(said.items()))
        rows.append([text(annotator), str(len(theirs)), str(shown["blind"]), str(shown["hinted"]), counted])
    yield Section("New answers", ("annotator", "answers", "blind", "hinted", "said"), rows)
    columns = ("clip_id", "annotator", "reviewed_utc", "answer", "shown")
    yield _listed("Answers gone or altered", columns, answers.get("removed", []))


def _agreement(agreement: Changes) -> Section:
    words = {
        "clips": "clips that two people or more answered",
        "agreeing_pairs": "pairs of answers that are the same",
        "alpha": "Krippendorff's alpha",
        "given_blind": "answers like the given label, not shown",
        "given_hinted": "answers like the given label, shown",
    }
    rows = [
        [words[name], *(number(agreement[when][name]) for when in ("before", "after"))]
        for name in words
        if agreement and agreement["before"][name] != agreement["after"][name]
    ]
    return Section("Agreement of annotators", ("figure", "before", "after"), rows)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Changes]) -> Section:
    return Section(title, columns, [[text(row.get(column, "")) for column in columns] for row in rows])


def _moved(title: str, clips: Sequence[Changes]) -> Section:
    return _listed(title, ("clip_id", "file", "before", "after"), clips)


def _balance(balance: Sequence[Changes]) -> Section:
    columns = ("clips", "minutes", "groups")
    rows = [
        [
            row["split"],
            code(row["label"]) if row["label"] else "not labelled",
            *(_sizes(row["before"][name], row["after"][name]) for name in columns),
        ]
        for row in balance
    ]
    return Section("Class balance", ("split", "label", *columns), rows)


def _sizes(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{_size(before)} → {_size(after)}"


def _size(figure: float) -> str:
    return f"{figure:.1f}" if isinstance(figure, float) else str(figure)
