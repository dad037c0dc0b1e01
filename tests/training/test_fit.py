import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tones
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from training import fit, lite_cnn, metrics_log, optimizers, recipes
from training.clips import Clips
from training.recipe import Recipe, learning_rate
from training.rounds import Round

CLASSES = torch.arange(12) % 2
CLIPS = Clips(
    x=torch.nn.functional.one_hot(CLASSES, 4).float()
    + 0.1 * torch.randn(12, 4, generator=torch.Generator().manual_seed(0)),
    lengths=torch.full((12,), 4),
    targets=torch.eye(2)[CLASSES],
    weights=torch.ones(12),
)
TURN = Round(fold=0, draws=torch.arange(6), valid=torch.arange(6, 10), held_out=torch.arange(10, 12))
OPTIMIZER = {"checkpoint_s": 0, "peak_rate": 0.1, "min_steps": 1, "epochs": 5, "mixup_alpha": 0.0}


def recipe(**changes: object) -> Recipe:
    section = tones.section("lite_cnn", **OPTIMIZER | changes)
    return Recipe.model_validate({key: section[key] for key in Recipe.model_fields})


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


class Watch:
    """Vary nothing, note what is drawn, and stop like a kill at batch `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.seen: list[Tensor] = []
        self.last = last

    def __call__(self, x: Tensor, lengths: Tensor, rng: np.random.Generator) -> Tensor:
        if len(self.seen) == self.last:
            raise KeyboardInterrupt
        self.seen.append(x)
        return x


def trained(
    folder: Path, p: Recipe, *, vary: fit.Vary | None = None, clips: Clips = CLIPS, **changes: Any
) -> nn.Module:
    turn = Round(**vars(TURN) | changes)
    checkpoint = folder / "checkpoint.pt"
    return fit.fit(net, clips, turn, p, vary=vary or Watch(), live=folder / "live", checkpoint=checkpoint, key="k")


def history(folder: Path) -> list[dict[str, float]]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["history"]


def test_a_model_learns_what_separates_the_classes(tmp_path: Path) -> None:
    p = recipe(epochs=20)
    model = trained(tmp_path, p)
    assert fit.predict(model, CLIPS, TURN.held_out, p).argmax(dim=1).tolist() == [0, 1]


def test_an_epoch_draws_each_clip_as_often_as_listed_and_no_other(tmp_path: Path) -> None:
    watch = Watch()
    trained(tmp_path, recipe(epochs=1, batch_clips=2), vary=watch, draws=torch.tensor([0, 0, 0, 1, 5]))
    drawn = [int((CLIPS.x == row).all(dim=1).nonzero()) for batch in watch.seen for row in batch]
    assert sorted(drawn) == [0, 0, 0, 1, 5]
    assert [len(batch) for batch in watch.seen] == [2, 2, 1]


def test_training_hears_every_version_of_its_clips_and_prediction_the_first(tmp_path: Path) -> None:
    two = Clips(**vars(CLIPS) | {"x": torch.cat([CLIPS.x, CLIPS.x + 100]), "lengths": CLIPS.lengths.repeat(2)})
    watch, p = Watch(), recipe(epochs=20)
    model = trained(tmp_path, p, vary=watch, clips=two)
    drawn = {int((two.x == row).all(dim=1).nonzero()) for batch in watch.seen for row in batch}
    assert drawn == {*range(6), *range(12, 18)}
    assert torch.equal(fit.predict(model, two, TURN.held_out, p), fit.predict(model, CLIPS, TURN.held_out, p))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6])
def test_a_training_killed_in_any_epoch_ends_as_one_that_was_not(tmp_path: Path, batch: int) -> None:
    p = recipe(epochs=3, batch_clips=3, mixup_alpha=0.3)
    whole = trained(tmp_path / "whole", p)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", p, vary=Watch(last=batch - 1))
    rest = Watch()
    resumed = trained(tmp_path / "killed", p, vary=rest)
    assert len(rest.seen) == 6 - 2 * ((batch - 1) // 2)
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    rows = torch.arange(12)
    assert torch.equal(fit.predict(resumed, CLIPS, rows, p), fit.predict(whole, CLIPS, rows, p))
    for file in ("plots/metrics/valid_loss.tsv", "metrics.json", "params.yaml"):
        assert (tmp_path / "killed/live" / file).read_bytes() == (tmp_path / "whole/live" / file).read_bytes()


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    one, two = (trained(tmp_path / str(seed), recipe(seed=seed)) for seed in (0, 1))
    assert not torch.equal(*(fit.predict(model, CLIPS, torch.arange(12), recipe()) for model in (one, two)))


@pytest.mark.parametrize(
    ("plain", "changes"),
    [
        ({}, {"peak_rate": 0.05}),
        ({}, {"warmup_share": 0.6}),
        ({}, {"weight_decay": 1.0}),
        ({}, {"clip_norm": 1e-9}),
        ({}, {"mixup_alpha": 1.0}),
        ({}, {"sampler": "once"}),
        ({}, {"sampler": "weighted"}),
        ({}, {"sampler": "balanced"}),
        ({}, {"batch_clips": 2}),
        ({}, {"epochs": 4}),
        ({}, {"min_steps": 8}),
        ({}, {"precision": "bf16-mixed"}),
        ({}, {"loss": {"kind": "focal"}}),
        ({"loss": {"kind": "focal"}}, {"loss": {"gamma": 4.0}}),
        ({}, {"loss": {"kind": "generalised_cross_entropy"}}),
        ({"loss": {"kind": "generalised_cross_entropy"}}, {"loss": {"q": 0.1}}),
        ({}, {"loss": {"smoothing": 0.1}}),
        ({"sampler": "once"}, {"prior_bias": True}),
        ({"sampler": "once"}, {"loss": {"class_beta": 0.9}}),
        ({"sampler": "once"}, {"loss": {"prior_tau": 1.0}}),
    ],
    ids=str,
)
def test_every_key_of_a_recipe_changes_the_training(
    tmp_path: Path, plain: dict[str, Any], changes: dict[str, Any]
) -> None:
    section = recipes.changed(recipe(epochs=3, batch_clips=4).model_dump(), plain)
    one, other = (Recipe.model_validate(recipes.changed(section, change)) for change in ({}, changes))
    uneven, rows = torch.tensor([0, 0, 2, 4, 6, 1, 3]), torch.arange(12)
    found = [
        fit.predict(trained(tmp_path / name, p, draws=uneven, valid=torch.arange(0)), CLIPS, rows, one)
        for name, p in {"one": one, "again": one, "other": other}.items()
    ]
    assert torch.equal(found[0], found[1])
    assert (found[0] - found[2]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prior_bias": True}, "`prior_bias` goes by how many clips a class has.*needs `sampler: once`"),
        ({"sampler": "balanced", "loss": {"prior_tau": 1.0}}, "`prior_tau` goes by"),
        ({"loss": {"class_beta": 0.9}}, "`class_beta` goes by"),
        ({"sampler": "once", "prior_bias": True, "loss": {"class_beta": 0.9}}, "`class_beta` and `prior_bias`"),
    ],
)
def test_a_setting_that_would_do_nothing_or_do_it_twice_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(recipes.changed(recipe().model_dump(), changes))


def test_each_clip_once_however_often_it_is_listed(tmp_path: Path) -> None:
    watch = Watch()
    trained(tmp_path, recipe(epochs=1, sampler="once"), vary=watch, draws=torch.tensor([0, 0, 0, 1, 5, 5]))
    drawn = [int((CLIPS.x == row).all(dim=1).nonzero()) for batch in watch.seen for row in batch]
    assert sorted(drawn) == [0, 1, 5]


class Graded(nn.Sequential):
    """A model of which the first layer stays as it is, the last learns in full."""

    def parameter_groups(self) -> optimizers.Groups:
        return [
            {"params": self[0].parameters(), "rate_share": 0.0},
            {"params": self[3].parameters(), "rate_share": 1.0},
        ]


def test_a_part_learns_at_its_share_of_the_rate(tmp_path: Path) -> None:
    model = Graded(*net())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit.fit(lambda: model, CLIPS, TURN, recipe(), vary=Watch(), live=tmp_path, checkpoint=tmp_path / "c.pt", key="k")
    same = {name: torch.equal(value, before[name]) for name, value in model.state_dict().items()}
    assert same == {"0.weight": True, "0.bias": True, "3.weight": False, "3.bias": False}


def test_the_weight_of_a_clip_enters_its_loss(tmp_path: Path) -> None:
    frozen = recipe(epochs=1, peak_rate=1e-12)
    for weight in (1.0, 3.0):
        clips = Clips(**vars(CLIPS) | {"weights": torch.full((12,), weight)})
        trained(tmp_path / str(weight), frozen, clips=clips)
    one, three = (history(tmp_path / str(weight))[0]["train_loss"] for weight in (1.0, 3.0))
    assert three == pytest.approx(3 * one)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    p = recipe(epochs=6, peak_rate=0.5)
    misleading = torch.cat([CLIPS.targets[:6].flip(1), CLIPS.targets[6:]])  # the more is learned, the worse
    clips = Clips(**vars(CLIPS) | {"targets": misleading})
    model = trained(tmp_path, p, clips=clips)
    rank = [(row["valid_balanced_accuracy"], -row["valid_loss"]) for row in history(tmp_path)]
    assert max(rank) > rank[-1]
    kept = fit.validate(fit.predict(model, clips, TURN.valid, p), clips, TURN.valid)
    assert (kept["valid_balanced_accuracy"], -kept["valid_loss"]) == max(rank)


def test_without_validation_clips_the_last_epoch_is_kept(tmp_path: Path) -> None:
    p = recipe(epochs=6)
    model = trained(tmp_path, p, valid=torch.arange(0))
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["model"]
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())
    assert [set(row) for row in history(tmp_path)] == [{"train_loss"}] * 6


def test_training_stops_when_patience_ends(tmp_path: Path) -> None:
    trained(tmp_path, recipe(epochs=50, peak_rate=1e-12, patience_epochs=3))
    assert len(history(tmp_path)) < 10


def test_a_small_set_gets_more_epochs(tmp_path: Path) -> None:
    trained(tmp_path, recipe(epochs=1, min_steps=7, batch_clips=3))  # two batches an epoch
    assert len(history(tmp_path)) == 4


def test_a_loss_that_is_not_finite_says_where_and_what_to_do(tmp_path: Path) -> None:
    clips = Clips(**vars(CLIPS) | {"x": torch.full((12, 4), torch.inf)})
    with pytest.raises(click.ClickException, match=r"round fold_0 is nan in epoch 0, .*Lower `peak_rate`"):
        trained(tmp_path, recipe(), clips=clips)


class Cliff(nn.Linear):
    """A model whose loss is finite and whose gradient is not."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (self.bias - self.bias.detach()).abs().sqrt()


