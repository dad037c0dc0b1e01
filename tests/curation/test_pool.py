"""The functions that hang and die are the standard library's: worker processes can import them."""

import operator
import os
import signal
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from curation import pool
from curation.pool import Lost


def test_results_come_in_the_order_of_the_tasks() -> None:
    tasks = [(n, 2) for n in range(200)]
    assert list(pool.each(pow, tasks, workers=2, timeout_s=60)) == [n**2 for n in range(200)]


def test_a_task_that_hangs_is_lost_alone() -> None:
    tasks = [(0,), (3600,), (0,), (0,)]
    started = time.monotonic()
    results = list(pool.each(time.sleep, tasks, workers=2, timeout_s=0.5))
    assert results == [None, Lost("timeout", "It was not done after 0.5 s."), None, None]
    assert time.monotonic() - started < 60


def test_a_task_whose_process_dies_is_lost_alone() -> None:
    calls = [(abs, -1), (os._exit, 3), (abs, -2), (signal.raise_signal, signal.SIGKILL), (abs, -3)]
    results = list(pool.each(operator.call, calls, workers=1, timeout_s=60))
    assert results == [
        1,
        Lost("crashed", "The process that decoded it died (exit code 3)."),
        2,
        Lost("crashed", "The process that decoded it died (exit code -9)."),
        3,
    ]


def test_an_error_of_the_work_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        list(pool.each(operator.truediv, [(1, 0), (1, 1)], workers=1, timeout_s=60))


def test_only_some_tasks_are_made_ahead() -> None:
    made = []

    def tasks() -> object:
        for n in range(1000):
            made.append(n)
            yield (n,)

    results = pool.each(abs, tasks(), workers=1, timeout_s=60)
    assert next(results) == 0
    assert len(made) <= pool.AHEAD
    results.close()


def test_a_pool_that_breaks_does_the_rest_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pebble gives up when a process dies before it could say which task it had taken: rare, so played here."""
    original, times = pool._outcome, iter([False, True, True, False, True, False])

    def sometimes(future: Future[int], timeout_s: float) -> int | Lost:
        if next(times, False):
            raise BrokenProcessPool("All workers expired")
        return original(future, timeout_s)

    monkeypatch.setattr(pool, "_outcome", sometimes)
    tasks = [(n, 2) for n in range(50)]
    assert list(pool.each(pow, tasks, workers=2, timeout_s=60)) == [n**2 for n in range(50)]
