"""Residuals of the confidences on a fine grid, which smooth calibration errors are made of.

A row's confidence minus its correctness is shared between the two grid points beside the confidence, in proportion to
its nearness to each. So the grid is a sum over rows, of fixed size, and what a smoothing kernel makes of it differs
little from what it would make of the rows: see :class:`ResidualGrid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.stats.folds import FoldSums
from calkit.stats.forecasts import Forecasts
from calkit.stats.statistic import ForecastStatistic
from calkit.stats.views import TOP, View

__all__ = ["ResidualGrid", "Residuals", "absolute_integral", "density", "smoothed", "spectrum"]


@dataclass(frozen=True, eq=False)
class ResidualGrid:
    """Sums of residuals at the points ``k / n_cells``.

    Attributes
    ----------
    weight : float
        Sum of the weights of the rows.
    absolute : float
        Weighted sum of the absolute residuals.
    residual : ndarray of float64, shape (n_cells + 1,)
        Weighted sums of confidence minus correctness.
    """

    weight: float
    absolute: float
    residual: NDArray[np.float64]

    def __add__(self, other: ResidualGrid) -> ResidualGrid:
        if self.residual.shape != other.residual.shape:
            raise InputError(
                f"only grids of the same size can be added, not of {len(self.residual)} and {len(other.residual)} "
                "points."
            )
        return ResidualGrid(self.weight + other.weight, self.absolute + other.absolute, self.residual + other.residual)


@dataclass(frozen=True)
class Residuals(ForecastStatistic[ResidualGrid]):
    """Statistic: residuals on a grid of ``n_cells + 1`` points.

    Parameters
    ----------
    n_cells : int
    n_fold_cells : int
        Cells of the coarser grids that are kept for each fold.
    view : View
        Whose forecasts.
    """

    n_cells: int = 1 << 14
    n_fold_cells: int = 1 << 9
    view: View = TOP
    is_sum: ClassVar[bool] = True
    groupable: ClassVar[bool] = True

    def count(self, forecasts: Forecasts) -> ResidualGrid:
        """Return the :class:`ResidualGrid` of one block."""
        gap, weight = forecasts.gap, forecasts.weight
        cell, low, high = _shares(forecasts.probability, gap, self.n_cells)
        if weight is not None:
            low, high = low * weight, high * weight
        residual = np.zeros(self.n_cells + 1)
        residual[:-1] += np.bincount(cell, low, self.n_cells)
        residual[1:] += np.bincount(cell, high, self.n_cells)
        return ResidualGrid(forecasts.total_weight, forecasts.sum(np.abs(gap)), residual)

    def count_folds(self, forecasts: Forecasts, fold: NDArray[np.intp], n_folds: int) -> FoldSums:
        """Return the grids of each fold, coarser ones."""
        n, weight = self.n_fold_cells, forecasts.weight
        cell, low, high = _shares(forecasts.probability, forecasts.gap, n)
        if weight is not None:
            low, high = low * weight, high * weight
        place = fold * (n + 1) + cell
        size = n_folds * (n + 1)
        total = (np.bincount(place, low, size) + np.bincount(place + 1, high, size)).astype(np.float64)
        return FoldSums(np.bincount(fold, weight, n_folds).astype(np.float64), total.reshape(n_folds, n + 1))


def _shares(
    confidence: NDArray[np.float64], gap: NDArray[np.float64], n_cells: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return the cell of each row, and the shares of its gap that go to the lower and the upper end of the cell."""
    # Rounding may have put probabilities outside of [0, 1].
    place = np.clip(confidence, 0, 1) * n_cells
    cell = np.minimum(place.astype(np.intp), n_cells - 1)
    high = gap * (place - cell)
    return cell, gap - high, high


def smoothed(residual: NDArray[np.float64], bandwidth: float) -> NDArray[np.float64]:
    """Return the density of residuals under a Gaussian kernel that is reflected at 0 and 1.

    The reflected kernel solves the heat equation on [0, 1] with insulated ends, so it is diagonal in cosines: the term
    ``cos(πkt)`` is multiplied by ``exp(-(πk·bandwidth)² / 2)``.

    Parameters
    ----------
    residual : ndarray of float64, shape (..., n_cells + 1)
        Point masses at ``k / n_cells``.
    bandwidth : float
        Standard deviation of the kernel.

    Returns
    -------
    ndarray of float64, shape (..., n_cells + 1)
        The density at the same points.
    """
    return density(spectrum(residual), bandwidth)


def spectrum(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine moments ``Σ_j residual_j cos(πkj/n_cells)`` of point masses on a grid."""
    # The even extension of the grid is a circle, on which its inner points lie twice.
    circle = np.concatenate([residual, residual[..., -2:0:-1]], axis=-1) / 2
    circle[..., 0] *= 2
    circle[..., residual.shape[-1] - 1] *= 2
    return np.ascontiguousarray(np.fft.rfft(circle).real)


def density(moments: NDArray[np.float64], bandwidth: float) -> NDArray[np.float64]:
    """Return the smoothed density on the grid, from the cosine moments of the residuals."""
    n_cells = moments.shape[-1] - 1
    factor = np.exp(-0.5 * (np.pi * bandwidth * np.arange(n_cells + 1)) ** 2)
    return 2 * n_cells * np.fft.irfft(moments * factor, 2 * n_cells)[..., : n_cells + 1]


def absolute_integral(density: NDArray[np.float64]) -> float:
    """Return the integral over [0, 1] of the absolute value of a function that is linear between grid points."""
    a, b = np.abs(density[:-1]), np.abs(density[1:])
    both = a + b
    # Where the sign changes, two triangles are left; of both sides 0 there is nothing.
    crossing = density[:-1] * density[1:] < 0
    doubled = np.where(crossing, (a * a + b * b) / np.where(both > 0, both, 1), both)
    return float(doubled.sum()) / (2 * len(a))
