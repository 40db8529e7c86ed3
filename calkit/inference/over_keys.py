"""The law of errors over keys (classes, thresholds, labels) of a calibrated model, also of few expected events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calkit.inference.cells import CellSums, draw_gaps
from calkit.inference.few_events import at_least, expected_of_cells, most_likely
from calkit.inference.floors import NullLaw, drawn_law, sum_of_gaps_law
from calkit.inference.resampling import Resampling

__all__ = ["few_events_law", "few_labels_law", "least_p_value", "summed_law"]

# Gaps that are drawn in all, and the fewest draws.
_DRAWN_GAPS, _FEWEST_DRAWS = 5_000_000, 200


def summed_law(sums: CellSums, n_keys: int, one_label: bool, resampling: Resampling) -> NullLaw:
    """Return the law of Σ |gap| over the cells of keys.

    Parameters
    ----------
    sums : CellSums
        In the order of keys and bins.
    n_keys : int
    one_label : bool
        Whether each row has one positive among the keys.
    resampling : Resampling
    """
    law = sum_of_gaps_law(sums, 1, n_keys=n_keys, one_label=one_label)
    few = few_events_law(sums, n_keys, one_label, resampling)
    if few is None:
        return law
    return replace(few, mean=law.mean) if one_label else law.not_below(few)


def few_events_law(sums: CellSums, n_keys: int, one_label: bool, resampling: Resampling) -> NullLaw | None:
    """Return a law of Σ |gap| that holds where few rows are expected not to go as forecast; None where many are.

    If a row has one label, its residuals sum to 0, and so do all gaps: Σ |gap| is twice the sum of those below 0. Of
    these one side of each label that was not expected is drawn, and not two that know nothing of each other. Other keys
    may depend on each other in any way: a row may be unexpected in all of them, and the number of such rows is bounded.
    """
    if one_label:
        return few_labels_law(sums, sums, n_keys, resampling)
    filled = sums.filled
    expected = expected_of_cells(filled)
    if expected.has_tail or not expected.events:
        return None
    if expected.uneven:
        keys, total = expected.of_keys(n_keys), expected.total
        return NullLaw(0.0, lambda value: keys.bound(value / total), lambda tail: keys.critical(tail) * total)
    unit, events = float(sums.weight.sum()) / expected.rows, 2 * expected.events
    return NullLaw(
        0.0,
        lambda value: at_least((value / unit - events) / n_keys, events),
        lambda probability: (events + n_keys * most_likely(events, probability)) * unit,
    )


def least_p_value(sums: CellSums, n_keys: int, one_label: bool, resampling: Resampling) -> float:
    """Return the p-value of Σ |gap| where few events are expected, 0 where many are: no error says more than these."""
    few = few_events_law(sums, n_keys, one_label, resampling)
    return 0.0 if few is None else few.p_value(float(np.abs(sums.gap).sum()))


def few_labels_law(cells: CellSums, sums: CellSums, n_keys: int, resampling: Resampling) -> NullLaw | None:
    """Return the law of Σ |gap| over cells of rows of which each has one label; None where many other labels come.

    Parameters
    ----------
    cells : CellSums
        Those of `sums`, or these pooled over keys.
    sums : CellSums
        In the order of classes and bins.
    n_keys : int
    resampling : Resampling
    """
    expected = expected_of_cells(sums.filled).of_one_label(n_keys)
    if not expected.few:
        return None
    filled, total = cells.filled, float(sums.weight.sum()) / n_keys
    n = max(_FEWEST_DRAWS, min(resampling.n_resamples, _DRAWN_GAPS // len(filled.weight)))
    below = np.maximum(-draw_gaps(filled, n, resampling.random), 0).sum(axis=1)
    return drawn_law(below / total, expected=expected).scaled(2 * total)
