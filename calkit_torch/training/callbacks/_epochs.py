"""Epochs as users say them: counted from 1."""

from __future__ import annotations

from collections.abc import Iterable

from calkit.errors import InputError
from calkit.parameters import is_whole

__all__ = ["as_epochs", "as_period"]


def as_epochs(epochs: Iterable[int]) -> frozenset[int]:
    """Check that epochs are positive whole numbers.

    Raises
    ------
    InputError
        If one is not.
    """
    found = list(epochs)
    for epoch in found:
        if not is_whole(epoch, 1):
            raise InputError(f"epochs are whole numbers, counted from 1, but one is {epoch!r}.")
    return frozenset(map(int, found))


def as_period(every: int) -> int:
    """Check that a number of epochs is positive and whole.

    Raises
    ------
    InputError
        If it is not.
    """
    if not is_whole(every, 1):
        raise InputError(f"every must be a positive whole number of epochs, but is {every!r}.")
    return int(every)
