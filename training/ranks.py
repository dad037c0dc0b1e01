"""Processes that share every batch of a training: each learns from its part, and all take the same step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Seat:
    """The place of a process among those that share the batches."""

    number: int
    processes: int
    meeting: Path  # a file by which they find each other, not there yet


@contextmanager
def taken(seat: Seat) -> Iterator[None]:
    """Wait for the others, and be one of them."""
    if seat.processes == 1:
        yield
        return
    distributed.init_process_group(init_method=f"file://{seat.meeting}", rank=seat.number, world_size=seat.processes)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process; 0 is the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own(n: int) -> slice:
    """Return which of the `n` clips of a batch are this process's."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    return slice(rank() * n // processes, (rank() + 1) * n // processes)


def total(part: Tensor) -> float:
    """Return the sum over all processes of a number that each has."""
    whole = part.detach().clone()
    if distributed.is_initialized():
        distributed.all_reduce(whole)
    return whole.item()


def sum_gradients(model: nn.Module) -> None:
    """Let every process have the sum of the gradients of all."""
    if distributed.is_initialized():
        for weight in model.parameters():
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
