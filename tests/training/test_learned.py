import dataclasses

import numpy as np
import pandas as pd
import pytest
import rows
import torch
import yaml

from curation import tables
from training import augment, learned, losses
from training.findings import Recipe, Training

EPOCHS = np.arange(50)
GUESS, FLOOR = float(np.log(2)), 0.15
RECIPE = Recipe.model_validate(yaml.safe_load(rows.PARAMS.read_text())["wav2vec2"])
NOISE = 0.03 * np.random.default_rng(0).normal(size=(2, 50))
EVEN = {"a": 3, "b": 3}


def listed(draws: dict[str, int], *, weight: float = 1.0) -> pd.DataFrame:
    """Return a training list that draws each class so often; the last class has a weight."""
    last = list(draws)[-1]
    return rows.table(
        tables.TRAIN,
        *(
            {"clip_id": label, "label": label, "times": n, "weight": weight if label == last else 1.0}
            for label, n in draws.items()
        ),
    )


def trained(curve: np.ndarray, **recipe: object) -> Training:
    return Training((curve + NOISE[0], curve + NOISE[1]), RECIPE.model_copy(update=recipe))


CURVES = {
    "never began": np.full(50, GUESS),
    "thrown off": GUESS + np.where(EPOCHS % 7 == 3, 0.6, 0) * (EPOCHS < 30),
    "diverged": np.where(EPOCHS < 30, 0.3, 0.3 + 0.02 * (EPOCHS - 30)),
    "still falling": GUESS - 0.007 * EPOCHS,
    "learned": 0.2 + 0.5 * np.exp(-EPOCHS / 8),
    "learned little": 0.6 + 0.1 * np.exp(-EPOCHS / 8),
}


@pytest.mark.parametrize("how", CURVES)
def test_a_curve_of_each_shape_is_called_what_it_is(how: str) -> None:
    assert learned.judge(trained(CURVES[how]).losses, GUESS, FLOOR) == how


def test_a_loss_above_guessing_has_diverged_even_if_it_always_was() -> None:
    assert learned.judge(trained(np.full(50, 1.5)).losses, GUESS, FLOOR) == "diverged"


@pytest.mark.parametrize(
    ("how", "verdict", "command"),
    [
        ("never began", "supported", "`dvc exp run -S m.peak_rate=0.003`"),
        ("thrown off", "supported", "`dvc exp run -S m.peak_rate=0.0001`"),
        ("diverged", "supported", "`dvc exp run -S m.peak_rate=0.000333`"),
        ("still falling", "supported", "`dvc exp run -S m.epochs=32 -S m.min_steps=320`"),
        ("learned", "cleared", ""),
        ("learned little", "not known", "`dvc exp run -S m.epochs=32 -S m.min_steps=320`"),
    ],
)
def test_each_shape_has_its_verdict_and_an_experiment_to_try(how: str, verdict: str, command: str) -> None:
    cause = learned.rate_and_epochs("m", trained(CURVES[how]), listed(EVEN))
    assert (cause.verdict, cause.minutes) == (verdict, 0)
    assert command in cause.advice
    assert bool(command) == bool(cause.advice)


def test_weights_that_never_moved_are_no_divergence() -> None:
    assert learned.judge(trained(np.full(50, 1.05 * GUESS)).losses, GUESS, FLOOR) == "never began"


def test_too_few_epochs_have_no_course() -> None:
    training = Training((np.array([0.7, 0.6]), np.array([0.7, 0.6, 0.5])), RECIPE)
    assert learned.rate_and_epochs("m", training, listed(EVEN)).verdict == "not known"
    assert learned.course(training.losses) == pytest.approx([0.675, 0.55])


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("draws", [{"a": 3, "b": 3}, {"a": 9, "b": 3}, {"a": 4, "b": 2, "c": 6}])
def test_guessing_is_the_loss_of_a_model_that_says_the_shares_of_the_classes(
    gamma: float, draws: dict[str, int]
) -> None:
    train = listed(draws, weight=0.5)
    weight = torch.tensor([n * (0.5 if label == list(draws)[-1] else 1.0) for label, n in draws.items()])
    column = torch.repeat_interleave(torch.arange(len(draws)), torch.tensor(list(draws.values())))
    targets, weights = torch.eye(len(draws))[column], torch.ones(len(column))
    weights[column == len(draws) - 1] = 0.5
    logits = (weight / weight.sum()).log().expand(len(column), -1)
    expected = losses.focal(logits, targets, weights, gamma=gamma).item()
    loss = RECIPE.loss.model_copy(update={"kind": "focal" if gamma else "cross_entropy", "gamma": 2.0})
    recipe = RECIPE.model_copy(update={"loss": loss})
    assert learned.guessing(train, recipe) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("sampler", "shares"), [("listed", [0.75, 0.25]), ("once", [0.5, 0.5]), ("balanced", [0.5, 0.5])]
)
def test_guessing_goes_by_what_the_sampler_draws(sampler: str, shares: list[float]) -> None:
    recipe = RECIPE.model_copy(update={"sampler": sampler})
    entropy = -(np.array(shares) @ np.log(shares))
    assert learned.guessing(listed({"a": 9, "b": 3}), recipe) == pytest.approx(entropy)


def test_what_remains_with_mixup_when_all_is_known_is_the_entropy_of_the_mixtures() -> None:
    rng = np.random.default_rng(0)
    targets = torch.eye(2)[torch.arange(20000) % 2]
    _, mixed, weights = augment.mixup(torch.zeros(20000, 1), targets, torch.ones(20000), alpha=0.3, rng=rng)
    expected = losses.cross_entropy(mixed.clamp_min(1e-9).log(), mixed, weights).item()
    assert learned.fitting(listed(EVEN), RECIPE) == pytest.approx(expected, rel=0.03)
    assert learned.fitting(listed(EVEN), RECIPE.model_copy(update={"mixup_alpha": 0})) == 0


def test_frozen_layers_are_cleared_where_none_is_or_the_clips_are_learned_all_the_same() -> None:
    scratch, head = trained(CURVES["never began"]), {"weights": "WAV2VEC2_BASE", "unfrozen_layers": 0}
    assert learned.frozen_layers("m", scratch, listed(EVEN)).verdict == "cleared"
    assert learned.frozen_layers("m", trained(CURVES["learned"], **head), listed(EVEN)).verdict == "cleared"
    stuck = learned.frozen_layers("m", trained(CURVES["learned little"], **head), listed(EVEN))
    assert (stuck.verdict, stuck.advice) == ("not known", "Try `dvc exp run -S m.unfrozen_layers=2`.")
    assert stuck.figure.startswith("0 transformer layers learn, the others are as in `WAV2VEC2_BASE`.")


def test_rounds_of_different_length_are_compared_part_by_part() -> None:
    two = dataclasses.replace(trained(CURVES["learned"]), losses=(np.linspace(1, 0, 50), np.linspace(1, 0, 25)))
    assert learned.course(two.losses) == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1], abs=0.02)
