import numpy as np
import pytest

from training import metrics, power


def judged(groups: int, *, models: int, shared: float, seed: int = 0) -> tuple[list[metrics.Outcome], np.ndarray]:
    """Return models that are right about seven groups in ten, two clips each, and the groups.

    Args:
        groups: how many.
        models: how many.
        shared: share of the groups that all models are right or wrong about alike.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    truth = (np.arange(groups) % 2).repeat(2)
    alike, common = rng.random(groups) < shared, rng.random(groups) < 0.7
    outcomes = []
    for _ in range(models):
        right = np.where(alike, common, rng.random(groups) < 0.7).repeat(2)
        outcomes.append(metrics.Outcome(truth, np.eye(2)[np.where(right, truth, 1 - truth)]))
    return outcomes, np.arange(groups).repeat(2)


def detectable(groups: int, **world: float) -> float:
    outcomes, codes = judged(groups, **world)
    return power.detectable(outcomes, codes, 1000, seed=0)[0]


def test_a_lone_model_is_compared_with_an_independent_one_as_good() -> None:
    # n groups, seven in ten right: the standard error of one is sqrt(.7 * .3 / n), of the difference sqrt(2) times it
    assert detectable(200, models=1, shared=0) == pytest.approx(2.8 * np.sqrt(2 * 0.7 * 0.3 / 200), rel=0.1)


def test_four_times_as_many_groups_about_halve_it() -> None:
    assert detectable(800, models=2, shared=0.5) == pytest.approx(detectable(200, models=2, shared=0.5) / 2, rel=0.15)


def test_models_that_err_alike_show_smaller_differences() -> None:
    found = [detectable(400, models=2, shared=shared) for shared in (0.0, 0.75)]
    assert found[1] == pytest.approx(found[0] / 2, rel=0.2)  # variance of a difference: 1 - shared


def test_copies_within_groups_show_nothing_more() -> None:
    outcomes, groups = judged(100, models=2, shared=0.5)
    copies = [metrics.Outcome(one.truth.repeat(5), one.probabilities.repeat(5, axis=0)) for one in outcomes]
    found = [power.detectable(said, of, 500, seed=0) for said, of in ((outcomes, groups), (copies, groups.repeat(5)))]
    assert found[0] == pytest.approx(found[1])


def test_it_is_found_in_four_of_five_cases() -> None:
    groups = 150
    apart = detectable(groups, models=2, shared=0.0)
    rng, found, tries = np.random.default_rng(1), 0, 300
    for _ in range(tries):
        worse, better = (rng.random(groups) < share for share in (0.7, 0.7 + apart))
        difference = better.astype(float) - worse
        found += difference.mean() > 1.96 * difference.std() / np.sqrt(groups)
    assert 0.73 < found / tries < 0.9


def test_models_that_no_resample_changes_show_nothing() -> None:
    truth = np.arange(20) % 2
    perfect, dead = metrics.Outcome(truth, np.eye(2)[truth]), metrics.majority(truth)
    assert np.isnan(power.detectable([perfect, dead], np.arange(20), 200, seed=0)).all()
