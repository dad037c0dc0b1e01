"""Losses over soft labels, weighted clip by clip and class by class."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from curation import params


class Params(params.Section):
    """Key `loss` of a model: what a wrong probability costs."""

    kind: Literal["cross_entropy", "focal", "generalised_cross_entropy"]
    gamma: float = Field(ge=0)  # of focal: how much it turns to hard clips
    q: float = Field(gt=0, le=1)  # of generalised_cross_entropy: how little it trusts a single label
    smoothing: float = Field(ge=0, lt=1)  # share of each label that is spread over all classes
    class_beta: float = Field(ge=0, lt=1)  # classes weigh by the inverse of their effective number; 0: all the same
    prior_tau: float = Field(ge=0)  # how much of the classes' shares the logits need not learn; 0: nothing

    @model_validator(mode="after")
    def _even_out_once(self) -> Self:
        if self.class_beta and self.prior_tau:
            raise ValueError("`class_beta` and `prior_tau` both even out the classes: one of them must be 0")
        return self


def loss(logits: Tensor, targets: Tensor, weights: Tensor, p: Params, *, counts: Tensor) -> Tensor:
    """Return the mean loss of the clips.

    The mean is over clips, not over weights: a batch of doubted clips alone stays a quiet batch.

    Args:
        logits: of shape (clips, classes).
        targets: probabilities of the classes, shape (clips, classes).
        weights: of shape (clips,).
        p: which loss.
        counts: draws of each class in an epoch, shape (classes,).
    """
    targets = (1 - p.smoothing) * targets + p.smoothing / targets.shape[1]
    shares = (counts / counts.sum()).clamp_min(torch.finfo().tiny)
    targets = targets * class_weights(counts, beta=p.class_beta)
    logits = logits.float() + p.prior_tau * shares.log()
    if p.kind == "generalised_cross_entropy":
        return generalised_cross_entropy(logits, targets, weights, q=p.q)
    return focal(logits, targets, weights, gamma=p.gamma if p.kind == "focal" else 0.0)


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over the clips of `weight * -sum(target * log(probability))`."""
    return focal(logits, targets, weights, gamma=0.0)


def focal(logits: Tensor, targets: Tensor, weights: Tensor, *, gamma: float) -> Tensor:
    """Return the focal loss: cross-entropy with each class's term times `(1 - probability) ** gamma`.

    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, doi 10.1109/ICCV.2017.324. Its balance factor alpha
    is the weight of the clip or of the class here; `gamma` 0 is the cross-entropy.
    """
    log_p = torch.log_softmax(logits.float(), dim=1)
    doubt = (1 - log_p.exp()).clamp_min(torch.finfo(log_p.dtype).eps)  # the power has no slope at 0
    return (weights * -(targets * doubt.pow(gamma) * log_p).sum(dim=1)).mean()


def generalised_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, *, q: float) -> Tensor:
    """Return the generalised cross-entropy: each class's term is `(1 - probability ** q) / q`.

    Zhang and Sabuncu, NeurIPS 2018, arXiv 1805.07836. Near `q` 0 it is the cross-entropy, at 1 the mean absolute
    error, which a wrong label cannot pull far.
    """
    probability = torch.log_softmax(logits.float(), dim=1).mul(q).exp()  # to the power of q, with a slope at 0
    return (weights * (targets * (1 - probability) / q).sum(dim=1)).mean()


def class_weights(counts: Tensor, *, beta: float) -> Tensor:
    """Return the weight of each class, of mean 1: the inverse of `(1 - beta ** count) / (1 - beta)`.

    Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, doi 10.1109/CVPR.2019.00949.
    `beta` 0 weighs all classes the same; near 1 they weigh by the inverse of their counts. A class without draws
    weighs as one with a single draw.
    """
    inverse = (1 - beta) / (1 - torch.pow(beta, counts.double().clamp_min(1)))
    return (inverse / inverse.mean()).float()
