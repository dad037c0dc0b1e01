"""How a model is trained: what the sections of all models share, and the steps that follow from it."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from curation import params
from training import losses, sampling
from training.rounds import Round


class Recipe(params.Section):
    """How a model is trained: the keys that the sections `lite_cnn` and `wav2vec2` of params.yaml share."""

    recipe: str | None  # one of section `recipes`, which changes some of these keys
    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)  # passes over the training list, at least
    min_steps: int = Field(ge=1)  # updates of the weights, at least: a small set gets more epochs
    patience_epochs: int | None = Field(
        ge=1
    )  # stop after so many without a better one; None: there are no validation clips
    batch_clips: int = Field(ge=2)
    peak_rate: float = Field(gt=0)  # learning rate at the end of the warm-up
    warmup_share: float = Field(gt=0, lt=1)  # of all steps
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)  # longest gradient
    loss: losses.Params
    sampler: sampling.Sampler  # how the training list becomes the batches of an epoch
    prior_bias: bool  # whether the first prediction is the classes' shares of the clips
    mixup_alpha: float = Field(ge=0)  # of the Beta distribution of the shares; 0: no mixup
    checkpoint_s: float = Field(ge=0)  # time between two saves of the state; 0: after every epoch
    precision: Literal["auto", "32-true", "bf16-mixed"]  # auto: bf16-mixed where a GPU has it

    @model_validator(mode="after")
    def _goes_by_the_shares_once(self) -> Self:
        by = {"class_beta": self.loss.class_beta, "prior_tau": self.loss.prior_tau, "prior_bias": self.prior_bias}
        used = [f"`{name}`" for name, value in by.items() if value]
        if used and self.sampler != "once":
            raise ValueError(f"{used[0]} goes by how many clips a class has, not draws: it needs `sampler: once`")
        if len(used) > 1:
            raise ValueError(f"{' and '.join(used)} each make up for the shares of the classes: choose one")
        return self


def learning_rate(step: int, steps: int, p: Recipe) -> float:
    """Return the rate of a step: a straight line up to the peak, half a cosine down to nothing."""
    warmup = p.warmup_share * steps
    if step < warmup:
        return p.peak_rate * (step + 1) / (warmup + 1)
    return p.peak_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def batches(turn: Round, p: Recipe) -> int:
    """Return the number of batches, all within one clip of the same size, in an epoch."""
    return -(-len(turn.draws) // p.batch_clips)


def epochs(turn: Round, p: Recipe) -> int:
    """Return the number of epochs: `epochs`, or as many as `min_steps` take."""
    return max(p.epochs, -(-p.min_steps // batches(turn, p)))
