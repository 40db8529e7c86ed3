"""What a reliability diagram shows, as numbers: sums over bins, or every forecast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.curves import one_view
from calkit.errors import InputError
from calkit.estimators.corp import isotonic_curve
from calkit.estimators.ranked import Ranked
from calkit.inference.whole import ranked_pairs
from calkit.metrics.binned import expected_gap
from calkit.metrics.binnings import get_binning
from calkit.plotting.reliability_bands import band_name, proportion_limits
from calkit.plotting.reliability_styles import RANKED_STYLES, RELIABILITY_STYLES
from calkit.predictions import Predictions
from calkit.registry import unknown_name
from calkit.stats import BinSums, Pairs, UniformBins, View, summarize
from calkit.stats.grouping import group_name, groups_of, ordered
from calkit.stats.rows import CLASS_COLUMNS, Rows, Workspace
from calkit.stats.targets import default_view, get_view
from calkit.stats.views import Only

__all__ = ["Counted", "Counting", "parts_of"]

# Bins of the histogram below a diagram of equal-mass bins, whose own shares are all alike.
_HISTOGRAM_BINS = 25


class Counted:
    """Sums over bins, and every forecast where it was kept.

    Attributes
    ----------
    bins : BinSums
        One row of bins.
    histogram : BinSums
        Bins whose shares are drawn below the diagram.
    style : str
        What is drawn of it by default.
    """

    def __init__(
        self, bins: BinSums, histogram: BinSums | None = None, ranked: Ranked | None = None, style: str = "line"
    ) -> None:
        if bins.count.ndim != 1:
            raise InputError(f"bins must be one row of bins, but have shape {bins.count.shape}.")
        self.bins = bins
        self.histogram = bins if histogram is None else histogram
        self.style = style
        self._ranked = ranked

    @property
    def forecasts(self) -> Ranked:
        """Every forecast, in rising order.

        Raises
        ------
        InputError
            If only sums over bins were counted.
        """
        if self._ranked is None:
            raise InputError(
                "this display holds sums over bins only; count every forecast: from_predictions(..., style='corp') or "
                "from_predictions(..., band='simultaneous')."
            )
        return self._ranked

    @cached_property
    def curve(self) -> NDArray[np.float64]:
        """The CORP curve at each of the forecasts: the rising curve nearest to the outcomes."""
        return isotonic_curve(self.forecasts)

    @property
    def ece(self) -> float:
        """Expected calibration error over the bins shown."""
        return expected_gap(self.bins)

    @property
    def measure(self) -> str:
        """What the bins' mean gap is called: ``"ECE"``, of equal-mass bins ``"AdaECE"``."""
        return "ECE" if self.bins.lower is None else "AdaECE"

    @property
    def _samples(self) -> str:
        return f"n = {int(self.bins.count.sum()):,}".replace(" ", "\N{NO-BREAK SPACE}")

    def columns(self) -> dict[str, Any]:
        """Return what is drawn as columns, one row per bin that holds samples; of style "corp", one per forecast.

        Returns
        -------
        dict of ndarray
            Lower and upper edge, count, weight, mean confidence, accuracy and the 95 % limits of the accuracy. Of
            style "corp": probability, weight and the frequency that the curve gives it.
        """
        if self.style in RANKED_STYLES:
            found = self.forecasts
            return {"probability": found.probability, "weight": found.weight, "frequency": self.curve}
        filled = self.bins.weight > 0
        lower, upper = self.bins.edges
        low, high = proportion_limits(self.bins)
        return {
            "lower": lower[filled],
            "upper": upper[filled],
            "count": self.bins.count[filled],
            "weight": self.bins.weight[filled],
            "confidence": self.bins.mean_confidence[filled],
            "accuracy": self.bins.accuracy[filled],
            "accuracy_low": low,
            "accuracy_high": high,
        }


@dataclass(frozen=True)
class Counting:
    """How predictions are counted for a diagram; see ``ReliabilityDisplay.from_predictions``."""

    n_bins: int
    binning: str
    style: str
    band: bool | str | None

    def of(self, predictions: Predictions, view: View) -> dict[str, Any]:
        """Return the arguments of a display: bins, histogram, forecasts, style and band.

        Raises
        ------
        InputError
            If the bins do not hold all samples.
        """
        RELIABILITY_STYLES[self.style]
        how = get_binning(self.binning, self.n_bins)
        if not how.covers_all:
            raise InputError(
                f"binning {self.binning!r} drops samples, so it cannot be drawn; use 'uniform' or 'quantile'."
            )
        statistic, shares, pairs = how.statistic.on(view), UniformBins(_HISTOGRAM_BINS, view), Pairs(view)
        wanted: list[Any] = [statistic]
        if self.binning != "uniform":
            wanted.append(shares)
        if self.style in RANKED_STYLES or band_name(self.band) == "simultaneous":
            wanted.append(pairs)
        found = summarize(predictions, wanted)
        return {
            "bins": how.to_bins(found[statistic]),
            "histogram": found.get(shares),
            "ranked": ranked_pairs(found[pairs]) if pairs in wanted else None,
            "style": self.style,
            "band": self.band,
        }


def _column_of(predictions: Predictions, by: str) -> tuple[NDArray[Any], Sequence[Any] | None]:
    """Return the column that tells the groups; of classes their places, and what they are called."""
    if by in predictions.columns:
        return np.asarray(predictions.columns[by]), None
    if by not in CLASS_COLUMNS:
        raise unknown_name("column", by, [*predictions.columns, *CLASS_COLUMNS], of="the predictions")
    # Blocks leave rows of weight 0 out.
    workspace = Workspace()
    blocks = predictions.replace(sample_weight=None).blocks()
    places = np.concatenate([Rows(block, workspace).column(by) for block in blocks])
    return places, predictions.class_names or range(predictions.n_classes or 0)


def parts_of(
    predictions: Predictions, target: str | View | None, by: str | None
) -> Iterator[tuple[str, Predictions, View]]:
    """Yield the rows and the forecasts of each diagram by its name: of each group of rows, or of each class.

    Raises
    ------
    InputError
        If `target` is one event and there is no `by`, or both are several.
    """
    if by is not None:
        column, names = _column_of(predictions, by)
        view = one_view(predictions, target)
        groups = groups_of(by, column)
        for value in ordered(groups):
            name = group_name(value if names is None else names[value])
            yield f"{by} = {name}", predictions.take(groups[value]), view
        return
    view = (default_view(predictions) if target is None else get_view(target)).bind(predictions)
    if view.name not in ("classwise", "multilabel"):
        raise InputError(f"target={view.spec!r} is one event; use from_predictions, or name a column with by=.")
    for place, label in enumerate(predictions.class_names or range(predictions.n_classes or 0)):
        yield f"class {label}", predictions, Only(view, place)
