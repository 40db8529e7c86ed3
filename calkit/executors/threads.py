"""Several threads of this process: NumPy lets go of the interpreter while it computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from calkit.errors import UsageError
from calkit.executors.base import EXECUTORS, P, PairwiseSum, S
from calkit.executors.cores import available_threads
from calkit.parameters import is_whole

__all__ = ["ThreadExecutor"]


@EXECUTORS.register("threads")
class ThreadExecutor:
    """Adds what several threads measure.

    Parameters
    ----------
    n_jobs : int, default=-1
        Number of threads; -1 for :func:`available_threads`.

    Raises
    ------
    UsageError
        If `n_jobs` is neither -1 nor a positive whole number.

    Examples
    --------
    >>> from calkit.executors import ThreadExecutor
    >>> ThreadExecutor(2).sum(abs, [-1, 2, -3])
    6
    """

    is_remote = False

    def __init__(self, n_jobs: int = -1) -> None:
        if not is_whole(n_jobs, 1) and not (is_whole(n_jobs, -1) and n_jobs):
            raise UsageError(f"n_jobs must be a positive whole number, or -1 for all cores, but is {n_jobs!r}.")
        self.n_jobs = n_jobs

    def sum(self, function: Callable[[P], S], pieces: Iterable[P]) -> S | None:
        """Return the sum of ``function(piece)`` over the pieces; None if there are none.

        An error, or Ctrl-C, waits for the pieces that are being worked on and begins no others.
        """
        threads = available_threads() if self.n_jobs == -1 else self.n_jobs
        total: PairwiseSum[S] = PairwiseSum()
        waiting: deque[Future[S]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="calkit") as pool:
            try:
                for piece in pieces:
                    waiting.append(pool.submit(function, piece))
                    # A piece or two in stock for each thread; more would only take memory.
                    if len(waiting) > 2 * threads:
                        total.add(waiting.popleft().result())
                while waiting:
                    total.add(waiting.popleft().result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return total.result()

    def close(self) -> None:
        """Do nothing: the threads end with each sum."""
