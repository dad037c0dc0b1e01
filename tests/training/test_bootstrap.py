import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from training import bootstrap, metrics

CLASSES = ("harmful", "safe")


def mean_of(values: np.ndarray) -> object:
    return lambda weights: {"mean": (weights @ values) / weights.sum(axis=1)}


def draw(
    rng: np.random.Generator, *, groups: int, size: int, safe_share: float = 0.4, skill: float = 0.8
) -> tuple[metrics.Outcome, np.ndarray]:
    """Clips of one class a group, whose scores share most of their luck."""
    group = np.repeat(np.arange(groups), size)
    truth = np.r_[0, 1, (rng.random(groups - 2) < safe_share)].astype(int)[group]
    luck = rng.normal(0, 0.7**0.5, groups)[group] + rng.normal(0, 0.3**0.5, len(group))
    safe = 1 / (1 + np.exp(-2 * (skill * (2 * truth - 1) + luck)))
    return metrics.Outcome(truth, np.stack([1 - safe, safe], axis=1)), group


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap.estimate(mean_of(values), np.arange(400), 4000, seed=0)["mean"]
    error = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_the_interval_of_a_biased_and_skewed_figure_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=60)

    def variance(weights: metrics.Floats) -> dict[str, metrics.Floats]:
        count = weights.sum(axis=1)
        return {"variance": weights @ values**2 / count - (weights @ values / count) ** 2}

    found = bootstrap.estimate(variance, np.arange(60), 40_000, seed=0)["variance"]
    theirs = stats.bootstrap((values,), np.var, n_resamples=40_000, method="BCa", rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(theirs), rel=0.05)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_copies_within_groups_widen_the_interval_to_that_of_the_groups(seed: int) -> None:
    once, _ = draw(np.random.default_rng(seed), groups=40, size=1)
    copies = metrics.Outcome(once.truth.repeat(4), once.probabilities.repeat(4, axis=0))

    def width(outcome: metrics.Outcome, groups: np.ndarray) -> float:
        found = bootstrap.estimate(lambda w: metrics.overall(outcome, w), groups, 300, seed=0)["balanced_accuracy",]
        return found.high - found.low

    by_group = width(copies, np.arange(40).repeat(4))
    assert by_group == pytest.approx(width(once, np.arange(40)))
    assert by_group > 1.4 * width(copies, np.arange(160))


def test_a_constant_figure_has_an_interval_without_width() -> None:
    outcome = metrics.majority(np.array([0] * 6 + [1] * 4))
    found = bootstrap.estimate(lambda w: metrics.overall(outcome, w), np.arange(10), 200, seed=0)
    assert found["balanced_accuracy",] == bootstrap.Estimate(0.5, 0.5, 0.5)
    assert found["accuracy",].low < 0.6 < found["accuracy",].high


def test_resamples_without_the_class_do_not_count() -> None:
    # safe is in one group of four: every resample that has it finds it
    outcome = metrics.Outcome(np.array([0, 0, 0, 1]), np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]))
    found = bootstrap.estimate(lambda w: metrics.by_class(outcome, w, CLASSES), np.arange(4), 500, seed=0)
    assert found["recall", "safe"] == bootstrap.Estimate(1.0, 1.0, 1.0)


def test_a_figure_that_most_resamples_leave_undefined_has_no_interval() -> None:
    def figures(weights: metrics.Floats) -> dict[str, metrics.Floats]:
        return {"rare": np.where(weights.min(axis=1) > 0, 1.0, np.nan)}

    found = bootstrap.estimate(figures, np.arange(8), 200, seed=0)["rare"]
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_neither_chunks_nor_the_order_of_clips_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, groups = draw(np.random.default_rng(3), groups=30, size=3)
    whole = bootstrap.estimate(lambda w: metrics.overall(outcome, w), groups, 200, seed=0)
    order = np.random.default_rng(0).permutation(90)
    shuffled = metrics.Outcome(outcome.truth[order], outcome.probabilities[order])
    monkeypatch.setattr(bootstrap, "CHUNK", 7 * 90)
    in_chunks = bootstrap.estimate(lambda w: metrics.overall(shuffled, w), groups[order], 200, seed=0)
    for key, estimate in whole.items():
        assert vars(in_chunks[key]) == pytest.approx(vars(estimate)), key


def test_another_seed_gives_another_interval_and_the_same_seed_the_same() -> None:
    values = np.random.default_rng(0).normal(size=50)
    first, again, other = (bootstrap.estimate(mean_of(values), np.arange(50), 200, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_blocks_of_groups_stand_in_for_single_ones_in_the_jackknife(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).exponential(size=300)
    monkeypatch.setattr(bootstrap, "BLOCKS", 300)
    single = bootstrap.estimate(mean_of(values), np.arange(300), 2000, seed=0)["mean"]
    monkeypatch.setattr(bootstrap, "BLOCKS", 100)
    blocks = bootstrap.estimate(mean_of(values), np.arange(300), 2000, seed=0)["mean"]
    assert (blocks.low, blocks.high) == pytest.approx((single.low, single.high), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "size", "safe_share", "skill", "least"),
    [
        (30, 3, 0.4, 0.8, 0.9),
        (60, 2, 0.4, 0.8, 0.9),
        (100, 1, 0.4, 0.8, 0.9),
        (80, 2, 0.15, 1.2, 0.8),  # a good model and a dozen groups of the rare class: few errors to learn from
    ],
)
def test_nine_of_ten_intervals_hold_the_truth(
    groups: int, size: int, safe_share: float, skill: float, least: float
) -> None:
    rng = np.random.default_rng(0)
    world = {"safe_share": safe_share, "skill": skill}
    truth = metrics.overall(draw(rng, groups=200_000, size=1, **world)[0], np.ones((1, 200_000)))
    held = dict.fromkeys(truth, 0)
    for _ in range(400):
        outcome, group = draw(rng, groups=groups, size=size, **world)
        found = bootstrap.estimate(lambda w, o=outcome: metrics.overall(o, w), group, 500, seed=0)
        for key, estimate in found.items():
            held[key] += estimate.low <= truth[key][0] <= estimate.high
    print({key[0]: count / 400 for key, count in held.items()})
    assert held["balanced_accuracy",] >= least * 400
    # six counts at once: only what the luck of 400 draws cannot explain is a failure
    assert min(held.values()) >= stats.binom.ppf(0.001, 400, least)
