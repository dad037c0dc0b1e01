"""Write the card of a model: how good it is beside saying one class throughout, its limits, its recipe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from huggingface_hub import EvalResult, ModelCardData

from curation import cautions
from curation.dataset import TEST, Dataset
from curation.markdown import block, code, counted, interval, table
from curation.stated import Stated
from training import robustness
from training.snippet import snippet

TASK = "audio-classification"
WIDE = 0.2  # from end to end of an interval; a recall known less well is of a small set
NOT_STATED = "not-stated"  # in `model-index`, which wants the data set's name on the Hub
HUB_METRICS = {"mcc": "matthews_correlation", "brier": "brier_score"}  # what https://hf.co/metrics calls others than we


@dataclass(frozen=True)
class Weights:
    """A file of weights."""

    numbers: int
    size_bytes: int


@dataclass(frozen=True)
class Model:
    """What is known of a model."""

    name: str
    measured: Mapping[str, Any]  # what stage `evaluate` wrote of it
    shifted: Mapping[str, Any]  # what stage `shift` did; empty: nothing
    recipe: Mapping[str, Any]  # sections of params.yaml as they were when it was trained; empty: not known
    train: pd.DataFrame  # `tables.TRAIN`
    folder: Path  # of its weights
    built: Mapping[str, Any]  # its model.json; empty: not here
    weights: Mapping[str, Weights]  # by round


def model_card(model: Model, found: Dataset, stated: Stated, version: str, *, commit: str, audio: Path) -> str:
    """Return the card: front matter in YAML, with `model-index`, then Markdown.

    Args:
        model: what is known of it.
        found: the data set.
        stated: what people say.
        version: which state of the project it is, in Markdown.
        commit: the commit that holds it; empty: none does.
        audio: the folder of the clips, for whoever predicts.
    """
    data = found.data
    blocks = [
        f"---\n{_front_matter(model, found, stated, commit)}\n---",
        f"# Model card: {code(model.name)}",
        f"> {_verdict(model.measured)}",
        f"It says of a sound clip of {data.clip_s:g} s at {data.rate_hz} Hz how probable each of these classes is: "
        f"{', '.join(map(code, data.classes))}.",
        f"`earmark card` wrote this page. Every figure was measured and stands in a table of the project. What only "
        f"people can say stands in `{stated.path.name}`; where it says *not stated*, nobody has.",
        _facts(stated),
        "## How good it is",
        f"Judged by {_how(found)}: {model.measured['clips']} clips in {model.measured['groups']} groups, each "
        "predicted by weights that had seen neither it nor its group.",
        _evidence(model),
        "In brackets: 95 % intervals from resampled groups; one without width says that no resample differed, which is "
        "no proof. `brier`, `log_loss`, `aurc` and `ece` are better when lower.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(model, found)),
        "## Training",
        "\n".join(f"- {line}" for line in _training(model)),
        _recipe(model),
        "## How to predict",
        _prediction(model, found, audio),
        "## Intended use",
        stated.text("models", "intended_use"),
        "## Uses it is not for",
        stated.text("models", "out_of_scope_use"),
        "## Version",
        version,
    ]
    return "\n\n".join(blocks) + "\n"


def figures(measured: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, float | None]]]:
    """Yield each metric, the class it is of (empty: of the whole), and its figures."""
    for metric, figure in measured.items():
        if isinstance(figure, Mapping) and all(isinstance(of_class, Mapping) for of_class in figure.values()):
            yield from ((metric, label, of_class) for label, of_class in figure.items())
        elif isinstance(figure, Mapping):
            yield metric, "", figure


def _front_matter(model: Model, found: Dataset, stated: Stated, commit: str) -> str:
    said = stated.models
    card = ModelCardData(
        license=said.license,
        license_name=said.license_name,
        license_link=said.license_link,
        datasets=[stated.data.hub_id] if stated.data.hub_id else None,
        tags=["audio", "earmark"],
        pipeline_tag=TASK,
        model_name=model.name,
        eval_results=list(_results(model, found, stated, commit)),
    )
    return str(card.to_yaml())


def _results(model: Model, found: Dataset, stated: Stated, commit: str) -> Iterator[EvalResult]:
    for metric, label, figure in figures(model.measured):
        value, low, high = (figure.get(end) for end in ("value", "low", "high"))
        known = "no interval" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}"
        yield EvalResult(
            task_type=TASK,
            dataset_type=stated.data.hub_id or NOT_STATED,
            dataset_name=stated.data.name or "not stated",
            dataset_split="test" if found.has_test else "cross-validation",
            dataset_revision=commit or None,
            metric_type=HUB_METRICS.get(metric, metric),
            metric_value=value,
            metric_name=f"{metric}{f' of {label}' if label else ''} ({known}; "
            f"always {_constant(model.measured, 'majority')}: {figure['majority']:.2f})",
        )


def _verdict(measured: Mapping[str, Any]) -> str:
    accuracy = measured["balanced_accuracy"]
    beside = f"balanced accuracy {interval(accuracy)}, and {accuracy['majority']:.2f} for saying one class throughout"
    if measured["faults"]:
        return f"**Do not rely on it.** {code('; '.join(measured['faults']))}"
    if accuracy["low"] is None or accuracy["low"] <= accuracy["majority"]:
        return f"**It may be no better than saying one class throughout:** {beside}."
    return f"**It has learned something:** {beside}."


def _facts(stated: Stated) -> str:
    facts = {
        "Licence": stated.line("models", "license", "license_name", "license_link"),
        "Creators": stated.line("models", "creators", "organizations"),
        "Contact": stated.line("models", "contact"),
        "Data set": stated.line("data", "name", "url"),
    }
    return "\n".join(f"- {what}: {said}" for what, said in facts.items())


def _how(found: Dataset) -> str:
    return "the test fold" if found.has_test else f"cross-validation in {found.folds['fold'].nunique()} folds"


def _constant(measured: Mapping[str, Any], who: str) -> str:
    """Return the class that the baseline `majority` or `minority` says of every clip."""
    return next(str(label) for label, recall in measured["recall"].items() if recall[who] == 1)


def _evidence(model: Model) -> str:
    rows = [
        (
            f"{code(metric)} of {code(label)}" if label else code(metric),
            interval(figure) if "low" in figure else f"{figure['value']:.2f}",
            *(f"{figure[who]:.2f}" if who in figure else "" for who in ("majority", "minority")),
        )
        for metric, label, figure in figures(model.measured)
    ]
    always = (f"always {code(_constant(model.measured, who))}" for who in ("majority", "minority"))
    return table(("metric", code(model.name), *always), rows, numbers=True)


def _limits(model: Model, found: Dataset) -> Iterator[str]:
    judged = found.labelled[found.labelled["fold"] == TEST] if found.has_test else found.labelled
    if not found.has_test:
        yield (
            "No test set was kept: these figures are of the recipe, and each file of weights was judged by its own "
            "fold alone."
        )
    yield from _width(model.measured["recall"])
    yield "The intervals leave out the luck of a training run: another seed gives other weights."
    answered = (judged["origin"] == "review").sum()
    yield f"{len(judged)} labels judge it: {answered} come from people's answers, the others are as they were given."
    yield from (*cautions.doubts(found), *cautions.shortcuts(found))
    yield from robustness.sentences({model.name: model.shifted})
    if "clean" not in model.shifted:
        yield "What noise, another level, codecs or a room cost it was not measured."
    yield "How it does on recordings from elsewhere than this data set was not measured."
    yield "`ece`, the calibration error, comes out too high when there are few clips."


def _width(recalls: Mapping[str, Mapping[str, float | None]]) -> Iterator[str]:
    """Say of which class the recall is known least, where that is not well."""
    ends = {label: (recall["low"], recall["high"]) for label, recall in recalls.items()}
    known = {label: (low, high) for label, (low, high) in ends.items() if low is not None and high is not None}
    for label in sorted(ends.keys() - known.keys()):
        yield f"The set is too small to say how well the recall of {code(label)} is known."
    for label in sorted(known, key=lambda name: known[name][0] - known[name][1])[:1]:
        low, high = known[label]
        if high - low > WIDE:
            yield (
                f"The set is small: the recall of {code(label)}, the least certain one, may be anything from "
                f"{low:.2f} to {high:.2f}. Four times as many groups would halve this."
            )


def _training(model: Model) -> Iterator[str]:
    if of := model.built.get("of"):
        yield f"weights: none of its own; it says the mean of what {' and '.join(map(code, of))} say"
    elif model.built:
        pretrained = model.built.get("weights", "scratch")
        origin = "none, it was trained from scratch" if pretrained == "scratch" else code(pretrained)
        digest = f", SHA-256 {code(model.built['sha256'])}" if "sha256" in model.built else ""
        yield f"pretrained weights: {origin}{digest}"
        first = next(iter(model.weights.values()))
        yield (
            f"weights: {len(model.weights)} files ({', '.join(map(code, model.weights))}) of {first.numbers} numbers, "
            f"{first.size_bytes / 1e6:.1f} MB each; running means and variances are counted in"
        )
    else:
        yield f"weights: not here; `dvc pull {model.folder}` brings them, and `earmark card` describes them"
    trained = model.train["times"] > 0
    left_out = f" ({counted(model.train.loc[~trained, 'why'])})" * (not trained.all())
    yield (
        f"training list: {trained.sum()} clips, {model.train['times'].sum()} draws an epoch "
        f"({counted(model.train.loc[trained, 'why'])}); left out {(~trained).sum()}{left_out}; each file of weights "
        "learned from other folds than its own"
    )


def _recipe(model: Model) -> str:
    if not model.recipe:
        return "The recipe is not known: dvc.lock has no training of this model."
    text = yaml.safe_dump(dict(model.recipe), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    return f"The parameters it was trained with, as in params.yaml:\n\n{block(text, 'yaml')}"


def _prediction(model: Model, found: Dataset, audio: Path) -> str:
    if not model.built:
        return f"With its weights, which are not here: `dvc pull {model.folder}` brings them."
    if of := model.built.get("of"):
        return f"Predict with {' and '.join(map(code, of))} as their cards say; take the mean of the probabilities."
    turn = next(iter(model.weights))
    fold = TEST if turn == "test" else int(turn.removeprefix("fold_"))
    unseen = found.rows.loc[found.rows["fold"] == fold, "clip_id"].iloc[0]
    if not (lines := snippet(str(model.built.get("model")), turn, unseen, folder=model.folder, audio=audio)):
        return "It is not a model of earmark: ask whoever made it."
    return f"In the project and its environment, a clip that these weights have not seen:\n\n{block(lines, 'python')}"
