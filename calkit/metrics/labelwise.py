"""Per-label top-label ECE: the confidences of each predicted class by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from calkit.inference.binned import GapInference
from calkit.inference.cells import CellSums, in_own_order
from calkit.metrics.base import Recipe, metric
from calkit.metrics.binned import NOISE
from calkit.metrics.binnings import get_binning
from calkit.metrics.shared import SharedArguments
from calkit.stats import By, Parts
from calkit.stats.rows import PREDICTED_CLASS

__all__ = ["tl_ece"]


@metric(
    "Top-label ECE (per label)",
    name="tl-ece",
    aliases=("tl_ece", "top-label-ece", "per-label-ece"),
    formula="Σ_l Σ_b w_lb |accuracy_lb − confidence_lb| over predicted classes l and their bins b",
    reference="Gupta & Ramdas, ICLR 2022 (top-label calibration)",
    trust=f"{NOISE.replace('n_bins', 'n_bins K')}",
    targets=("top",),
)
def tl_ece(
    y_true: Any,
    y_proba: Any,
    *,
    n_bins: int = 15,
    binning: str | Sequence[float] = "uniform",
    **shared: Unpack[SharedArguments],
) -> Recipe:
    """Top-label ECE, label by label: the ECE of the rows of each predicted class, weighted by how many they are.

    A confidence of 0.8 may be right on average, and be too much where the classifier says "cat" and too little where
    it says "dog". ECE does not see it; this one conditions on the predicted class as well. Never less than :func:`ece`
    over the same bins. Which class it is, ``evaluate(..., by="predicted class")`` tells.

    Parameters
    ----------
    n_bins : int, default=15
        Number of bins of each predicted class.
    binning : str or sequence of float, default="uniform"
        As for :func:`ece`; bins of equal mass are those of the rows of each predicted class.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    References
    ----------
    Gupta & Ramdas, "Top-label calibration and multiclass-to-binary reductions", ICLR 2022, Definition 2 and Equation 6.

    Examples
    --------
    >>> from calkit.metrics import ece, tl_ece
    >>> p = [[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8]]
    >>> round(tl_ece([0, 0, 0, 1], p), 12), round(ece([0, 0, 0, 1], p), 12)
    (0.25, 0.05)
    """
    how = get_binning(binning, n_bins)

    def finish(parts: Parts[Any]) -> float:
        bins = [how.to_bins(part) for part in parts.summaries.values()]
        gaps = sum(float(np.abs(each.correct - each.confidence).sum()) for each in bins)
        return gaps / sum(float(each.weight.sum()) for each in bins)

    statistic = By(how.statistic, PREDICTED_CLASS)
    if how.cells is None or how.to_cells is None:
        return Recipe(statistic, finish)
    to_cells = how.to_cells

    def joined(parts: Parts[Any]) -> CellSums:
        return CellSums.joined(in_own_order(to_cells(part) for part in parts.summaries.values()))

    cells = By(how.cells, PREDICTED_CLASS)
    return Recipe(statistic, finish, GapInference(cells, joined, statistic, how.n_bins))
