from concurrent.futures.process import BrokenProcessPool

import click
import numpy as np
import pytest
import torch

from training import memory

GIVEN = {"clips": 10_000, "samples": 128_000, "batch_clips": 6, "view_s": 0.5, "more": ", or more"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), "20.00 GiB"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            "9 b",
        ),
        (MemoryError(), "as samples ()"),
        (BrokenProcessPool("A worker was terminated"), "A worker was ended, most likely because memory ran out"),
    ],
)
def test_a_lack_of_memory_gets_advice_with_the_numbers(error: Exception, said: str) -> None:
    advice = r"emory ran out with batches of 6 clips of 0.5 s, and 10000 clips kept, 2.6 GB as samples .*`batch_clips`"
    with pytest.raises(click.ClickException, match=advice) as refused, memory.enough("lite_cnn", **GIVEN):
        raise error
    assert said in refused.value.message


@pytest.mark.parametrize("take", [np.empty, torch.empty])
def test_a_real_lack_of_memory_is_recognised(take) -> None:
    with pytest.raises(click.ClickException, match="Memory ran out"), memory.enough("lite_cnn", **GIVEN):
        take(2**60, dtype={np.empty: np.uint8, torch.empty: torch.uint8}[take])


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory.enough("lite_cnn", **GIVEN):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
