"""Report on one page what came in, what became of it, how good the models are, and where to look next."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pandas as pd

from curation import collapse, files, markdown, params, tables
from curation.markdown import code, counted, interval

TEST = -1
ALL = "all"  # in `tables.SHORTCUTS`
STEPS = 5  # at most: who is told ten things does none
WIDE = 0.2  # from end to end; a recall known less well hides what better labels gain


@dataclass(frozen=True)
class Findings:
    """What the other stages wrote: tables as in `tables`, and two JSON files."""

    clips: pd.DataFrame
    rejects: pd.DataFrame
    labels: pd.DataFrame
    groups: pd.DataFrame
    folds: pd.DataFrame
    flags: pd.DataFrame
    shortcuts: pd.DataFrame
    queue: pd.DataFrame
    train: pd.DataFrame
    flagging: Mapping[str, Any]  # `label_issues`: "found" or "refused", and `why`
    metrics: Mapping[str, Mapping[str, Any]]  # by model, as stage `evaluate` wrote them

    @property
    def queued(self) -> pd.DataFrame:
        """The clips of the queue."""
        return self.clips[self.clips["clip_id"].isin(self.queue["clip_id"])]


def report(found: Findings, classes: tuple[str, ...]) -> str:
    """Return the page in Markdown, short enough for a terminal; the first of `classes` is the positive one."""
    steps = enumerate(islice(_next_steps(found), STEPS), 1)
    blocks = [
        "# Where data and models stand",
        _labels(found, classes),
        _stages(found),
        "## Evidence",
        _evidence(found, classes[0]),
        _verdicts(found),
        "## Where to look next",
        "\n".join(f"{number}. {step}" for number, step in steps),
    ]
    return "\n\n".join(blocks) + "\n"


def _labels(found: Findings, classes: tuple[str, ...]) -> str:
    clips = found.labels.merge(found.clips[["clip_id", "duration_s"]], on="clip_id", validate="one_to_one")
    clips = clips.merge(found.groups, on="clip_id", validate="one_to_one")
    names = {label: code(label) for label in classes} | {"": "not labelled"}
    parts = {name: clips[clips["label"] == label] for label, name in names.items()} | {"all": clips}
    rows = [
        (name, str(len(part)), _minutes(part["duration_s"]), str(part["group"].nunique()))
        for name, part in parts.items()
    ]
    return markdown.table(("label", "clips", "minutes", "groups"), rows, numbers=True)


def _stages(found: Findings) -> str:
    recordings = len({*found.clips["file"], *found.rejects["file"]})
    trained = found.train["times"] > 0
    draws = found.train["times"].sum()
    tested = (found.folds["fold"] == TEST).sum()
    lines = {
        "recordings": f"{recordings}, of which {found.clips['file'].nunique()} gave clips",
        "rejected": f"{len(found.rejects)}{_counts(found.rejects['reason'])}",
        "doubted": f"{found.flags['clip_id'].nunique()} clips{_counts(found.flags['reason'])}",
        "to hear next": f"{len(found.queue)} clips, {_listening(found)} minutes{_counts(found.queue['reason'])}",
        "trained on": f"{trained.sum()} clips, {draws} draws an epoch{_counts(found.train.loc[trained, 'why'])}",
        "left out": f"{(~trained).sum()} clips{_counts(found.train.loc[~trained, 'why'])}",
        "kept for the test": f"{tested} clips",
    }
    return "\n".join(f"- {step}: {line}" for step, line in lines.items())


def _evidence(found: Findings, positive: str) -> str:
    whole = ("balanced_accuracy", "mcc", "roc_auc")
    rows = [
        (code(model), *(interval(measured[name]) for name in whole), interval(measured["f1"][positive]))
        for model, measured in found.metrics.items()
    ]
    any_model = next(iter(found.metrics.values()))  # all are judged by the same clips
    for baseline in ("majority", "minority"):
        said = next(label for label, recall in any_model["recall"].items() if recall[baseline] == 1)
        # for the whole it is all the same which class a constant model says
        figures = [*(any_model[name]["majority"] for name in whole), any_model["f1"][positive][baseline]]
        rows.append((f"always {code(said)}", *(f"{figure:.2f}" for figure in figures)))
    return markdown.table(("model", "balanced accuracy", "MCC", "AUC", f"F1 of {code(positive)}"), rows, numbers=True)


def _verdicts(found: Findings) -> str:
    any_model = next(iter(found.metrics.values()))
    folds = found.folds["fold"]
    how = "the test fold" if (folds == TEST).any() else f"cross-validation in {folds.nunique()} folds"
    return "\n".join(
        [
            f"- judged by {how}: {any_model['clips']} clips in {any_model['groups']} groups",
            "- in brackets: 95 % intervals from resampled groups; they leave out the luck of a training run",
            *(f"- {code(model)}: {_judgement(measured)}" for model, measured in found.metrics.items()),
        ]
    )


def _judgement(measured: Mapping[str, Any]) -> str:
    return code("; ".join(measured["faults"])) if measured["faults"] else "sound"


def _next_steps(found: Findings) -> Iterator[str]:
    if found.flagging["label_issues"] == "refused":
        yield f"No label was doubted, because the scores were not sound: {code(found.flagging['why'])}."
    for model, measured in found.metrics.items():
        yield from _remedy(model, measured)
    if len(found.queue):
        suspects = (found.queue["reason"] == "suspect").sum()
        clips = f"{len(found.queue)} clips, {suspects} of them suspects"
        yield f"Listen: `earmark annotate` plays what is doubtful ({_listening(found)} minutes, {clips})."
    for file, detail in found.rejects[["file", "detail"]].head(1).to_numpy():
        yield f"Mend what `data/rejects.csv` lists, first {code(file)}: {code(detail)}."
    yield from _shortcut(found.shortcuts)
    yield from _uncertain(found.metrics)
    yield "Run `earmark gate`: it passes or fails the models by the bounds in params.yaml."


def _shortcut(shortcuts: pd.DataFrame) -> Iterator[str]:
    """Name the measure that tells most, when it is no luck."""
    single = shortcuts[shortcuts["measure"] != ALL].nlargest(1, "auc")
    for row in single[single["auc"] > single["chance_auc"]].to_dict("records"):
        yield (
            f"{code(row['measure'])} alone tells the label (AUC {row['auc']:.2f}; luck reaches "
            f"{row['chance_auc']:.2f}): of {row['clips']} clips with {code(row['where'])} {row['share']:.0%} are "
            f"{code(row['label'])}. If the recorder made that and not the sound, record the classes alike."
        )


def _remedy(model: str, measured: Mapping[str, Any]) -> Iterator[str]:
    accuracy, auc = measured["balanced_accuracy"], measured["roc_auc"]["value"]
    if not (measured["collapsed"] or measured["at_chance"]):
        if accuracy["low"] is None or accuracy["low"] <= accuracy["majority"]:
            yield f"{code(model)} may be no better than saying one class throughout: correct labels or add clips."
    elif measured["score_std"] < collapse.FLAT_STD:
        yield f"{code(model)} scores all clips nearly alike: lower its learning rate or train longer (params.yaml)."
    elif measured["at_chance"]:
        yield f"{code(model)} has not learned the labels: correct labels, add clips, or train longer (params.yaml)."
    else:
        yield f"{code(model)} says one class, though its order is useful (AUC {auc:.2f}): see `balance` in params.yaml."


def _uncertain(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Name the class whose recall is known least, by the model with the best MCC."""
    model = max(metrics, key=lambda name: metrics[name]["mcc"]["value"])
    known = {label: recall for label, recall in metrics[model]["recall"].items() if recall["low"] is not None}
    for label in sorted(known, key=lambda name: known[name]["low"] - known[name]["high"])[:1]:
        low, high = known[label]["low"], known[label]["high"]
        if high - low > WIDE:
            yield (
                f"Add recordings of {code(label)}: {code(model)} finds {low:.0%} to {high:.0%} of them; "
                "four times as many groups would halve this interval."
            )


