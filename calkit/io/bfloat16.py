"""bfloat16, which NumPy does not know: the upper half of a float32, and read as one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Field
from calkit.lazy import Converted

__all__ = ["bfloat16_field", "from_bits"]

_SINGLE = np.dtype(np.float32)


def bfloat16_field(name: str, shape: tuple[int, ...], load: Callable[[], Any]) -> Field:
    """Return the field of a bfloat16 array, whose bits `load` returns as 16-bit integers."""
    return Field(name, shape, _SINGLE, partial(_load, load), note="bfloat16", itemsize=2)


def from_bits(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the float32 values, exactly, of bfloat16 bits.

    Examples
    --------
    >>> from_bits(np.array([0x3F80, 0xC000], dtype=np.uint16))
    array([ 1., -2.], dtype=float32)
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _load(load: Callable[[], Any]) -> Any:
    bits = load()
    return Converted(bits, from_bits, tuple(bits.shape), _SINGLE, itemsize=2) if bits.ndim else from_bits(bits)
