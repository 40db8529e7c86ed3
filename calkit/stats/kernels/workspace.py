"""Scratch memory and choices that last for a pass over the rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Workspace"]


class Workspace:
    """Scratch arrays that live as long as a pass, so that blocks do not allocate.

    Not for use by two threads at a time.

    Attributes
    ----------
    kernels : Kernels or None
        Those that the first block of the pass chose.
    policy : KernelPolicy or None
        By which it chooses them; None for that of this process.
    sums : bool
        Whether some statistic has asked for the softmax, so that correctness comes with it at no cost.
    squares : bool
        Whether some statistic asks for sums of squares, so that they are computed in the same go.
    """

    def __init__(self, *, squares: bool = False, policy: Any = None) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}
        self.policy = policy
        self.kernels: Any = None
        self.sums = False
        self.squares = squares

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return an uninitialised array of this shape; its content lasts until the name is asked for again."""
        size = math.prod(shape)
        held = self._arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self._arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)
