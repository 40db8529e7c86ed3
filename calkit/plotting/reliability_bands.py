"""Bands of a reliability diagram: where calibrated models would lie, or where the true curve lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.estimators.bands import Band, corp_consistency_band, simultaneous_band
from calkit.inference.means import clopper_pearson
from calkit.registry import Registry
from calkit.stats import BinSums

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from calkit.plotting.reliability import ReliabilityDisplay

__all__ = ["RELIABILITY_BANDS", "band_name", "consistency_band", "draw_band", "proportion_limits"]

_COLOUR = "#9aa5b5"

# Of the band around a single point.
_HALF = 0.02

FloatArray = NDArray[np.float64]

#: Corners of the area of a band, (x, low, high), and what the legend calls it.
Area = tuple[FloatArray, FloatArray, FloatArray, str]

#: Bands by name. Each is given the display, and whether the curve drawn is CORP's.
RELIABILITY_BANDS: Registry[Callable[[ReliabilityDisplay, bool], Area]] = Registry("band")


def band_name(band: bool | str | None) -> str | None:
    """Return the name of a band that was asked for; None for none.

    Raises
    ------
    NotFoundError
        If there is no such band.
    """
    if isinstance(band, bool) or band in (None, "none"):
        return "consistency" if band is True else None
    RELIABILITY_BANDS[str(band)]
    return str(band)


def draw_band(display: ReliabilityDisplay, ax: Axes, index: int, band: str, *, corp: bool) -> Any:
    """Draw a band as an area; return it."""
    x, low, high, label = RELIABILITY_BANDS[band](display, corp)
    label = label if not index else f"{label}, {display.name or index}"
    if len(x) == 1:
        # A single point has no width to be seen by.
        x, low, high = x[0] + np.array([-_HALF, _HALF]), np.repeat(low, 2), np.repeat(high, 2)
    return ax.fill_between(x, low, high, color=_COLOUR, alpha=0.35, linewidth=0, label=label, zorder=1)


@RELIABILITY_BANDS.register("consistency")
def _consistency(display: ReliabilityDisplay, corp: bool) -> Area:
    label = "95 % of calibrated models"
    if corp:
        band = corp_consistency_band(display.forecasts)
        return band.probability, band.low, band.high, label
    bins = display.bins
    return bins.mean_confidence[bins.weight > 0], *consistency_band(bins), label


@RELIABILITY_BANDS.register("simultaneous")
def _simultaneous(display: ReliabilityDisplay, corp: bool) -> Area:  # noqa: ARG001 (it is of the true curve)
    return *_stepped(simultaneous_band(display.forecasts)), "95 % band of the true curve"


def _stepped(band: Band) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the corners of a band whose limits jump: between forecasts the next upper and the last lower one hold."""
    differs = (np.diff(band.low) != 0) | (np.diff(band.high) != 0)
    kept = np.append(True, differs) | np.append(differs, True)
    x, low, high = (np.repeat(values[kept], 2) for values in (band.probability, band.low, band.high))
    return np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0, 0.0], low]), np.concatenate([high, [1.0, 1.0]])


def proportion_limits(bins: BinSums, confidence_level: float = 0.95) -> tuple[Any, Any]:
    """Return the Clopper-Pearson limits of the outcome frequency of each bin that holds samples.

    Parameters
    ----------
    bins : BinSums
    confidence_level : float, default=0.95

    Returns
    -------
    low, high : ndarray of shape (m,)
        For the m bins with samples; with weights, the number of rows stands for their worth.
    """
    filled = bins.weight > 0
    rows = bins.count[filled].astype(np.float64)
    tail = (1 - confidence_level) / 2
    return clopper_pearson(bins.accuracy[filled] * rows, rows, tail, 1 - tail)


def consistency_band(bins: BinSums, confidence_level: float = 0.95) -> tuple[Any, Any]:
    """Return where the frequency of each bin lies if the predictions are perfectly calibrated.

    Parameters
    ----------
    bins : BinSums
    confidence_level : float, default=0.95
        Probability that a single bin of perfectly calibrated predictions lies within.

    Returns
    -------
    low, high : ndarray of shape (m,)
        Quantiles of the binomial law of the bin's mean prediction, for the m bins with samples.

    References
    ----------
    Bröcker & Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 22, 2007.
    """
    from scipy.stats import binom

    filled = bins.weight > 0
    rows, mean = bins.count[filled], np.clip(bins.mean_confidence[filled], 0, 1)
    tail = (1 - confidence_level) / 2
    low, high = (binom.ppf(q, rows, mean) / rows for q in (tail, 1 - tail))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
