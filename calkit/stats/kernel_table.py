"""Which (statistic, view) pairs have a kernel of their own; the general path serves all others, with equal results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calkit.stats.folds import FoldSums
    from calkit.stats.rows import Rows

__all__ = ["KERNELS", "Kernel", "general_path", "kernel_of"]

S = TypeVar("S")


@dataclass(frozen=True)
class Kernel:
    """A fast way to measure one statistic of one view.

    Attributes
    ----------
    serves : callable
        Whether it can measure a block of rows.
    sums : callable
        Takes rows and the statistic, returns the summary.
    folds : callable, optional
        Takes rows, the statistic, folds of rows and their number, returns the sums of each fold.
    """

    serves: Callable[[Rows], bool]
    sums: Callable[[Rows, Any], Any]
    folds: Callable[[Rows, Any, NDArray[np.intp], int], FoldSums] | None = None


#: Kernels by the classes of statistic and view; the package that has them fills it.
KERNELS: dict[tuple[type[Any], type[Any]], Kernel] = {}


# Whether kernels are passed over; tests hold them against the general path.
_general: ContextVar[bool] = ContextVar("general", default=False)


@contextlib.contextmanager
def general_path() -> Iterator[None]:
    """Take the general path everywhere within a ``with`` block, on this thread."""
    token = _general.set(True)
    try:
        yield
    finally:
        _general.reset(token)


def kernel_of(statistic: Any, rows: Rows) -> Kernel | None:
    """Return the kernel that measures a statistic of these rows; None if the general path has to."""
    kernel = None if _general.get() else KERNELS.get((type(statistic), type(statistic.view)))
    return kernel if kernel is not None and kernel.serves(rows) else None
