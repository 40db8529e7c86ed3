"""Bayesian binning into quantiles: equal-mass histograms of many sizes, averaged by their marginal likelihood."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, softmax

from calkit.calibrators.binning.base import TableMaps
from calkit.calibrators.binning.histogram import last_groups, upper_ends
from calkit.calibrators.binning.rows import Groups
from calkit.calibrators.registration import register_calibrator

__all__ = ["BayesianBinning"]

Floats = NDArray[np.float64]

# Numbers of bins run from n^(1/3) / 10 to 10 n^(1/3), and bins hold 5 rows or more.
_RANGE, _LEAST_ROWS = 10.0, 5.0
# Rows that the prior of a bin is worth: N0 = 2 B over B bins.
_STRENGTH = 2.0
# Histograms of less weight than this change no digit.
_NEGLIGIBLE = 1e-15


@register_calibrator("bbq")
class BayesianBinning(TableMaps):
    """Bayesian binning into quantiles (BBQ).

    Histograms of equal-mass bins with from n^(1/3) / 10 to 10 n^(1/3) bins are averaged, weighted by their exact
    marginal likelihood under a Beta prior of two pseudo-rows in each bin, whose mean is the bin's middle. The average
    is one step function.

    Parameters
    ----------
    mix : {"laplace", "probmetrics", None}, default="laplace"
        As for :class:`Isotonic`.

    Attributes
    ----------
    keys_, values_, splits_, n_rows_, classes_, n_features_in_
        As for :class:`HistogramBinning`.

    Notes
    -----
    The prior is the authors' score "BDeu2", the default of their paper. netcal's method of the same name is another
    one: it weighs equal-width histograms by BIC.

    References
    ----------
    Naeini, Cooper & Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> validation = load_digits_logits("validation")
    >>> get_calibrator("bbq").fit(validation.scores, validation.y_true).describe().title
    'Bayesian binning into quantiles'
    """

    title: ClassVar[str] = "Bayesian binning into quantiles"
    is_step: ClassVar[bool] = True

    def _fit_table(self, groups: Groups) -> tuple[Floats, Floats]:
        rows, positive = np.cumsum(groups.weight), np.cumsum(groups.positive)
        histograms, scores = [], []
        for n_bins in _bin_numbers(groups.total_weight):
            inner = last_groups(groups, n_bins)
            upper, last = upper_ends(groups, inner), np.append(inner, len(groups) - 1)
            n, s = np.diff(rows[last], prepend=0.0), np.diff(positive[last], prepend=0.0)
            middle = np.clip((np.append(0.0, upper[:-1]) + upper) / 2, 1e-9, 1 - 1e-9)
            hit, miss = _STRENGTH * middle, _STRENGTH * (1 - middle)
            # Sums of weights may round to a little less than nothing.
            missed = np.maximum(n - s, 0)
            scores.append((betaln(s + hit, missed + miss) - betaln(hit, miss)).sum())
            histograms.append((upper, (s + hit) / (n + _STRENGTH)))
        shares = softmax(scores)
        kept = [(histogram, share) for histogram, share in zip(histograms, shares, strict=True) if share > _NEGLIGIBLE]
        keys = np.unique(np.concatenate([upper for (upper, _), _ in kept]))
        values = sum(share * value[np.searchsorted(upper, keys, "left")] for (upper, value), share in kept)
        return keys, np.clip(values / sum(share for _, share in kept), 0, 1)


def _bin_numbers(n_rows: float) -> range:
    """Return the numbers of bins that are tried."""
    root = float(np.cbrt(n_rows))
    most = max(1, min(int(np.ceil(n_rows / _LEAST_ROWS)), int(np.ceil(_RANGE * root))))
    return range(min(most, max(1, int(root / _RANGE))), most + 1)
