"""Spline recalibration: the slope of a spline through the cumulative differences of outcome and probability."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.rows import Groups
from calkit.calibrators.registration import register_calibrator
from calkit.errors import InputError

__all__ = ["CdfSpline"]

Floats = NDArray[np.float64]


@register_calibrator("cdf-spline")
class CdfSpline(TableMaps):
    """Calibration by splines: a natural cubic spline follows the cumulative sum of outcome minus probability.

    With the rows of a class in the order of their probability, the slope of that sum at a rank is how much is missing
    there. The spline of least squares is smooth, so its slope is; added to the probability and kept within [0, 1], it
    is the map, linear between scores. It need not rise.

    Parameters
    ----------
    n_knots : int, default=6
        Knots of the spline, evenly spaced in rank, both ends included.
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`.

    Attributes
    ----------
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`Isotonic`.

    Notes
    -----
    Rows of equal score are one point of the curve, so that their order does not matter; the authors' code takes them
    one by one.

    References
    ----------
    Gupta et al., "Calibration of neural networks using splines", ICLR 2021.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> get_calibrator("cdf-spline").fit(validation.scores, validation.y_true).describe().title
    'spline through the cumulative differences'
    """

    title: ClassVar[str] = "spline through the cumulative differences"

    def __init__(self, n_knots: int = 6, mix: str | None = "laplace") -> None:
        self.n_knots = n_knots
        self.mix = mix

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        if isinstance(self.n_knots, bool) or not isinstance(self.n_knots, int | np.integer) or self.n_knots < 3:
            raise InputError(f"n_knots must be a whole number of at least 3, but is {self.n_knots!r}.")
        total = groups.total_weight
        after = np.cumsum(groups.weight) / total
        gap = np.cumsum(groups.positive - groups.weight * groups.score) / total
        basis = CubicSpline(np.linspace(0, 1, self.n_knots), np.eye(self.n_knots), bc_type="natural")
        root = np.sqrt(groups.weight / total)[:, None]
        coefficients = np.linalg.lstsq(basis(after) * root, gap * root[:, 0], rcond=None)[0]
        middle = after - groups.weight / total / 2
        return groups.score, np.clip(groups.score + basis(middle, 1) @ coefficients, 0, 1)
