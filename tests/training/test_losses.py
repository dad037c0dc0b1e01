import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional

from training import losses

LOGITS = torch.tensor([[2.0, 0.0], [-1.0, 1.0], [0.5, 0.0]])
ONEHOT = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
WEIGHTS = torch.tensor([1.0, 0.5, 2.0])
COUNTS = torch.tensor([30.0, 10.0])
PLAIN = losses.Params(
    kind="cross_entropy", gamma=2.0, q=0.7, smoothing=0.0, class_beta=0.0, prior_tau=0.0
)  # all that is left out


def by(**changes: object) -> torch.Tensor:
    """Return the loss of the clips above with another recipe."""
    p = losses.Params.model_validate(PLAIN.model_dump() | changes)
    return losses.loss(LOGITS, ONEHOT, WEIGHTS, p, counts=COUNTS)


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


def test_each_kind_is_its_function() -> None:
    torch.testing.assert_close(by(), losses.cross_entropy(LOGITS, ONEHOT, WEIGHTS))
    torch.testing.assert_close(by(kind="focal"), losses.focal(LOGITS, ONEHOT, WEIGHTS, gamma=2.0))
    expected = losses.generalised_cross_entropy(LOGITS, ONEHOT, WEIGHTS, q=0.7)
    torch.testing.assert_close(by(kind="generalised_cross_entropy"), expected)


def test_label_smoothing_is_that_of_torch() -> None:
    each = functional.cross_entropy(LOGITS, ONEHOT.argmax(dim=1), reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(by(smoothing=0.2), (WEIGHTS * each).mean())


def test_generalised_cross_entropy_lies_between_cross_entropy_and_absolute_error() -> None:
    near_zero = losses.generalised_cross_entropy(LOGITS, ONEHOT, WEIGHTS, q=1e-4)
    torch.testing.assert_close(near_zero, losses.cross_entropy(LOGITS, ONEHOT, WEIGHTS), rtol=1e-3, atol=1e-3)
    missed = 1 - (LOGITS.softmax(dim=1) * ONEHOT).sum(dim=1)
    at_one = losses.generalised_cross_entropy(LOGITS, ONEHOT, WEIGHTS, q=1.0)
    torch.testing.assert_close(at_one, (WEIGHTS * missed).mean())


def test_a_wrong_label_pulls_less_by_the_generalised_cross_entropy() -> None:
    pulls = []
    for kind in ("cross_entropy", "generalised_cross_entropy"):
        logits = torch.tensor([[-4.0, 4.0]], requires_grad=True)  # sure of the second class, labelled as the first
        p = losses.Params.model_validate(PLAIN.model_dump() | {"kind": kind})
        losses.loss(logits, torch.tensor([[1.0, 0.0]]), torch.ones(1), p, counts=COUNTS).backward()
        pulls.append(logits.grad.norm().item())
    assert pulls[1] < 0.05 * pulls[0]


def test_class_weights_go_from_none_to_the_inverse_of_the_counts() -> None:
    assert losses.class_weights(COUNTS, beta=0.0).tolist() == [1, 1]
    assert losses.class_weights(COUNTS, beta=1 - 1e-9).tolist() == pytest.approx([0.5, 1.5], rel=1e-3)
    by_hand = [(1 - 0.9) / (1 - 0.9**30), (1 - 0.9) / (1 - 0.9**10)]
    assert losses.class_weights(COUNTS, beta=0.9).tolist() == pytest.approx([w * 2 / sum(by_hand) for w in by_hand])
    each = functional.cross_entropy(LOGITS, ONEHOT.argmax(dim=1), reduction="none")
    class_weight = losses.class_weights(COUNTS, beta=0.9)[ONEHOT.argmax(dim=1)]
    torch.testing.assert_close(by(class_beta=0.9), (WEIGHTS * class_weight * each).mean())


def test_logits_that_say_the_prior_alone_are_adjusted_to_know_nothing() -> None:
    """Menon et al., ICLR 2021, arXiv 2007.07314: what is left to learn is the log-likelihood ratio."""
    p = losses.Params.model_validate(PLAIN.model_dump() | {"prior_tau": 1.0})
    logits = torch.zeros(40, 2, requires_grad=True)
    targets = torch.tensor([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 10)
    losses.loss(logits, targets, torch.ones(40), p, counts=COUNTS).backward()
    torch.testing.assert_close(logits.grad.sum(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    even = torch.tensor([7.0, 7.0])
    adjusted = losses.loss(LOGITS, ONEHOT, WEIGHTS, p, counts=even)
    torch.testing.assert_close(adjusted, losses.cross_entropy(LOGITS, ONEHOT, WEIGHTS))


def test_classes_are_evened_out_once() -> None:
    with pytest.raises(ValidationError, match="`class_beta` and `prior_tau` both even out"):
        losses.Params.model_validate(PLAIN.model_dump() | {"class_beta": 0.9, "prior_tau": 1.0})


def test_a_class_without_draws_has_a_finite_loss() -> None:
    p = losses.Params.model_validate(PLAIN.model_dump() | {"prior_tau": 1.0})
    assert torch.isfinite(losses.loss(LOGITS, ONEHOT, WEIGHTS, p, counts=torch.tensor([5.0, 0.0])))