def test_a_last_step_that_spoils_the_weights_says_so(tmp_path: Path) -> None:
    p = recipe(epochs=1)
    turn = Round(**vars(TURN) | {"valid": torch.arange(0)})  # nothing that would see it
    with pytest.raises(click.ClickException, match=r"weights of round fold_0 are not finite .*Lower `peak_rate`"):
        fit.fit(lambda: Cliff(4, 2), CLIPS, turn, p, vary=Watch(), live=tmp_path, checkpoint=tmp_path / "c.pt", key="k")


def test_balanced_accuracy_counts_each_class_the_same() -> None:
    probabilities = torch.tensor([[0.9, 0.1]] * 4)
    found = fit.validate(probabilities, CLIPS, torch.tensor([0, 2, 4, 1]))
    assert found["valid_balanced_accuracy"] == 0.5


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    p = recipe(peak_rate=1.0, warmup_share=0.5)
    rates = [learning_rate(step, 100, p) for step in range(100)]
    assert rates[:51] == sorted(rates[:51])
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert (rates[0] < 0.02, rates[50], rates[99] < 0.001) == (True, 1.0, True)


def test_predictions_do_not_depend_on_the_company(tmp_path: Path) -> None:
    p = recipe()
    model = trained(tmp_path, p)
    together = fit.predict(model, CLIPS, torch.arange(12), p)
    alone = torch.cat([fit.predict(model, CLIPS, torch.tensor([row]), p) for row in range(12)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together.sum(dim=1), torch.ones(12))


def test_a_repository_without_a_commit_gets_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    with pytest.raises(click.ClickException, match="`git commit` first"):
        trained(tmp_path, recipe())


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten(), nn.Linear(8, 3)),
        lite_cnn.LiteCNN(64, [4, 8], 3, dropout=0.5),
    ],
    ids=["one layer", "two looks"],
)
def test_a_model_that_starts_at_the_prior_predicts_the_shares_of_the_classes(model: nn.Module) -> None:
    fit.start_at_prior(model, torch.tensor([6.0, 3.0, 1.0]))
    x = 20 * torch.randn(5, 64, 64)
    torch.testing.assert_close(model(x).softmax(dim=1), torch.tensor([[0.6, 0.3, 0.1]] * 5))
    nn.functional.cross_entropy(model(x), torch.arange(5) % 3).backward()
    heads = [weight.grad.abs().max() for weight in model.parameters() if len(weight) == 3 and weight.ndim == 2]
    assert min(heads) > 0  # it can leave


