"""Registries of laws: checks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["law_of"]

L = TypeVar("L", bound=Callable[..., None])


def law_of(laws: dict[str, L]) -> Callable[[L], L]:
    """Return a decorator that adds a function to some laws, by its name.

    Examples
    --------
    >>> from calkit.testing.laws import law_of
    >>> laws = {}
    >>> @law_of(laws)
    ... def is_positive(number):
    ...     assert number > 0
    >>> list(laws)
    ['is_positive']
    """

    def register(function: L) -> L:
        laws[function.__name__] = function
        return function

    return register
