"""The inner loops over logits: NumPy always, numba where it pays and is installed; the same numbers from both."""

from calkit.stats.kernels import blocked
from calkit.stats.kernels.base import (
    KernelPolicy,
    Kernels,
    NllMoments,
    SoftmaxSums,
    choose_kernels,
    compiled_are_wanted,
)
from calkit.stats.kernels.workspace import Workspace

__all__ = [
    "KernelPolicy",
    "Kernels",
    "NllMoments",
    "SoftmaxSums",
    "Workspace",
    "blocked",
    "choose_kernels",
    "compiled_are_wanted",
]
