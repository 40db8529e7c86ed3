"""How many threads there are to use."""

from __future__ import annotations

import os

from calkit.errors import UsageError

__all__ = ["available_threads"]

_ENVIRONMENT = "CALKIT_NUM_THREADS"


def available_threads() -> int:
    """Return how many threads are used unless a number is given.

    That is the environment variable ``CALKIT_NUM_THREADS``, or else the number of cores this process may use.

    Raises
    ------
    UsageError
        If the environment variable is no positive whole number.
    """
    text = os.environ.get(_ENVIRONMENT, "").strip()
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{_ENVIRONMENT} must be a positive whole number, but is {text!r}; correct or unset it.")
    return int(text)
