"""Losses over soft labels, weighted clip by clip."""

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over the clips of `weight * -sum(target * log(probability))`.

    The mean is over clips, not over weights: a batch of doubted clips alone stays a quiet batch.

    Args:
        logits: of shape (clips, classes).
        targets: probabilities of the classes, shape (clips, classes).
        weights: of shape (clips,).
    """
    return focal(logits, targets, weights, gamma=0.0)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, *, gamma: float) -> Tensor:
    """Return the focal loss: cross-entropy with each class's term times `(1 - probability) ** gamma`.

    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, doi 10.1109/ICCV.2017.324. Its balance factor alpha
    is the clip's weight here; `gamma` 0 is the cross-entropy.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    doubt = (1 - log_p.exp()).clamp_min(torch.finfo(log_p.dtype).eps)  # the power has no slope at 0
    return (weights * -(targets * doubt.pow(gamma) * log_p).sum(dim=1)).mean()
