"""A small project whose findings are known by construction, written to files as the stages write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rows
import soundfile
import yaml

from curation import files, tables
from training import curves, evaluate, findings, metrics, robustness
from training.degrade import CLEAN, Condition

CLASSES = ("harmful", "safe")
HARMFUL = [f"h{n}" for n in range(12)]
SAFE = [f"s{n}" for n in range(8)]
LABELS = {**dict.fromkeys(HARMFUL, "harmful"), **dict.fromkeys(SAFE, "safe")}
GROUP = {clip: f"{clip[0]}{int(clip[1:]) // 2}" for clip in LABELS}  # two clips of one class each
WRONG = ("h11", "s7")  # these the models and the scores take for the other class
FALLING = 0.2 + 0.5 * np.exp(-np.arange(40) / 5)
FLAT = np.full(40, np.log(2))
RATE_HZ = 16000
LOUD: Condition = ("gain_db", 6.0)
CONDITIONS: tuple[Condition, ...] = (CLEAN, ("gain_db", -6.0), LOUD, ("crop_s", 1.0))


def right(sure: float = 0.9) -> dict[str, float]:
    """Return the scores of `harmful` by a model that is right about all clips but `WRONG`."""
    said = {clip: sure if label == "harmful" else 1 - sure for clip, label in LABELS.items()}
    return said | {clip: 1 - said[clip] for clip in WRONG}


def probabilities(harmful: Mapping[str, float], table: tables.Table) -> pd.DataFrame:
    """Return scores of two classes from those of the first."""
    pairs = [(clip, label, p) for clip, of in harmful.items() for label, p in zip(CLASSES, (of, 1 - of), strict=True)]
    return rows.table(table, *({"clip_id": clip, "label": label, "probability": p} for clip, label, p in pairs))


def ablations(
    *, doubling: Sequence[float] = (0.08, 0.02, 0.14), whole: Sequence[float] = (0.85, 0.7, 0.95)
) -> pd.DataFrame:
    """Return what halving the groups costs, with its interval, and what the whole gives."""
    none = {"share": 1.0, **dict(zip(("balanced_accuracy", "low", "high"), whole, strict=True))}
    half = {"share": 0.5, **dict(zip(("cost", "cost_low", "cost_high"), doubling, strict=True))}
    costs = ({"what": "labels", "share": share, "cost": cost} for share, cost in ((0.1, 0.06), (0.2, 0.1)))
    table = [none | {"what": "groups", "cost": 0.0}, {"what": "groups", "balanced_accuracy": 0.77} | half, *costs]
    return rows.table(tables.ABLATIONS, *({"low": 0.6, "high": 0.9, "balanced_accuracy": 0.8} | row for row in table))


def answers(wrong: int, right: int, asked: str, *, shown: str = "blind") -> tuple[pd.DataFrame, dict[str, str]]:
    """Return answers to the first clips, so many that say the other class, and the labels of these clips after them."""
    clips = list(LABELS)[: wrong + right]
    said = {
        clip: LABELS[clip] if place >= wrong else CLASSES[1 - CLASSES.index(LABELS[clip])]
        for place, clip in enumerate(clips)
    }
    given = {"annotator": "ann", "reviewed_utc": "2026-01-01T00:00:00Z", "shown": shown, "asked": asked}
    return rows.table(tables.REVIEWS, *({"clip_id": clip, "answer": said[clip], **given} for clip in clips)), said


def write(folder: Path, models: Mapping[str, Mapping[str, float]], losses: Mapping[str, np.ndarray]) -> dict[str, Path]:
    """Write what the stages would, and return the paths that stage `report` reads."""
    clips = [*LABELS, "u0"]
    label = {**LABELS, "u0": ""}
    reject = {"file": "hush|.wav", "reason": "silent", "detail": "below -60 dBFS throughout <b>"}
    base = {clip: {"clip_id": clip, "label": label[clip]} for clip in clips}
    group = {clip: GROUP.get(clip, "u0") for clip in clips}
    times = {clip: 0 if not label[clip] else 2 if clip in SAFE[:4] else 1 for clip in clips}
    why = {0: "unlabelled", 1: "kept", 2: "repeated"}
    queue = {"h11": "suspect", "u0": "unlabelled", "s7": "suspect"}
    flags = (("h11", "label", 0.1, "safe"), ("s7", "label", 0.2, "harmful"), ("h2", "noisy", 0.5, ""))
    tabled = {
        "clips": [base[clip] | {"file": f"{clip}.wav", "group": group[clip], "duration_s": 30.0} for clip in clips],
        "rejects": [reject, reject | {"file": "void.wav", "reason": "empty"}, reject | {"file": "zero.wav"}],
        "reviews": [],
        "labels": [base[clip] | {"origin": "given" if label[clip] else "none"} for clip in clips],
        "groups": [{"clip_id": clip, "group": group[clip], "why": "given"} for clip in clips],
        "folds": [{"clip_id": clip, "fold": int(group[clip][1:]) % 3} for clip in clips],
        "flags": [
            base[clip] | {"reason": reason, "score": score, "suggested": suggested}
            for clip, reason, score, suggested in flags
        ],
        "shortcuts": [
            {"measure": name, "auc": auc, "chance_auc": 0.7} for name, auc in (("all", 0.9), ("codec", 0.65))
        ],
        "queue": [{"clip_id": clip, "rank": rank, "reason": queue[clip]} for rank, clip in enumerate(queue, 1)],
        "repeats": [{"repeat": n, "clips": 20, "balanced_accuracy": value} for n, value in enumerate((0.8, 0.9))],
        "train": [base[clip] | {"times": times[clip], "why": why[times[clip]]} for clip in clips],
    }
    frames = {name: rows.table(getattr(tables, name.upper()), *listed) for name, listed in tabled.items()}
    frames |= {"scores": probabilities(right() | {"u0": 0.5}, tables.SCORES), "ablations": ablations()}
    for name, frame in frames.items():
        tables.write(frame, folder / f"{name}.csv", getattr(tables, name.upper()))
    files.write_json({"label_issues": "found", "why": ""}, folder / "flagging.json")
    _write_models(folder, models)
    for model, loss in losses.items():
        _write_training(folder / "live" / model, model, loss)
    for clip in clips:
        (folder / "audio").mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 2) / RATE_HZ)
        soundfile.write(folder / "audio" / f"{clip}.wav", tone, RATE_HZ)
    paths = {name: folder / f"{name}.csv" for name in frames}
    paths |= {name: folder / f"{name}.json" for name in ("flagging", "metrics", "robustness")} | {
        "shifts": folder / "shifts.csv"
    }
    return paths | {name: folder / name for name in ("predictions", "plots", "live", "audio")}


def _write_models(folder: Path, models: Mapping[str, Mapping[str, float]]) -> None:
    p = evaluate.Params(resamples=200, seed=0)
    truth = np.array([CLASSES.index(label) for label in LABELS.values()])
    groups, folds = pd.factorize(pd.Series(GROUP))[0], np.array([int(group[1:]) % 3 for group in GROUP.values()])
    outcomes = {}
    for model, said in models.items():
        first = np.array([said[clip] for clip in LABELS])
        outcomes[model] = metrics.Outcome(truth, np.column_stack([first, 1 - first]))
        table = probabilities(said, tables.PREDICTIONS)
        tables.write(table, folder / "predictions" / f"{model}.csv", tables.PREDICTIONS)
        for kind, frame in curves.tables(pd.Series(list(LABELS)), outcomes[model], CLASSES):
            tables.write(frame, folder / "plots" / model / kind.name, kind)
    recorder = np.where(np.arange(len(truth)) % 4 == 0, 0.4, 0.6)  # what the measures say of the first class
    nuisance = metrics.Outcome(truth, np.column_stack([recorder, 1 - recorder]))
    measured = evaluate.evaluate(outcomes, nuisance, groups, folds, p, classes=CLASSES)
    files.write_json(measured, folder / "metrics.json")
    heard = {model: dict.fromkeys(CONDITIONS, said) | {LOUD: deafened(said)} for model, said in models.items()}
    shifts, summaries = shifted(heard)
    tables.write(shifts, folder / "shifts.csv", tables.SHIFTS)
    files.write_json(summaries, folder / "robustness.json")


def deafened(said: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of a model that says the other class of two clips in three."""
    return {clip: p if int(clip[1:]) % 3 == 0 else 1 - p for clip, p in said.items()}


