"""A few of many rows, for a first guess."""

from __future__ import annotations

from calkit.predictions import Predictions
from calkit.shards import Shards

__all__ = ["subsample"]


def subsample(predictions: Predictions | Shards, n_rows: int) -> Predictions | None:
    """Return about `n_rows` rows at equal distances; None of fewer than twice as many, or if all have weight 0."""
    if not isinstance(predictions, Predictions) or predictions.n_samples < 2 * n_rows:
        return None
    sample = predictions.take(slice(None, None, predictions.n_samples // n_rows))
    return None if sample.sample_weight is not None and not sample.sample_weight.any() else sample
