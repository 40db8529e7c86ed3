"""A fitted map as a formula, from which it is written for other programs: torch, ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Formula", "with_bias"]


@dataclass(frozen=True, eq=False)
class Formula:
    """Log-probabilities in a few steps that any array library has.

    1. x = log softmax(z), of at least log `floor` and normalised again, where there is a floor.
    2. x = log softmax(`inverse_temperature` x).
    3. x = log((1 - `mix`) exp(x) + `mix` / K), where there is a mix.
    4. u = h `matrix`, with the features h below.
    5. log((1 - `share` - `own`) softmax(u) + `own` softmax(z) + `share` v), with v the uniform distribution: of all
       classes if there is a floor, else of those whose logit is not -inf.

    A class of logit -inf counts as x = 0 in step 4 (unless there is a floor or a mix) and has u = -inf after it (unless
    there is a floor).

    Attributes
    ----------
    matrix : ndarray of shape (d, K)
    features : {"linear", "binary"}
        h is (x, 1); or, of two classes with s = x_1 - x_0, (x, s², s |s| / (1 + |s|), 1).
    inverse_temperature : float
    floor, mix, share, own : float
    """

    matrix: NDArray[np.float64]
    features: Literal["linear", "binary"] = "linear"
    inverse_temperature: float = 1.0
    floor: float = 0.0
    mix: float = 0.0
    share: float = 0.0
    own: float = 0.0


def with_bias(matrix: NDArray[np.float64], bias: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the matrix of the linear features for ``u = W x + b``.

    Parameters
    ----------
    matrix : ndarray of shape (K, K)
        W.
    bias : ndarray of shape (K,), optional
        b, by default 0.

    Returns
    -------
    ndarray of shape (K + 1, K)
    """
    return np.vstack([matrix.T, np.zeros(len(matrix)) if bias is None else bias])
