import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training import losses

LOGITS = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [0.5, 0.0]])
ONEHOT = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
WEIGHTS = torch.tensor([1.0, 0.5, 2.0])


def test_cross_entropy_is_the_mean_of_the_weighted_terms() -> None:
    each = functional.cross_entropy(LOGITS, ONEHOT.argmax(dim=1), reduction="none")
    torch.testing.assert_close(losses.cross_entropy(LOGITS, ONEHOT, WEIGHTS), (WEIGHTS * each).mean())


def test_a_soft_label_is_the_mixture_of_its_classes() -> None:
    logits, one = LOGITS[:1], torch.ones(1)
    first, second = (losses.cross_entropy(logits, torch.tensor([row]), one) for row in ([1.0, 0.0], [0.0, 1.0]))
    soft = losses.cross_entropy(logits, torch.tensor([[0.3, 0.7]]), one)
    torch.testing.assert_close(soft, 0.3 * first + 0.7 * second)


def test_focal_loss_of_one_clip_by_hand() -> None:
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]])  # probabilities .8 and .2
    loss = losses.focal(logits, torch.tensor([[1.0, 0.0]]), torch.tensor([3.0]), gamma=2.0)
    assert loss.item() == pytest.approx(3 * 0.2**2 * -math.log(0.8))


def test_focal_loss_without_focus_is_the_cross_entropy() -> None:
    expected = losses.cross_entropy(LOGITS, ONEHOT, WEIGHTS)
    torch.testing.assert_close(losses.focal(LOGITS, ONEHOT, WEIGHTS, gamma=0.0), expected)


@given(st.floats(-8, 8), st.floats(0.1, 5))
def test_focal_loss_is_never_above_the_cross_entropy(logit: float, gamma: float) -> None:
    logits, target, one = torch.tensor([[logit, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.ones(1)
    assert losses.focal(logits, target, one, gamma=gamma) <= losses.cross_entropy(logits, target, one)


def test_a_clip_of_weight_zero_has_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    losses.cross_entropy(logits, ONEHOT, torch.tensor([1.0, 0.0, 1.0])).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[1], torch.zeros(2))


def test_certain_and_wrong_has_a_finite_gradient() -> None:
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    losses.focal(logits, torch.tensor([[1.0, 0.0]]), torch.ones(1), gamma=0.5).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
