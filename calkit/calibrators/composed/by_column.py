"""A calibrator for each value of a column of the data: by category, by source, by language model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.composed.parts import fit_each, new_calibrator, supported_by
from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.registration import register_calibrator
from calkit.lazy import LazyArray, has_random_access
from calkit.predictions import Kind, Predictions
from calkit.registry import unknown_name
from calkit.shards import Shards
from calkit.stats import Rows, Statistic, summarize

__all__ = ["ByColumn"]


@register_calibrator("by-column", aliases=("by",))
class ByColumn(Calibrator):
    """Fit one calibrator per value of a column that travels with the rows.

    Parameters
    ----------
    column : str, optional
        A name in the `columns` of the predictions. Without it, one calibrator serves all rows.
    calibrator : str or Calibrator, default="temperature"
        What is fitted.
    min_rows : int, default=50
        A value with fewer rows, or one that was not there in the fit, is served by the calibrator of all rows.

    Attributes
    ----------
    calibrator_ : Calibrator
        Of all rows; also what :meth:`predict_proba` uses, which is handed no column.
    values_ : ndarray
        The values that have a calibrator of their own.
    calibrators_ : list of Calibrator
        Theirs.

    Examples
    --------
    Answers to easy questions are given with too little confidence, those to hard ones with too much:

    >>> import numpy as np
    >>> from calkit import Predictions
    >>> from calkit.calibrators import ByColumn
    >>> topic = np.repeat(["easy", "hard"], 100)
    >>> right = np.r_[np.tile([1] * 9 + [0], 10), np.tile([1, 1, 1, 0, 0], 20)]
    >>> pairs = Predictions(np.full(200, 0.7), right, kind="confidence", columns={"topic": topic})
    >>> after = ByColumn("topic").fit_predictions(pairs).apply(pairs)
    >>> after.scores[[0, 100]].round(3)
    array([0.9, 0.6])
    """

    _state: ClassVar[tuple[str, ...]] = ("calibrator_", "values_", "calibrators_")

    calibrator_: Calibrator
    values_: NDArray[Any]
    calibrators_: list[Calibrator]

    def __init__(
        self, column: str | None = None, calibrator: str | Calibrator = "temperature", min_rows: int = 50
    ) -> None:
        self.column = column
        self.calibrator = calibrator
        self.min_rows = min_rows

    @property
    def supports(self) -> frozenset[str]:  # type: ignore[override]
        """What the calibrator supports."""
        return supported_by(self.calibrator, "weights", "shards", "pairs", "soft")

    @property
    def keeps_order(self) -> bool:  # type: ignore[override]
        """What holds for the calibrator."""
        return new_calibrator(self.calibrator).keeps_order

    @property
    def needs_columns(self) -> tuple[str, ...]:
        """The column, if there is one."""
        return () if self.column is None else (self.column,)

    def _fit(self, data: Predictions | Shards) -> None:
        self.calibrator_ = new_calibrator(self.calibrator).fit_predictions(data)
        self.values_, self.calibrators_ = np.empty(0, dtype="U1"), []
        if self.column is None:
            return
        counted = _Counts(self.column)
        counts: Counter[str] = summarize(data, [counted])[counted]
        enough = sorted(value for value, n in counts.items() if n >= self.min_rows)
        self.values_ = np.array(enough, dtype=None if enough else "U1")
        each = ((f"{self.column} {value}", _rows_of(data, self.column, value)) for value in enough)
        self.calibrators_ = fit_each(self.calibrator, each, title="calibrators")

    def _check_state(self) -> None:
        if len(self.calibrators_) != len(self.values_):
            raise ValueError(f"it holds {len(self.calibrators_)} calibrators for {len(self.values_)} values")

    def _log_proba(self, logits: Floats) -> Floats:
        return self.calibrator_._log_proba(logits)

    def _calibrated(self, logits: Predictions, kind: Kind) -> LazyArray:
        if self.column is None:
            return super()._calibrated(logits, kind)
        return _ByKey(self, logits, _keys(logits, self.column), kind)

    def describe(self) -> Description:
        """Return the number of values with a calibrator of their own, and what was fitted for each."""
        inner = self.calibrator_.describe()
        if self.column is None:
            return inner
        notes = tuple(
            f"{self.column} {value}: {item.describe().text()}."
            for value, item in zip(self.values_.tolist(), self.calibrators_, strict=True)
        )
        return Description(
            f"{inner.title} by {self.column}", (FittedValue("n_values", len(self.values_)),), notes=notes
        )


def _keys(predictions: Predictions, column: str) -> NDArray[Any]:
    if column not in predictions.columns:
        raise unknown_name("column", column, predictions.columns, of="the predictions")
    return np.asarray(predictions.columns[column]).astype(str)


@dataclass(frozen=True)
class _Counts(Statistic["Counter[str]"]):
    """Statistic: how many rows that count have each value of a column."""

    column: str
    is_sum: ClassVar[bool] = True

    def measure(self, rows: Rows) -> Counter[str]:
        """Return the counts of one block."""
        keys = np.asarray(rows.column(self.column)).astype(str)
        return Counter((keys if rows.weight is None else keys[rows.weight > 0]).tolist())


def _rows_of(data: Predictions | Shards, column: str, value: str) -> Predictions | Shards:
    """Return the rows of a value; of a file that has none, one row of weight 0."""
    if isinstance(data, Shards):
        return data.map(partial(_rows_of, column=column, value=value))  # type: ignore[arg-type]
    rows = np.flatnonzero(_keys(data, column) == value)
    return data.take(rows) if len(rows) else data.take(slice(0, 1)).replace(sample_weight=np.zeros(1))


class _ByKey(LazyArray):
    """Calibrated scores, each row by the calibrator of its key."""

    def __init__(self, calibrator: ByColumn, logits: Predictions, keys: NDArray[Any], kind: Kind) -> None:
        shape = (logits.n_samples,) if kind == "confidence" else (logits.n_samples, calibrator.n_features_in_)
        super().__init__(shape, np.float64)
        self.has_random_access = has_random_access(logits.scores)
        self._source, self._keys = logits.scores, keys
        self._convert = {
            value: item._converter(kind)
            for value, item in zip(calibrator.values_.tolist(), calibrator.calibrators_, strict=True)
        }
        self._otherwise = calibrator.calibrator_._converter(kind)

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        return self._mapped(np.asarray(self._source[start:stop]), self._keys[start:stop])

    def _mapped(self, rows: NDArray[Any], keys: NDArray[Any]) -> NDArray[Any]:
        out = np.empty((len(rows), *self.shape[1:]))
        for key in np.unique(keys).tolist():
            chosen = keys == key
            out[chosen] = self._convert.get(key, self._otherwise)(rows[chosen])
        return out