def _counts(reasons: pd.Series) -> str:
    return f" ({counted(reasons)})" if len(reasons) else ""


def _listening(found: Findings) -> str:
    return _minutes(found.queued["duration_s"] + found.queued["padded_s"])


def _minutes(seconds: pd.Series) -> str:
    return f"{seconds.sum() / 60:.1f}"


def _read_json(path: Path, keys: set[str]) -> dict[str, Any]:
    """Read an object that has `keys`, and is not empty."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist. `dvc repro` makes it.") from error
    except ValueError as error:
        raise click.ClickException(f"{path} is not JSON in UTF-8: {error}. `dvc repro` makes it anew.") from error
    if not isinstance(value, dict) or not value or not keys <= set(value):
        raise click.ClickException(f"{path} must hold an object with {sorted(keys)}. `dvc repro` makes it anew.")
    return value


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips.")
@click.option("--rejects", type=click.Path(path_type=Path), required=True, help="What is no clip, and why.")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What must not be split.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The fold of every clip.")
@click.option("--flags", type=click.Path(path_type=Path), required=True, help="The clips in doubt.")
@click.option("--flagging", type=click.Path(path_type=Path), required=True, help="Whether labels could be doubted.")
@click.option("--shortcuts", type=click.Path(path_type=Path), required=True, help="What tells the label unheard.")
@click.option("--queue", type=click.Path(path_type=Path), required=True, help="What people hear next.")
@click.option("--train", type=click.Path(path_type=Path), required=True, help="What the models were trained on.")
@click.option("--metrics", type=click.Path(path_type=Path), required=True, help="The evidence on the models.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the page goes.")
def main(
    clips: Path,
    rejects: Path,
    labels: Path,
    groups: Path,
    folds: Path,
    flags: Path,
    flagging: Path,
    shortcuts: Path,
    queue: Path,
    train: Path,
    metrics: Path,
    out: Path,
) -> None:
    """Write the page on where data and models stand."""
    found = Findings(
        clips=tables.read(clips, tables.CLIPS),
        rejects=tables.read(rejects, tables.REJECTS),
        labels=tables.read(labels, tables.LABELS),
        groups=tables.read(groups, tables.GROUPS),
        folds=tables.read(folds, tables.FOLDS),
        flags=tables.read(flags, tables.FLAGS),
        shortcuts=tables.read(shortcuts, tables.SHORTCUTS),
        queue=tables.read(queue, tables.QUEUE),
        train=tables.read(train, tables.TRAIN),
        flagging=_read_json(flagging, {"label_issues", "why"}),
        metrics=_read_json(metrics, set()),
    )
    files.write_text(report(found, params.Data.load("data").classes), out)
    click.echo(f"report: {out}")


if __name__ == "__main__":
    main()
