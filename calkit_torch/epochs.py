"""Epochs at which something changes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["scaled_epochs"]


def scaled_epochs(at: Sequence[float], scale: float) -> tuple[int, ...]:
    """Return epochs at which something changes, multiplied and rounded, still increasing and at least 1.

    Examples
    --------
    >>> scaled_epochs((150, 250), 35 / 350)
    (15, 25)
    """
    found: list[int] = []
    for epoch in at:
        found.append(max(round(epoch * scale), found[-1] + 1 if found else 1))
    return tuple(found)
