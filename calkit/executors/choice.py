"""Which executor adds: the one that is named, the one a ``with`` block has set, or what suits the size of the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from calkit.errors import UsageError
from calkit.executors.base import EXECUTORS, Executor
from calkit.executors.cores import available_threads
from calkit.executors.serial import SerialExecutor
from calkit.executors.threads import ThreadExecutor
from calkit.specs import call_with_spec, parse_spec

__all__ = ["automatic_executor", "open_executor", "use_executor"]

# From about this many scores on, a second thread saves more than it costs.
_THREADED_SCORES = 2_000_000

_CURRENT: ContextVar[Executor | None] = ContextVar("calkit_executor", default=None)


def automatic_executor(n_scores: int) -> Executor:
    """Return threads where there are cores for them and enough scores to share out, else this thread alone."""
    if n_scores > _THREADED_SCORES and available_threads() > 1:
        return ThreadExecutor()
    return SerialExecutor()


@contextlib.contextmanager
def open_executor(executor: str | Executor | None = None, n_jobs: int | None = None) -> Iterator[Executor | None]:
    """Give the executor that two arguments stand for, and close what was opened for it.

    Parameters
    ----------
    executor : str or Executor, optional
        ``"serial"``, ``"threads"``, ``"threads:4"``, ``"dask"`` (the active client), ``"dask:local"``,
        ``"dask:tcp://10.0.0.1:8786"``; or an executor, which stays open.
    n_jobs : int, optional
        Number of threads, -1 for all cores; 1 is ``executor="serial"``.

    Yields
    ------
    Executor or None
        None stands for :func:`automatic_executor`: nothing was named, here or by :func:`use_executor`.

    Raises
    ------
    NotFoundError
        If no executor has that name.
    UsageError
        If `n_jobs` is given for anything but threads, or is no number of threads.
    """
    if n_jobs is not None:
        if executor not in (None, "threads"):
            raise UsageError(f"n_jobs counts threads, so it does not go with executor={executor!r}; leave one out.")
        threads = ThreadExecutor(n_jobs)
        yield SerialExecutor() if n_jobs == 1 else threads
    elif executor is None:
        yield _CURRENT.get()
    elif isinstance(executor, str):
        spec = parse_spec(executor)
        opened = call_with_spec(EXECUTORS[spec.name], spec, "executor")
        with contextlib.closing(opened):
            yield opened
    else:
        yield executor


@contextlib.contextmanager
def use_executor(executor: str | Executor | None = None, n_jobs: int | None = None) -> Iterator[Executor | None]:
    """Let everything in a ``with`` block be added by one executor: metrics, plots, and calibrators as they fit.

    Parameters
    ----------
    executor : str or Executor, optional
        ``"serial"``, ``"threads"``, ``"threads:4"``, ``"dask"`` (the active client), ``"dask:local"``,
        ``"dask:tcp://10.0.0.1:8786"``; or an executor.
    n_jobs : int, optional
        Number of threads, -1 for all cores.

    Yields
    ------
    Executor or None

    Raises
    ------
    NotFoundError
        If no executor has that name.
    UsageError
        If `n_jobs` is given for anything but threads, or is no number of threads.

    Examples
    --------
    >>> from calkit import evaluate
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.executors import use_executor
    >>> with use_executor("threads:2"):
    ...     threaded = evaluate(load_digits_logits("test"))
    >>> dict(threaded) == dict(evaluate(load_digits_logits("test"), executor="serial"))
    True
    """
    with open_executor(executor, n_jobs) as opened:
        token = _CURRENT.set(opened)
        try:
            yield opened
        finally:
            _CURRENT.reset(token)
