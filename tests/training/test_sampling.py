import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import sampling

LABEL = np.array([0] * 30 + [1] * 10)


def drawn(sampler: sampling.Sampler, seed: int = 0) -> list[np.ndarray]:
    return sampling.batches(LABEL, sampler, 5, np.random.default_rng(seed))


@given(st.integers(0, 1000))
def test_listed_takes_every_draw_once(seed: int) -> None:
    found = drawn("listed", seed)
    assert sorted(np.concatenate(found)) == list(range(40))
    assert [len(batch) for batch in found] == [8] * 5


def test_weighted_draws_each_class_as_often_in_the_long_run() -> None:
    found = np.concatenate([np.concatenate(drawn("weighted", seed)) for seed in range(250)])
    assert LABEL[found].mean() == pytest.approx(0.5, abs=0.02)
    counts = np.bincount(found, minlength=40)
    assert counts.min() > 0
    assert counts[30:].mean() == pytest.approx(3 * counts[:30].mean(), rel=0.1)


@given(st.integers(0, 1000))
def test_balanced_fills_every_batch_alike_and_repeats_no_clip_before_the_others_of_its_class(seed: int) -> None:
    found = drawn("balanced", seed)
    assert [LABEL[batch].mean() for batch in found] == [0.5] * 5
    counts = np.bincount(np.concatenate(found), minlength=40)
    assert counts[30:].tolist() == [2] * 10
    assert set(counts[:30]) == {0, 1}


@pytest.mark.parametrize("sampler", ["listed", "weighted", "balanced"])
def test_the_same_seed_draws_the_same(sampler: sampling.Sampler) -> None:
    first, again, other = (np.concatenate(drawn(sampler, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_three_classes_are_balanced_too() -> None:
    label = np.array([0] * 5 + [1] * 3 + [2])
    order = np.concatenate(sampling.batches(label, "balanced", 3, np.random.default_rng(0)))
    assert np.bincount(label[order]).tolist() == [3, 3, 3]
