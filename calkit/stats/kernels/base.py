"""What a set of kernels computes, and which set is taken."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from calkit.errors import MissingDependencyError
from calkit.registry import unknown_name
from calkit.stats.kernels.workspace import Workspace

__all__ = ["KernelPolicy", "Kernels", "NllMoments", "SoftmaxSums", "choose_kernels", "compiled_are_wanted"]

# numba takes most of a second to load: worth it from about this many scores on, or where it is loaded already.
_NUMBA_SCORES = 100_000_000

_ENVIRONMENT = "CALKIT_KERNELS"


class SoftmaxSums(NamedTuple):
    """What one pass over logits tells of each row; e_j = exp(β (z_j - z_top)), the predicted class left out of sums.

    Attributes
    ----------
    correct : ndarray of bool, shape (b,)
        Whether the first of the largest logits is that of the true class.
    true_shift : ndarray of float64, shape (b,)
        z_true - z_top, not positive.
    rest : ndarray of float64, shape (b,)
        Σ e_j. The confidence is 1 / (1 + rest), without loss where it is close to 1.
    squares : ndarray of float64, shape (b,)
        Σ e_j²; empty if not asked for.
    finite : bool
        Whether all logits are surely finite; if not, they have to be looked at one by one.
    """

    correct: NDArray[np.bool_]
    true_shift: NDArray[np.float64]
    rest: NDArray[np.float64]
    squares: NDArray[np.float64]
    finite: bool


class NllMoments(NamedTuple):
    """Moments of d_j = z_top - z_j under the softmax at β, for each row; a class at infinity has probability 0.

    Attributes
    ----------
    rest : ndarray of float64, shape (b,)
        As in :class:`SoftmaxSums`.
    moments : ndarray of float64, shape (m, b)
        Means of d, d², … d^m.
    mean : ndarray of float64, shape (b,)
        Mean of d over the classes with equal weights, those at an infinite distance left out: the first moment as β
        goes to 0.
    true : ndarray of float64, shape (b,)
        d of the true class, which may be infinite.
    """

    rest: NDArray[np.float64]
    moments: NDArray[np.float64]
    mean: NDArray[np.float64]
    true: NDArray[np.float64]


class Kernels(Protocol):
    """A set of inner loops. Each row's results depend on that row alone, to the last bit."""

    def softmax_sums(
        self,
        scores: NDArray[Any],
        y_true: NDArray[np.intp],
        beta: float,
        precision: type[np.floating[Any]],
        squares: bool,
        workspace: Workspace,
    ) -> SoftmaxSums:
        """Return sums of exponentials computed in ``precision`` and, if wanted, of their squares."""

    def nll_moments(
        self,
        scores: NDArray[Any],
        y_true: NDArray[np.intp],
        beta: float,
        exponent: int,
        precision: type[np.floating[Any]],
        workspace: Workspace,
        orders: int = 4,
    ) -> NllMoments:
        """Return the first 2 or 4 moments of the distances, of logits times 2^-exponent."""


class KernelPolicy(NamedTuple):
    """What decides between the sets of kernels, besides the size of a job.

    It is taken once, in the process that begins a pass, and travels with it: the last bits of float32 results depend
    on the kernels, and must not depend on what a worker happens to have loaded.

    Attributes
    ----------
    wanted : {"", "numpy", "numba"}
        The environment variable ``CALKIT_KERNELS``.
    loaded : bool
        Whether numba is loaded.
    """

    wanted: str
    loaded: bool

    @classmethod
    def of_this_process(cls) -> KernelPolicy:
        """Return the present policy of this process."""
        return cls(os.environ.get(_ENVIRONMENT, ""), "numba" in sys.modules)


def compiled_are_wanted(*, worth_loading: bool, policy: KernelPolicy | None = None) -> bool:
    """Tell whether compiled kernels are to be used.

    They are where numba is installed and the job is worth loading it, or it is loaded already. The environment
    variable ``CALKIT_KERNELS`` (``numpy`` or ``numba``) decides instead.

    Raises
    ------
    NotFoundError
        If the environment variable names no set of kernels.
    MissingDependencyError
        If it names numba, and numba is not installed.
    """
    wanted, loaded = policy or KernelPolicy.of_this_process()
    if wanted not in ("", "numpy", "numba"):
        raise unknown_name(f"value of {_ENVIRONMENT}", wanted, ["numpy", "numba"])
    if wanted == "numpy" or not (wanted or worth_loading or loaded):
        return False
    if importlib.util.find_spec("numba") is not None:
        return True
    if wanted:
        raise MissingDependencyError(
            f"{_ENVIRONMENT}=numba needs numba: pip install 'calkit-calibration[fast]', or unset the variable."
        )
    return False


def choose_kernels(n_scores: int, policy: KernelPolicy | None = None) -> Kernels:
    """Return the kernels for a job of ``n_scores`` scores, by the rules of :func:`compiled_are_wanted`."""
    if compiled_are_wanted(worth_loading=n_scores >= _NUMBA_SCORES, policy=policy):
        from calkit.stats.kernels import compiled

        return compiled
    from calkit.stats.kernels import blocked

    return blocked
