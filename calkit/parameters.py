"""Checks of parameters that are numbers or one of some words, for both packages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

from calkit.errors import InputError, UsageError

__all__ = [
    "check_choice",
    "check_count",
    "check_dropout",
    "check_increasing",
    "check_number",
    "check_positive",
    "is_number",
    "is_whole",
]

_LARGEST = 2**40


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a real number, of Python or of NumPy; True and False are none.

    Examples
    --------
    >>> import numpy as np
    >>> is_number(1), is_number(np.float32(0.5)), is_number(True), is_number("1")
    (True, True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any, least: int) -> TypeGuard[int]:
    """Return whether a value is a whole number of at least `least`, of Python or of NumPy; True and False are none.

    Examples
    --------
    >>> import numpy as np
    >>> is_whole(1, 1), is_whole(np.int64(3), 1), is_whole(0, 1), is_whole(1.0, 1), is_whole(True, 1)
    (True, True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def check_number(name: str, value: float, *, low: float = -math.inf, high: float = math.inf, hint: str = "") -> None:
    """Check that a parameter is a finite number of an interval that includes its ends; hint at a way to go lower.

    Raises
    ------
    InputError
        If it is not.
    """
    number = is_number(value) and math.isfinite(value)
    if number and low <= value <= high:
        return
    wanted = {
        (True, True): "a finite number",
        (False, True): f"a finite number >= {low:g}",
        (True, False): f"a finite number <= {high:g}",
        (False, False): f"a number from {low:g} to {high:g}",
    }[math.isinf(low), math.isinf(high)]
    advice = f"; {hint}" if hint and number and value < low else ""
    raise InputError(f"{name} must be {wanted}, but is {value!r}{advice}.")


def check_increasing(name: str, values: Sequence[float]) -> None:
    """Check that numbers grow strictly.

    Raises
    ------
    InputError
        If they do not.
    """
    if any(a >= b for a, b in itertools.pairwise(values)):
        raise InputError(
            f"{name} must grow, but are {', '.join(f'{v:g}' for v in values)}; put them in order, once each."
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that a word is one of those known.

    Raises
    ------
    UsageError
        If it is not.
    """
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, but is {value!r}.")


def check_count(least: int, **counts: object) -> None:
    """Check that values are whole numbers of at least ``least``.

    Raises
    ------
    InputError
        Names the argument and the value found.
    """
    for name, value in counts.items():
        if not is_whole(value, least):
            raise InputError(f"{name} must be a whole number of at least {least}, but is {value!r}.")


def check_positive(**sizes: object) -> None:
    """Check that sizes are whole numbers of at least 1, and such as torch can count with.

    Raises
    ------
    InputError
        Names the argument and the value found.
    """
    check_count(1, **sizes)
    for name, value in sizes.items():
        if int(value) > _LARGEST:  # type: ignore[call-overload]
            raise InputError(f"{name} must be at most {_LARGEST}, but is {value!r}.")


def check_dropout(value: object) -> None:
    """Check that a dropout rate is in [0, 1).

    Raises
    ------
    InputError
        Names the value found.
    """
    if not is_number(value) or not 0 <= value < 1:
        raise InputError(f"dropout is the share of units left out, in [0, 1), but is {value!r}.")
