"""Whether a training went as it should: learning rate, epochs and frozen layers, judged by the training curves."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import digamma

from curation.markdown import code
from training import losses
from training.cause import Cause, Verdict
from training.findings import Recipe, Training

Floats: TypeAlias = NDArray[np.float64]
Losses: TypeAlias = tuple[Floats, ...]  # of each epoch, an array a round
Course: TypeAlias = Literal["diverged", "thrown off", "never began", "still falling", "learned", "learned little"]

PARTS = 5  # of a curve, compared by their means
ABOVE = 1.2  # times what guessing by the shares of the classes gives; fresh weights stay below
RISE = 0.2  # of that loss, from the lowest part of the curve to the last
BEGUN = 0.05  # of the way from guessing to knowing all training clips
LATE = 0.22  # of the whole fall, in the last part: a straight line has 0.25, a finished cosine schedule 0.1 to 0.2
LEARNED = 1 / 3  # of that way; augmentation and dropout hold good trainings at a half

MEANING: Mapping[Course, tuple[Verdict, str, Mapping[str, float]]] = {  # and what to multiply in the recipe
    "diverged": ("supported", "It rose, or stayed above guessing: the rate is too high.", {"peak_rate": 1 / 3}),
    "thrown off": ("supported", "It jumped about above guessing: the rate is too high.", {"peak_rate": 0.1}),
    "never began": ("supported", "Nothing was learned.", {"peak_rate": 3}),
    "still falling": ("supported", "It was still falling when the training ended.", {"epochs": 2, "min_steps": 2}),
    "learned": ("cleared", "It fell well below guessing and has settled.", {}),
    "learned little": ("not known", "It ended not far below guessing.", {"epochs": 2, "min_steps": 2}),
}


def rate_and_epochs(model: str, training: Training, train: pd.DataFrame) -> Cause:
    """Return whether the learning rate or too few epochs hold the model back.

    Args:
        model: its name.
        training: its curves and recipe.
        train: `tables.TRAIN`.
    """
    name = f"learning rate and epochs of {code(model)}"
    if min(map(len, training.losses)) < PARTS:
        epochs = min(map(len, training.losses))
        return Cause(name, "not known", f"{epochs} epochs are too few to see a course.", "", minutes=0)
    guess, floor = guessing(train, training.recipe), fitting(train, training.recipe)
    parts = course(training.losses)
    figure = (
        f"The training loss went from {parts[0]:.2f} to {parts[-1]:.2f}; guessing by the shares of the classes gives "
        f"{guess:.2f}, every training clip known by heart {floor:.2f}."
    )
    verdict, words, factors = MEANING[judge(training.losses, guess, floor)]
    advice = f"Try {_experiment(model, training.recipe, factors)}." if factors else ""
    return Cause(name, verdict, f"{figure} {words}", advice, minutes=0)


def frozen_layers(model: str, training: Training, train: pd.DataFrame) -> Cause:
    """Return whether layers that do not learn hold the model back."""
    name, recipe = f"frozen layers of {code(model)}", training.recipe
    if recipe.unfrozen_layers is None or recipe.unfrozen_layers == "all":
        return Cause(name, "cleared", f"All layers learn, from {code(recipe.weights)}.", "")
    figure = f"{recipe.unfrozen_layers} transformer layers learn, the others are as in {code(recipe.weights)}."
    if judge(training.losses, guessing(train, recipe), fitting(train, recipe)) == "learned":
        return Cause(name, "cleared", f"{figure} The training loss fell well below guessing all the same.", "")
    advice = f"Try {code(f'dvc exp run -S {model}.unfrozen_layers={recipe.unfrozen_layers + 2}')}."
    return Cause(name, "not known", f"{figure} The training loss did not fall far.", advice, minutes=0)


def course(losses: Losses) -> Floats:
    """Return the mean loss in each of up to `PARTS` parts of the training, shape (parts,), mean of the rounds."""
    count = min(PARTS, *map(len, losses))
    parts: Floats = np.mean([[part.mean() for part in np.array_split(one, count)] for one in losses], axis=0)
    return parts


def judge(losses: Losses, guess: float, floor: float) -> Course:
    """Return how a training went, by the course of its loss between `guess` and `floor`.

    Where nothing was learned a rate that is too high shows by epochs far above guessing, one that is too low by none.
    """
    parts, highest = course(losses), np.median([one.max() for one in losses])
    end, way = parts[-1], (guess - parts[-1]) / (guess - floor)
    if end > ABOVE * guess or end - parts.min() > RISE * guess:
        return "diverged"
    if way < BEGUN:
        return "thrown off" if highest > ABOVE * guess else "never began"
    if parts[-2] - end > LATE * (parts[0] - end):
        return "still falling"
    return "learned" if way >= LEARNED else "learned little"


def guessing(train: pd.DataFrame, recipe: Recipe) -> float:
    """Return the loss of who knows the shares of the classes alone: of cross-entropy, the entropy of the shares."""
    weight, counts = _drawn(train, recipe)
    logits = _shares(train, recipe)
    each = [
        losses.loss(logits[None], label[None], torch.ones(1), recipe.loss, counts=counts)
        for label in torch.eye(len(counts))
    ]
    return float(weight @ torch.stack(each) / counts.sum())


def unevenness(train: pd.DataFrame, recipe: Recipe) -> float:
    """Return how many times as likely one class is as another to who knows nothing else: 1 where training is even.

    Repetitions, weights, the sampler, and in the loss the weights of the classes and what it takes off their logits
    are counted in.
    """
    logits = _shares(train, recipe)
    return float((logits.max() - logits.min()).exp())


def _shares(train: pd.DataFrame, recipe: Recipe) -> torch.Tensor:
    """Return the logit of each class that has the lowest loss where nothing but the shares of the classes is known."""
    weight, counts = _drawn(train, recipe)
    known = weight * losses.class_weights(counts, beta=recipe.loss.class_beta)
    return (known / known.sum()).log() - recipe.loss.prior_tau * (counts / counts.sum()).log()


def fitting(train: pd.DataFrame, recipe: Recipe) -> float:
    """Return the loss of who knows every training clip: 0, or with mixup the mean entropy of the mixtures' shares."""
    alpha, loss = recipe.mixup_alpha, recipe.loss
    plain = loss.kind == "cross_entropy" and loss.smoothing == loss.class_beta == 0
    if alpha == 0 or not plain:  # where the lowest loss of a mixture has no closed form
        return 0.0
    weight, counts = _drawn(train, recipe)
    share = weight / weight.sum()
    entropy = digamma(2 * alpha + 1) - digamma(alpha + 1)  # mean of that of a share from Beta(alpha, alpha)
    return float(entropy * (1 - (share**2).sum()) * weight.sum() / counts.sum())


def _drawn(train: pd.DataFrame, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by class the weight with which it is drawn, and the number of draws."""
    drawn = train[train["times"] > 0]
    if recipe.sampler == "once":
        drawn = drawn.assign(times=1)
    classes = drawn.assign(weight=drawn["times"] * drawn["weight"]).groupby("label")[["weight", "times"]].sum()
    weight, counts = torch.tensor(classes.to_numpy(np.float32).T)
    if recipe.sampler in ("listed", "once"):
        return weight, counts
    even = torch.full_like(counts, float(counts.mean()))
    return weight / counts * even, even


def _experiment(model: str, recipe: Recipe, factors: Mapping[str, float]) -> str:
    """Return the command that tries the recipe with some numbers multiplied."""
    settings = " ".join(f"-S {model}.{key}={getattr(recipe, key) * factor:.3g}" for key, factor in factors.items())
    return code(f"dvc exp run {settings}")
