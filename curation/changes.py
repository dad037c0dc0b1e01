"""What changed between two revisions, as Markdown for a pull request or a terminal."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from curation.markdown import code, table
from curation.verdict import HEADLINE, Changes, confirmed, counts, effect, relabelled, signed, some, sources, verdict

LIMIT = 60_000  # characters: GitHub takes 65,536 a comment, in which .github/data_review.py also has the gate
ROWS = (20, 10, 5, 1)  # of a list, as many as there is room for
ANSWERS = 5  # to a clip
CELL = 80  # characters of a text in a table
UNFOLDED = 8  # longer lists are folded
HEADLINES = (HEADLINE, "mcc", "roc_auc", "worst_case")
STATES = {  # of a model: what is said where it is not so, and where it is
    "collapsed": ("not collapsed", "collapsed"),
    "at_chance": ("better than chance", "no better than chance"),
    "faults": ("nothing", ""),  # these are words themselves
}
RELABELLED = "Clips relabelled"
UNJUDGED = "Clips that models are no longer judged by"


@dataclass(frozen=True)
class Section:
    """A table of one kind of change."""

    title: str  # holds no text of the data
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    explained: str = ""

    def body(self, shown: int) -> str:
        """Return the section with so many of its rows, folded when long."""
        more = f"\n\nand {len(self.rows) - shown} more; `--json` has them all" if len(self.rows) > shown else ""
        rows = table(self.header, self.rows[:shown]) + more
        folded = f"<details><summary>{self.title} ({len(self.rows)})</summary>\n\n{rows}\n\n</details>"
        body = folded if len(self.rows) > UNFOLDED else f"**{self.title}**\n\n{rows}"
        return f"{body}\n\n{self.explained}" if self.explained else body


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
    yield _states(changes.get("metrics", {}))
    yield from _models(changes)
    yield _listed(UNJUDGED, ("clip_id", "file", "label", "why"), changes.get("judged", {}).get("removed", []))
    yield _attribution(changes.get("comparison", {}))
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
        [code(key), _json(pair["before"]), _json(pair["after"])] for key, pair in changes.get("params", {}).items()
    ]
    yield Section("Params", ("key", "before", "after"), settings)


def _models(changes: Changes) -> Iterator[Section]:
    """Tell the headlines of every model, then all other metrics."""
    compared = changes.get("comparison", {})
    metrics = {
        model: {name: pair for name, pair in named.items() if name not in STATES}
        for model, named in changes.get("metrics", {}).items()
    }
    header = ("model", "metric", "before", "after", "same clips: difference", "in words")
    rows = {
        (model, name): _metric(model, name, metrics.get(model, {}).get(name), found)
        for model in sorted({*metrics, *compared})
        for found in [compared.get(model, {"metrics": {}})]
        for name in dict.fromkeys([*HEADLINES, *metrics.get(model, {}), *found["metrics"]])
        if name in metrics.get(model, {}) or name in found["metrics"]
    }
    sizes = [f"{code(model)}: {found['clips']} clips, {found['groups']} groups" for model, found in compared.items()]
    how = (
        f"Differences are of the clips that both revisions predict ({'; '.join(some(sizes))}), by the later labels, "
        "with 95 % intervals from resampled groups. More than noise is what swapping old and new, group by group, "
        "makes in fewer than 5 of 100 cases, by the earlier labels too. The luck of a training run comes on top."
    )
    headlines = [row for (_, name), row in rows.items() if name in HEADLINES]
    yield Section("Models", header, headlines, how if sizes else "")
    yield Section("Other metrics", header, [row for (_, name), row in rows.items() if name not in HEADLINES])


def _states(metrics: Changes) -> Section:
    rows = [
        [code(model), *(_state(named, when) or "-" for when in ("before", "after"))]
        for model, named in metrics.items()
        if not STATES.keys().isdisjoint(named)
    ]
    return Section("What is wrong with the models", ("model", "before", "after"), rows)


def _state(metrics: Changes, when: str) -> str:
    """Return what is wrong with a model as `evaluate` words it, else which of the states it is in."""
    said = {name: (metrics[name][when] or {}).get("value") for name in STATES if name in metrics}
    if isinstance(faults := said.get("faults"), list):
        return ", ".join(_text(str(fault)) for fault in faults) or STATES["faults"][0]
    return ", ".join(STATES[name][value] for name, value in said.items() if value in (0, 1))


def _metric(model: str, name: str, pair: Changes | None, compared: Changes) -> list[str]:
    pair, paired = pair or {"before": None, "after": None, "difference": None}, compared["metrics"].get(name)
    cells = [code(model), code(name), _figure(pair["before"]), _figure(pair["after"])]
    if paired is None:
        return [*cells, "-", "-"]
    return [*cells, signed(paired["difference"]) + _interval(paired, "+.3f"), effect(name, compared)]


def _attribution(compared: Changes) -> Section:
    rows = [
        [
            code(model),
            code(name),
            *(_number(cells[whose][when]) for whose in ("before", "after") for when in ("before", "after")),
            *map(signed, sources(cells)),
        ]
        for model, found in compared.items()
        for name, cells in found.get("attribution", {}).items()
    ]
    combinations = ("old model, old labels", "old, new", "new, old", "new model, new labels")
    header = ("model", "metric", *combinations, "from the labels", "from the model", "from it by old labels")
    return Section("Labels of judged clips changed: what comes from them, what from the model", header, rows)


def _labels(title: str, clips: Sequence[Changes]) -> Section:
    rows = [
        [
            *(_text(clip[column]) for column in ("clip_id", "file", "fold")),
            *(f"{_text(clip[when]['label'])} {_text(clip[when]['origin'])}" for when in ("before", "after")),
            str(len(clip["answers"])),
            ", ".join(some([_said(answer) for answer in clip["answers"]], ANSWERS)) or "-",
        ]
        for clip in clips
    ]
    return Section(title, ("clip_id", "file", "fold", "before", "after", "answered", "answers"), rows)


def _said(answer: Changes) -> str:
    return f"{_text(answer['answer'])} by {_text(answer['annotator'])} {_text(answer['shown'])}"


def _answers(answers: Changes) -> Iterator[Section]:
    rows = []
    added = answers.get("added", [])
    for annotator in sorted({answer["annotator"] for answer in added}):
        theirs = [answer for answer in added if answer["annotator"] == annotator]
        shown = Counter(answer["shown"] for answer in theirs)
        said = Counter(answer["answer"] for answer in theirs)
        counted = ", ".join(f"{count} {_text(answer)}" for answer, count in sorted(said.items()))
        rows.append([_text(annotator), str(len(theirs)), str(shown["blind"]), str(shown["hinted"]), counted])
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
        [words[name], *(_number(agreement[when][name]) for when in ("before", "after"))]
        for name in words
        if agreement and agreement["before"][name] != agreement["after"][name]
    ]
    return Section("Agreement of annotators", ("figure", "before", "after"), rows)


def _listed(title: str, columns: Sequence[str], rows: Sequence[Changes]) -> Section:
    return Section(title, columns, [[_text(row.get(column, "")) for column in columns] for row in rows])


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


def _figure(figure: Changes | None) -> str:
    """Return a metric's value with its interval, where it has one."""
    if figure is None:
        return "-"
    value = figure.get("value")
    if isinstance(value, str):
        return code(value)
    if isinstance(value, int | float):
        return f"{_number(value)}{_interval(figure, '.3f')}"
    return _json(value)


def _interval(figure: Changes, how: str) -> str:
    ends = [figure.get("low"), figure.get("high")]
    return f" [{ends[0]:{how}}, {ends[1]:{how}}]" if all(isinstance(end, float) for end in ends) else ""


def _number(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}" if isinstance(figure, float) else str(figure)


def _text(text: str) -> str:
    return code(text if len(text) <= CELL else f"{text[:CELL]}...") if text else "-"


def _json(value: object) -> str:
    return "-" if value is None else code(json.dumps(value, ensure_ascii=False, default=str))
