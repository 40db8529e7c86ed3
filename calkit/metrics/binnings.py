"""Ways to put probabilities into bins, by name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from calkit.errors import InputError
from calkit.inference.cells import CellSums
from calkit.inference.counts import Cells, EqualMassCells, cells_of_pairs
from calkit.registry import Registry
from calkit.stats import BinSums, ConfidencePairs, EqualMass, Pairs, Statistic, UniformBins
from calkit.stats.binning import as_n_bins
from calkit.stats.edges import EdgeBins
from calkit.stats.pairs import equal_mass_bins, focal_calibration_bins, percentile_index

__all__ = ["BINNINGS", "Binning", "get_binning", "unchanged"]


@dataclass(frozen=True)
class Binning:
    """How probabilities are put into bins: what is counted, and how that becomes sums over bins.

    Attributes
    ----------
    statistic : Statistic
    to_bins : callable
        Turns the summary of `statistic` into :class:`~calkit.stats.BinSums`.
    covers_all : bool
        Whether every row is in some bin.
    cells : Statistic, optional
        What is counted for floors and intervals; None where there are none.
    to_cells : callable
        Turns the summary of `cells` into :class:`~calkit.inference.cells.CellSums`.
    n_bins : int, optional
        Bins of each key; None if it depends on the rows.
    fixed : UniformBins, optional
        Tells the bin of a forecast, where that does not depend on the others.
    """

    statistic: Statistic[Any]
    to_bins: Callable[[Any], BinSums]
    covers_all: bool = True
    cells: Statistic[Any] | None = None
    to_cells: Callable[[Any], CellSums] | None = None
    n_bins: int | None = None
    fixed: UniformBins | None = None


#: Ways to bin, by name; each is a function of the number of bins.
BINNINGS: Registry[Callable[[int], Binning]] = Registry("binning")


def unchanged(summary: Any) -> Any:
    """Return what it is given."""
    return summary


def _fixed(statistic: UniformBins, to_bins: Callable[[Any], BinSums] = unchanged) -> Binning:
    n_bins = statistic.n_bins
    return Binning(statistic, to_bins, cells=Cells(statistic), to_cells=unchanged, n_bins=n_bins, fixed=statistic)


@BINNINGS.register("uniform")
def _uniform(n_bins: int) -> Binning:
    return _fixed(UniformBins(n_bins))


@BINNINGS.register("quantile", aliases=("equal-mass",))
def _quantile(n_bins: int) -> Binning:
    statistic, cells = EqualMass(n_bins), EqualMassCells(n_bins)
    return Binning(statistic, statistic.to_bins, cells=cells, to_cells=cells.to_cells, n_bins=n_bins)


def _cube_root(pairs: ConfidencePairs) -> int:
    """Return the cube root of the number of pairs, rounded up; that of a cube is exact."""
    return math.ceil(round(len(pairs) ** (1 / 3), 9))


@BINNINGS.register("cbrt")
def _cbrt(_: int) -> Binning:
    """Bins of equal mass, as many as the cube root of the number of rows, rounded up."""

    def to_bins(pairs: ConfidencePairs) -> BinSums:
        return equal_mass_bins(pairs, _cube_root(pairs))

    def to_cells(pairs: ConfidencePairs) -> CellSums:
        return cells_of_pairs(pairs, _cube_root(pairs), pairs=True)

    return Binning(Pairs(), to_bins, cells=Pairs(), to_cells=to_cells)


@BINNINGS.register("sklearn")
def _sklearn(_: int) -> Binning:
    """Bins between percentiles, as scikit-learn's calibration_curve has them with ``n_bins="cube_root"``."""

    def to_bins(pairs: ConfidencePairs) -> BinSums:
        index = percentile_index(pairs, _cube_root(pairs))
        n_bins, p = int(index.max()) + 1, pairs.confidence
        found = BinSums.from_rows(index, n_bins, p, pairs.correct)
        order = np.argsort(p, kind="stable")
        starts = np.searchsorted(index[order], np.arange(n_bins))
        return replace(found, lower=p[order][starts], upper=p[order][np.append(starts[1:], len(p)) - 1])

    def to_cells(pairs: ConfidencePairs) -> CellSums:
        index = percentile_index(pairs, _cube_root(pairs))
        return CellSums.of(index, int(index.max()) + 1, pairs.confidence, pairs.correct, pairs.weight, pairs=True)

    return Binning(Pairs(), to_bins, cells=Pairs(), to_cells=to_cells)


@BINNINGS.register("focal-calibration")
def _focal_calibration(n_bins: int) -> Binning:
    return Binning(Pairs(), partial(focal_calibration_bins, n_bins=n_bins), covers_all=False)


@BINNINGS.register("r-cut")
def _r_cut(n_bins: int) -> Binning:
    """Bins of R's ``cut``, ``(a, b]``, edges ``k * (1 / n_bins)`` as float64 has the product."""
    return _between(np.arange(1, n_bins) * (1 / n_bins), rounded=False)


@BINNINGS.register("netcal")
def _netcal(n_bins: int) -> Binning:
    """Bins ``[a, b)`` with edges of ``linspace``, the last closed: those of ``numpy.histogram``, which netcal uses."""
    return _between(np.linspace(0, 1, n_bins + 1)[1:-1], left_closed=True, rounded=False)


@BINNINGS.register("torchmetrics")
def _torchmetrics(n_bins: int) -> Binning:
    """Bins ``[a, b)`` with edges of torch's linspace, and one more for a probability of 1 alone."""
    k = np.arange(1, n_bins + 1)
    # torch counts from the nearer end.
    edges = np.where(k < (n_bins + 1) // 2, k * (1 / n_bins), 1 - (n_bins - k) * (1 / n_bins))
    return _between(edges, left_closed=True)


def _between(inner: Any, *, left_closed: bool = False, rounded: bool = True) -> Binning:
    edges = tuple(float(edge) for edge in inner)
    statistic = EdgeBins(len(edges) + 1, inner=edges, left_closed=left_closed, rounded=rounded)
    lower, upper = np.array([0.0, *edges]), np.array([*edges, 1.0])

    def with_edges(bins: BinSums) -> BinSums:
        return replace(bins, lower=lower, upper=upper)

    return _fixed(statistic, with_edges)


def get_binning(binning: str | Sequence[float], n_bins: int) -> Binning:
    """Return the way to bin that a name, or a sequence of edges, stands for.

    Parameters
    ----------
    binning : str or sequence of float
        A name of :data:`BINNINGS`; or edges from 0 to 1, bins being ``(a, b]``, as numbers or as text (``"0,.5,1"``).
    n_bins : int
        Number of bins; edges have their own.

    Raises
    ------
    InputError
        If `n_bins` is not a positive whole number, or the edges do not rise from 0 to 1.
    NotFoundError
        If no way to bin has that name.

    Examples
    --------
    >>> get_binning("0, 0.5, 0.9, 1", 15).n_bins
    3
    """
    if isinstance(binning, str) and "," not in binning:
        return BINNINGS[binning](as_n_bins(n_bins))
    pieces = binning.split(",") if isinstance(binning, str) else binning
    try:
        edges = [float(piece) for piece in pieces]
    except (TypeError, ValueError):
        raise InputError(f"binning must be a name or edges that rise from 0 to 1, but is {binning!r}.") from None
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise InputError(f"edges of bins must rise from 0 to 1, but are {', '.join(f'{edge:g}' for edge in edges)}.")
    return _between(edges[1:-1])
