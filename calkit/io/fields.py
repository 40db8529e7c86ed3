"""Predictions as named arrays: what writers write and readers find again."""

from __future__ import annotations

from typing import Any

import numpy as np

from calkit.predictions import Predictions

__all__ = ["fields_of"]


def fields_of(predictions: Predictions) -> dict[str, Any]:
    """Return the arrays of predictions under the names that :mod:`calkit.io.names` understands."""
    labels = "correct" if predictions.kind == "confidence" else "labels"
    fields: dict[str, Any] = {predictions.kind: predictions.scores, labels: predictions.y_true}
    if predictions.sample_weight is not None:
        fields["sample_weight"] = predictions.sample_weight
    if predictions.class_names is not None:
        fields["class_names"] = np.array(predictions.class_names, dtype=str)
    return fields
