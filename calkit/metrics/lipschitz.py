"""Calibration errors that are continuous in the forecasts: smooth calibration error, logit-smoothed ECE."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.logits import logit_smoothed
from calkit.estimators.ranked import Ranked
from calkit.estimators.witness import lipschitz_witness
from calkit.inference.curves import lipschitz_law
from calkit.metrics.base import Recipe, metric
from calkit.metrics.cumulative import whole_recipe
from calkit.metrics.kernels import as_positive
from calkit.metrics.shared import SharedArguments

__all__ = ["ls_ece", "smcal"]


@metric(
    "Smooth calibration error",
    aliases=("smooth-calibration-error",),
    formula="max over 1-Lipschitz w: [0, 1] → [−1, 1] of the mean of w(p)(y − p)",
    reference="Kakade & Foster 2008; Błasiok, Gopalan, Hu & Nakkiran, STOC 2023",
    cost="one pass; keeps every row, sorts twice, about 20 sweeps over what is sorted",
    trust="any n; half of it is a lower bound of the distance to calibration, twice of it an upper one",
)
def smcal(y_true: Any, y_proba: Any, **shared: Unpack[SharedArguments]) -> Recipe:
    """Smooth calibration error: what the best Lipschitz function of the probability gains against the forecasts.

    Not to be confused with :func:`smece`, which smooths with a Gaussian. It is the exact optimum of the linear program,
    found by isotonic regression to medians, in O(n log n).

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import smcal
    >>> round(smcal([1, 0], [0.3, 0.3]), 12)
    0.2
    """
    return whole_recipe(lipschitz_witness, lipschitz_law)


@metric(
    "Logit-smoothed ECE",
    name="ls-ece",
    aliases=("ls_ece",),
    formula="E |P(y = 1 | q) − q|, q the probability with noise on its logit",
    reference="Chidambaram, Lee, McSwiggen & Rezchikov, ICML 2024",
    cost="one pass; keeps every row, sorts once",
    trust="n well above 100 / width; compare it with its floor",
)
def ls_ece(y_true: Any, y_proba: Any, *, width: float = 0.5, **shared: Unpack[SharedArguments]) -> Recipe:
    """Logit-smoothed ECE: the calibration error of the forecasts with uniform noise on their logits.

    Parameters
    ----------
    width : float, default=0.5
        Width of the noise, in logits: from minus half of it to plus half of it. The integral is exact.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Examples
    --------
    >>> from calkit.metrics import ls_ece
    >>> round(ls_ece([1, 0, 1], [0.5, 0.5, 0.5], width=1e-9), 6)
    0.166667
    """
    width = as_positive("width", width)

    def measure(forecasts: Ranked) -> NDArray[np.float64]:
        return logit_smoothed(forecasts, width)

    return whole_recipe(measure)
