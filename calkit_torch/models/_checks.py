"""Checks of constructor arguments, made once at the door."""

from __future__ import annotations

from numbers import Integral, Real

from calkit.errors import InputError

__all__ = ["check_dropout", "check_positive"]


def check_positive(**sizes: object) -> None:
    """Refuse sizes that are not whole numbers of at least 1.

    Raises
    ------
    InputError
        Names the argument and the value found.
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, but is {value!r}.")


def check_dropout(value: object) -> None:
    """Refuse a dropout rate outside [0, 1).

    Raises
    ------
    InputError
        Names the value found.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise InputError(f"dropout is the share of units left out, in [0, 1), but is {value!r}.")
