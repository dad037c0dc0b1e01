"""Judge trained models by source, and by clips made louder, noisier, narrower, shorter, coded or reverberant."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import click
import joblib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from tqdm import tqdm

from curation import files, params, tables, vectors
from curation.audio import FULL_SCALE, Samples
from training import augment, clips, live, metrics, new_source, robustness, rounds, svm
from training.degrade import AXES, CLEAN, Condition, degrade

BATCH = 16  # clips predicted at once
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

Outcomes: TypeAlias = dict[Condition, metrics.Outcome]
Models: TypeAlias = Mapping[str, live.Live]


class Params(params.Section):
    """Section `shift` of params.yaml: the severities of each axis, and how they are judged."""

    gain_db: tuple[Annotated[float, Field(ge=-60, le=60)], ...] = Field(min_length=1)
    snr_db: tuple[Annotated[float, Field(ge=-60, le=60)], ...] = Field(min_length=1)  # of pink noise
    mp3_kbps: tuple[Annotated[int, Field(ge=32, le=64)], ...] = Field(min_length=1)  # what MP3 has at any sample rate
    opus_kbps: tuple[Annotated[int, Field(ge=6, le=128)], ...] = Field(min_length=1)
    bandwidth_hz: tuple[Annotated[float, Field(ge=500)], ...] = Field(min_length=1)  # half a sample rate
    reverberation_s: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(min_length=1)  # to die by 60 dB
    crop_s: tuple[Annotated[float, Field(ge=0.1)], ...] = Field(min_length=1)  # the loudest stretch
    max_clips: int = Field(ge=20)  # judged; of larger sets as many of each class, from as many groups as possible
    resamples: int = Field(ge=100)  # bootstrap resamples of the groups
    seed: int = Field(ge=0)  # of noise, rooms, chosen clips and resamples


def shift(
    models: Models, sounds: Sequence[Samples], rows: pd.DataFrame, conditions: Sequence[Condition], *, seed: int
) -> dict[str, Outcomes]:
    """Return what each model says of the clips under each condition, by the round that has not learnt from them.

    Args:
        models: trained on the same classes.
        sounds: the recorded part of each clip, full scale 1.
        rows: `clip_id`, `label` and `fold` of each clip.
        conditions: what is done to the sounds.
        seed: of noise and rooms. Each clip draws from a seed of its own, so that no other clip changes its draws and
            it is in the same noise at every level.
    """
    truth = _truth(rows, next(iter(models.values())).data.classes)
    task = joblib.delayed(_under)
    tasks = [task(condition, models, sounds, rows, seed) for condition in conditions]
    said = joblib.Parallel(joblib.cpu_count(), prefer="threads", return_as="generator")(tasks)
    shown = tqdm(said, desc="shift", total=len(tasks), unit="condition", disable=None)
    found = dict(zip(conditions, shown, strict=True))
    return {
        model: {condition: metrics.Outcome(truth, said[model]) for condition, said in found.items()} for model in models
    }


def _under(
    condition: Condition, models: Models, sounds: Sequence[Samples], rows: pd.DataFrame, seed: int
) -> dict[str, metrics.Floats]:
    """Return what each model says under one condition."""
    torch.set_num_threads(1)  # conditions run side by side
    rate_hz = next(iter(models.values())).data.rate_hz
    changed = [
        degrade(sound, condition, rate_hz=rate_hz, rng=np.random.default_rng([seed, *clip_id.encode()]))
        for sound, clip_id in zip(sounds, rows["clip_id"], strict=True)
    ]
    return {name: predict(model, changed, rows["fold"].to_numpy()) for name, model in models.items()}


def predict(model: live.Live, sounds: Sequence[Samples], folds: NDArray[np.int64]) -> metrics.Floats:
    """Return the probability of each class for each sound, shape (clips, classes), by the round of its fold."""
    found = np.empty((len(sounds), len(model.data.classes)))
    for fold, network in model.rounds.items():
        places = np.flatnonzero(folds == fold)
        for batch in (places[start : start + BATCH] for start in range(0, len(places), BATCH)):
            found[batch] = _probabilities(model, network, [sounds[place] for place in batch])
    return found


def _probabilities(model: live.Live, network: nn.Module, sounds: Sequence[Samples]) -> metrics.Floats:
    lengths = torch.tensor([len(sound) for sound in sounds])
    samples = torch.zeros(len(sounds), round(model.data.clip_s * model.data.rate_hz))
    for row, sound in zip(samples, sounds, strict=True):
        row[: len(sound)] = FULL_SCALE * torch.from_numpy(sound)
    x, lengths = model.inputs(samples, lengths)
    with torch.inference_mode():
        logits = network.to(DEVICE)(augment.repeat(x.float(), lengths, x.shape[-1]).to(DEVICE))
    probabilities: metrics.Floats = logits.double().softmax(dim=1).cpu().numpy()
    return probabilities


def judged(labels: pd.DataFrame, folds: pd.DataFrame, groups: pd.DataFrame, model: live.Live) -> pd.DataFrame:
    """Return clip_id, label, fold and group of the labelled clips that a round of the model has held out.

    Raises:
        click.ClickException: none of them has one of the classes.
    """
    rows = labels.loc[labels["label"] != "", ["clip_id", "label"]].merge(folds, on="clip_id")
    rows = rows[rows["fold"].isin(list(model.rounds))].merge(groups[["clip_id", "group"]], on="clip_id")
    if lacking := [label for label in model.data.classes if label not in set(rows["label"])]:
        raise click.ClickException(
            f"Of the {len(rows)} labelled clips to judge the models by none is {lacking[0]!r}. "
            "Label some clips of this class and run `dvc repro`."
        )
    return rows


def conditions(p: Params) -> list[Condition]:
    """Return the clean clips and each severity of each axis."""
    return [CLEAN, *((axis, severity) for axis in AXES for severity in getattr(p, axis))]


def drawn(rows: pd.DataFrame, max_clips: int, *, seed: int) -> pd.DataFrame:
    """Return at most `max_clips` of the clips: as many of each class, from as many groups as possible.

    Balanced accuracy does not depend on how many clips of a class there are, its interval on how few.
    """
    if len(rows) <= max_clips:
        return rows
    mixed = rows.sample(frac=1, random_state=seed)
    turn = mixed.groupby(["label", "group"]).cumcount()  # the first clip of every group comes before any second one
    chosen = mixed.iloc[turn.argsort(kind="stable")].groupby("label").head(max_clips // rows["label"].nunique())
    return chosen.sort_values("clip_id", ignore_index=True)


def evidence(
    model: live.Live, said: Outcomes, rows: pd.DataFrame, every: pd.DataFrame, origin: pd.DataFrame, p: Params
) -> tuple[pd.DataFrame, dict[str, files.Json]]:
    """Return `tables.SHIFTS` and the summary of one model.

    Args:
        model: the model.
        said: what it says of `rows` under each condition.
        rows: the clips that were changed.
        every: all clips that the model can be judged by; on these it is judged by source, as training predicted them.
        origin: `sources` of `every`.
        p: the bootstrap.
    """
    found = robustness.robustness(said, rows["group"].factorize()[0], p.resamples, seed=p.seed)
    shifted = robustness.rows(found, len(rows))
    whole, groups = _outcome(model.version, model.predicted, every, model.data.classes), every["group"].factorize()[0]
    at_source = robustness.by_source(whole, groups, origin, p.resamples, seed=p.seed)
    summary = robustness.summary(shifted, at_source, found, classes=len(model.data.classes))
    return pd.DataFrame([*shifted, *at_source]), summary


def of_new_sources(
    said: Path, anew: Mapping[str, robustness.Anew], every: pd.DataFrame, p: Params, data: params.Data
) -> dict[str, tuple[pd.DataFrame, dict[str, files.Json]]]:
    """Return `tables.SHIFTS` and the summary of the support vector machines; nothing where no source was left out.

    Args:
        said: the table of what they predicted in training.
        anew: what they say of sources that they have not learned from.
        every: the clips that they are judged by.
        p: the bootstrap.
        data: the classes.
    """
    if not anew:
        return {}
    whole = _outcome(said.stem, live.wide(said, data), every, data.classes)
    found = robustness.by_new_source(whole, anew, every["group"].factorize()[0], p.resamples, seed=p.seed)
    return {said.stem: (pd.DataFrame(found), robustness.summary_of_new(found))}


def _outcome(
    model: str, predicted: Mapping[str, Mapping[str, float]], rows: pd.DataFrame, classes: Sequence[str]
) -> metrics.Outcome:
    if missing := sorted(set(rows["clip_id"]) - set(predicted)):
        raise click.ClickException(
            f"{model} has not predicted {len(missing)} of the {len(rows)} clips to judge it by, such as "
            f"{missing[0]}. `dvc repro train` predicts them."
        )
    said = [[predicted[clip_id][label] for label in classes] for clip_id in rows["clip_id"]]
    return metrics.Outcome(_truth(rows, classes), np.array(said))


def _truth(rows: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.intp]:
    return pd.Index(classes).get_indexer(pd.Index(rows["label"]))


def sources(clips: pd.DataFrame, clip_ids: pd.Series) -> pd.DataFrame:
    """Return the sources of each clip, and its place among `clip_ids`: its top folder (`site-03/`) and its given group.

    What is no source of several clips of each class, `robustness.by_source` leaves out.
    """
    rows = clip_ids.rename_axis("place").reset_index().merge(clips[["clip_id", "file", "group"]], on="clip_id")
    folder = rows["file"].str.extract("^([^/]+/)", expand=False)
    return pd.concat([rows.assign(source=source)[["place", "source"]] for source in (folder, rows["group"])]).dropna()


def _load(models: Path, predictions: Path, folds: Path) -> dict[str, live.Live]:
    names = [name for name in live.MODELS if (models / name / "model.json").exists()]
    if not names:
        raise click.ClickException(f"{models} holds no trained models. `dvc repro train` makes them.")
    found = {name: live.load(models / name, predictions / f"{name}.csv", folds) for name in names}
    if any(model.data != found[names[0]].data for model in found.values()):
        raise click.ClickException(
            f"The models in {models} take different clips or classes. `dvc repro train` makes them anew."
        )
    return found


def _sounds(audio: Path, clip_ids: Sequence[str], data: params.Data) -> list[Samples]:
    samples, lengths = clips.read(audio, clip_ids, data)
    pairs = zip(samples.numpy(), lengths.tolist(), strict=True)
    return [row[:length].astype(np.float32) / np.float32(FULL_SCALE) for row, length in pairs]


@click.command()
@click.option("--clips", type=click.Path(path_type=Path), required=True, help="The clips, and where they come from.")
@click.option("--audio", type=click.Path(path_type=Path), required=True, help="The folder of the clips.")
@click.option("--labels", type=click.Path(path_type=Path), required=True, help="Today's labels.")
@click.option("--folds", type=click.Path(path_type=Path), required=True, help="The fold of every clip.")
@click.option("--groups", type=click.Path(path_type=Path), required=True, help="What is resampled together.")
@click.option("--train", type=click.Path(path_type=Path), required=True, help="The training list.")
@click.option("--features", "described", type=click.Path(path_type=Path), required=True, help="The clips' vectors.")
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Folder with a folder a model.")
@click.option("--predictions", type=click.Path(path_type=Path), required=True, help="Folder with a table a model.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the table goes.")
@click.option("--metrics", type=click.Path(path_type=Path), required=True, help="Where worst cases and slopes go.")
def main(
    clips: Path,
    audio: Path,
    labels: Path,
    folds: Path,
    groups: Path,
    train: Path,
    described: Path,
    models: Path,
    predictions: Path,
    out: Path,
    metrics: Path,
) -> None:
    """Write how well every model does on changed clips, and on each source."""
    p, loaded = Params.load("shift"), _load(models, predictions, folds)
    any_model = next(iter(loaded.values()))
    fold, group = tables.read(folds, tables.FOLDS), tables.read(groups, tables.GROUPS)
    every = judged(tables.read(labels, tables.LABELS), fold, group, any_model)
    tables.check_labels(every["label"], any_model.data.classes, labels)
    rows = drawn(every, p.max_clips, seed=p.seed)
    said = shift(loaded, _sounds(audio, rows["clip_id"].tolist(), any_model.data), rows, conditions(p), seed=p.seed)
    where = tables.read(clips, tables.CLIPS)
    origin = sources(where, every["clip_id"])
    found = {name: evidence(model, said[name], rows, every, origin, p) for name, model in loaded.items()}
    listed = rounds.listing(tables.read(train, tables.TRAIN), fold).merge(group[["clip_id", "group"]], on="clip_id")
    tables.check_labels(listed["label"], any_model.data.classes, train)
    anew = new_source.new_sources(
        vectors.read(described),
        listed,
        every,
        sources(where, listed["clip_id"]),
        svm.Params.load("svm"),
        classes=any_model.data.classes,
    )
    found |= of_new_sources(predictions / "svm.csv", anew, every, p, any_model.data)
    tables.write(pd.concat([table.assign(model=name) for name, (table, _) in found.items()]), out, tables.SHIFTS)
    files.write_json({name: summary for name, (_, summary) in found.items()}, metrics)
    click.echo(f"shift: {len(rows)} clips under {len(conditions(p))} conditions, models {', '.join(found)}")


if __name__ == "__main__":
    main()