def shifted(said: Mapping[str, Mapping[Condition, Mapping[str, float]]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what stage `shift` writes of models that say `harmful` so surely of clips under each condition."""
    truth = np.array([CLASSES.index(label) for label in LABELS.values()])
    groups, shifts, summaries = pd.factorize(pd.Series(GROUP))[0], [], {}
    for model, conditions in said.items():
        first = {condition: np.array([of[clip] for clip in LABELS]) for condition, of in conditions.items()}
        outcomes = {one: metrics.Outcome(truth, np.column_stack([p, 1 - p])) for one, p in first.items()}
        found = robustness.robustness(outcomes, groups, 200, seed=0)
        of_model = robustness.rows(found, len(truth))
        shifts.append(pd.DataFrame(of_model).assign(model=model))
        summaries[model] = robustness.summary(of_model, [], found, classes=len(CLASSES))
    return pd.concat(shifts), summaries


def _write_training(folder: Path, model: str, loss: np.ndarray) -> None:
    recipe = yaml.safe_load(rows.PARAMS.read_text())[model]
    for turn in ("fold_0", "fold_1"):
        file = folder / turn / "plots/metrics/train_loss.tsv"
        file.parent.mkdir(parents=True)
        pd.DataFrame({"step": range(len(loss)), "train_loss": loss}).to_csv(file, sep="\t", index=False)
        (folder / turn / "params.yaml").write_text(yaml.safe_dump(recipe))


MODELS = {"lite_cnn": right(), "wav2vec2": dict.fromkeys(LABELS, 0.6)}


def found(folder: Path, models: Mapping[str, Mapping[str, float]] = MODELS) -> findings.Findings:
    """Return the findings of a healthy model and of one that says `harmful` of every clip, or of others."""
    paths = write(folder, models, {model: {"lite_cnn": FALLING, "wav2vec2": FLAT}[model] for model in models})
    return findings.read(paths, CLASSES)
