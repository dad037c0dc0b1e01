"""The optimizer of a training: which weights it changes, and which of them more slowly."""

from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import nn
from torch.optim import AdamW

Groups: TypeAlias = list[dict[str, Any]]  # weights, and their `rate_share` of the learning rate


@runtime_checkable
class Graded(Protocol):
    """A model whose weights do not all learn at the same rate."""

    def parameter_groups(self) -> Groups:
        """Return the weights that learn."""
        ...


def adamw(model: nn.Module, *, weight_decay: float) -> AdamW:
    """Return the optimizer of the weights that are not frozen; its groups say their `rate_share`."""
    every = [{"params": [weight for weight in model.parameters() if weight.requires_grad], "rate_share": 1.0}]
    return AdamW(model.parameter_groups() if isinstance(model, Graded) else every, weight_decay=weight_decay)
