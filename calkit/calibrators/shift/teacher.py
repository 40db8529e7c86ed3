"""A temperature without labels: from the probabilities of a teacher, where it agrees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.description import Description, FittedValue
from calkit.calibrators.division import DividingCalibrator
from calkit.calibrators.nll_root import nll_root
from calkit.calibrators.registration import register_calibrator
from calkit.errors import CalibrationWarning, InputError
from calkit.predictions import Predictions
from calkit.shards import Shards
from calkit.stats import Rows, Statistic, summarize

__all__ = ["TeacherTemperature"]


@register_calibrator("teacher")
class TeacherTemperature(DividingCalibrator):
    """Divide logits by the temperature at which they are nearest to a teacher's probabilities, where the two agree.

    The teacher's probabilities take the place of the labels, as soft labels of shape (n, K). The usual case is a
    language model that was tuned to follow instructions, over-confident, beside the calibrated one it was made from.

    Attributes
    ----------
    temperature_ : float
    agreement_ : float
        Share of the rows on which both have the same most probable class.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int

    Raises
    ------
    InputError
        If no row agrees.

    Warns
    -----
    CalibrationWarning
        If the rows do not determine a temperature, as those of a teacher that is certain.

    Notes
    -----
    Where the two disagree, the teacher's doubt is not about the student's answer, and a temperature fitted to it would
    be too high. The cross-entropy to the teacher is minimised, as the NLL is by :class:`TemperatureScaling`.

    References
    ----------
    Luo, Wang, Jing & Wei, "Your Pre-trained LLM is Secretly an Unsupervised Confidence Calibrator", 2025 (DACA).

    Examples
    --------
    >>> import numpy as np
    >>> from calkit import Predictions
    >>> from calkit.calibrators import TeacherTemperature
    >>> logits = np.array([[4.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> teacher = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    >>> fitted = TeacherTemperature().fit_predictions(Predictions(logits, teacher, kind="logits"))
    >>> round(fitted.temperature_, 6)
    2.0
    """

    supports: ClassVar[frozenset[str]] = frozenset({"weights", "soft", "shards"})
    keeps_order: ClassVar[bool] = True
    _state: ClassVar[tuple[str, ...]] = ("temperature_", "agreement_")

    agreement_: float

    def _fit(self, data: Predictions | Shards) -> None:
        agreeing, total = summarize(data, [_Agreement()])[_Agreement()].tolist()
        self.agreement_ = agreeing / total
        if not self.agreement_ > 0:
            raise InputError(
                "the teacher agrees with the scores in no row, so there is nothing to fit a temperature to."
            )
        root = nll_root(data.map(_agreeing_rows) if isinstance(data, Shards) else _agreeing_rows(data))
        self.temperature_ = root.temperature
        if root.outcome != "converged":
            warnings.warn(
                f"the rows on which the teacher agrees do not determine a temperature ({root.outcome}); it is held at "
                f"{root.temperature:.6g}. Pass the teacher's probabilities, of shape (n, K), as labels.",
                CalibrationWarning,
                stacklevel=4,
            )

    def describe(self) -> Description:
        """Return the temperature and the share of agreement."""
        values = (FittedValue("temperature", self.temperature_, "T"), FittedValue("agreement", self.agreement_))
        return Description(
            "temperature from a teacher",
            values,
            temperature=self.temperature_,
            equation=self._equation,
        )


@dataclass(frozen=True)
class _Agreement(Statistic[Any]):
    """Statistic: the weight of the rows on which scores and teacher agree, and that of all."""

    needs_distribution = True

    def measure(self, rows: Rows) -> NDArray[np.float64]:
        rows.check()
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        return np.array([weight @ (rows.scores.argmax(axis=1) == rows.y_true), weight.sum()])


def _agreeing_rows(data: Predictions) -> Predictions:
    """Return data whose rows count where scores and teacher agree."""
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight.copy()
    everything = data.replace(sample_weight=None)
    for rows in data.row_slices():
        block = everything.block(rows)
        weight[rows] *= block.scores.argmax(axis=1) == block.require_labels()
    return data.replace(sample_weight=weight)