def test_the_recipe_chooses_the_batches(tmp_path: Path) -> None:
    draws = torch.tensor([0, 2, 4, 6, 8, 10, 1, 3])  # six of the first class, two of the other
    shares = {}
    for sampler in ("listed", "balanced"):
        watch = Watch()
        p = recipe(sampler=sampler, epochs=4, batch_clips=4)
        trained(tmp_path / sampler, p, vary=watch, draws=draws, valid=torch.tensor([], dtype=torch.int64))
        second = [(x[:, 1] > 0.5).float().mean().item() for x in watch.seen]
        shares[sampler] = (np.mean(second), np.ptp(second))
    assert shares["balanced"] == (0.5, 0.0)
    assert shares["listed"][0] == pytest.approx(0.25)


def test_a_disk_that_fills_while_metrics_are_logged_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_metric(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(metrics_log.Live, "log_metric", log_metric)
    with pytest.raises(click.ClickException, match=r"live: cannot be written \(No space left on device\)"):
        trained(tmp_path, recipe())


def test_mixed_precision_learns_the_same_less_exactly(tmp_path: Path) -> None:
    for precision in ("32-true", "bf16-mixed"):
        trained(tmp_path / precision, recipe(epochs=20, precision=precision))
    exact, mixed = ([row["train_loss"] for row in history(tmp_path / name)] for name in ("32-true", "bf16-mixed"))
    assert exact != mixed
    assert mixed == pytest.approx(exact, abs=0.05)
    assert mixed[-1] < mixed[0] / 2
