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
from calkit.parameters import is_whole

__all__ = ["CdfSpline"]

Floats = NDArray[np.float64]

# A score that a larger share of the rows has than one in this number is cut into pieces.
_PIECES = 200
# Up to this share of the rows the mean slope of the spline is, to its last digits but a few, that in the middle.
_NARROW = 1e-6


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
    Along rows of equal score the curve is a straight line, what it is on average over their orders, so that their order
    does not matter; what is missing at their score is the mean slope of the spline there. The authors' code takes such
    rows one by one, in the order they happen to have.

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
        if not is_whole(self.n_knots, 3):
            raise InputError(f"n_knots must be a whole number of at least 3, but is {self.n_knots!r}.")
        share = groups.weight / groups.total_weight
        gap = (groups.positive - groups.weight * groups.score) / groups.total_weight
        owner, part = _pieces(groups.weight, share)
        basis = CubicSpline(np.linspace(0, 1, self.n_knots), np.eye(self.n_knots), bc_type="natural")
        root = np.sqrt(share[owner] * part)
        ends = np.cumsum(share[owner] * part)
        cumulative = np.cumsum(gap[owner] * part)
        coefficients = np.linalg.lstsq(basis(ends) * root[:, None], cumulative * root, rcond=None)[0]
        edges = np.append(0.0, np.cumsum(share))
        width, slope = np.diff(edges), basis((edges[:-1] + edges[1:]) / 2, 1) @ coefficients
        # Of a score that next to no weight has, the slope in its middle: differences would have lost their digits.
        wide = width > _NARROW
        slope[wide] = np.diff(basis(edges) @ coefficients)[wide] / width[wide]
        return groups.score, np.clip(groups.score + slope, 0, 1)


def _pieces(weight: Floats, share: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Cut scores that many rows have into pieces, along which the curve is straight.

    Returns
    -------
    owner : ndarray of intp
        The score of each piece.
    part : ndarray of float64
        Its share of the rows of that score.
    """
    n_pieces = np.maximum(1, np.minimum(weight, np.ceil(_PIECES * share))).astype(np.intp)
    owner = np.repeat(np.arange(len(weight)), n_pieces)
    return owner, 1 / n_pieces[owner]
