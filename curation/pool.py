"""Run a function over many tasks in processes that may hang or die without taking the run with them."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import forkserver
from typing import TypeVar

import click
from pebble import ProcessExpired, ProcessPool

Result = TypeVar("Result")

ATTEMPTS = 3  # to get at least one result
AHEAD = 32  # tasks handed out a worker: enough to keep all busy while one is slow, few enough to hold in memory


class InterruptedRun(click.ClickException):
    """Ctrl-C."""

    exit_code = 130  # of a shell's command ended by SIGINT


@dataclass(frozen=True)
class Lost:
    """What became of a task without a result: `timeout` or `crashed`, and a sentence."""

    reason: str
    detail: str


def each(
    work: Callable[..., Result], tasks: Iterable[Sequence[object]], *, workers: int, timeout_s: float
) -> Generator[Result | Lost]:
    """Yield `work(*task)` for each task in order, computed in `workers` processes.

    A task that takes longer than `timeout_s`, or whose process dies, is `Lost` and alone in that; an exception of
    `work` is raised here and ends the others. `work` must be importable by name, and tasks and results picklable.

    Raises:
        InterruptedRun: Ctrl-C; the workers are gone.
    """
    server = multiprocessing.get_context("forkserver")  # a fork of this process could inherit a lock held by a thread
    server.set_forkserver_preload([work.__module__])
    with _silent_stderr():
        forkserver.ensure_running()
    todo, broken = iter(tasks), 0
    pool = ProcessPool(max_workers=workers, context=server)

    def made(some: Iterable[Sequence[object]]) -> Iterator[tuple[Sequence[object], Future[Result]]]:
        return ((task, pool.schedule(work, args=task, timeout=timeout_s)) for task in some)

    try:
        ahead = deque(made(islice(todo, AHEAD * workers)))
        while ahead:
            try:
                outcome = _outcome(ahead[0][1], timeout_s)
            except BrokenProcessPool as error:  # a process died before it could say which task it had taken
                broken += 1
                if broken == ATTEMPTS:
                    error.add_note("A script that calls this needs `if __name__ == '__main__':`: workers import it.")
                    raise
                _end(pool)
                pool = ProcessPool(max_workers=workers, context=server)
                ahead = deque(made([task for task, _ in ahead]))
                continue
            yield outcome
            broken = 0
            ahead.popleft()
            ahead.extend(made(islice(todo, 1)))
    except KeyboardInterrupt as error:
        raise InterruptedRun("Interrupted. The same command again starts afresh.") from error
    finally:
        _end(pool)


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _outcome(future: Future[Result], timeout_s: float) -> Result | Lost:
    try:
        return future.result()
    except TimeoutError:
        return Lost("timeout", f"It was not done after {timeout_s:g} s.")
    except ProcessExpired as error:
        return Lost("crashed", f"The process that decoded it died (exit code {error.exitcode}).")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Give a process that is started here no terminal: what goes wrong in its children comes back as a result.

    Else C libraries remark on broken files, and a child that is ended while it starts prints a traceback.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
