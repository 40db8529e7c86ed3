"""What all calibrators share that divide logits by one fitted temperature."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from calkit.calibrators.base import Calibrator, Floats
from calkit.calibrators.formula import Formula, with_bias
from calkit.calibrators.inputs import by_pieces, divided, softmax

__all__ = ["DividingCalibrator"]


class DividingCalibrator(Calibrator):
    """Divides logits by ``temperature_``; a subclass fits it and describes it."""

    temperature_: float

    @property
    def _equation(self) -> str:
        return f"p = softmax(z / {self.temperature_:.4g})"

    def _check_state(self) -> None:
        if not (isinstance(self.temperature_, float) and self.temperature_ > 0):
            raise ValueError(f"temperature_ is {self.temperature_!r:.40}, but must be a positive number")

    def formula(self) -> Formula:
        """Return the map as a formula."""
        return Formula(with_bias(np.eye(self.n_features_in_)), inverse_temperature=1 / self.temperature_)

    def _logits(self, logits: Floats) -> Floats:
        # The result stays in the precision of the logits; dividing keeps a temperature of 1 exact.
        return divided(logits, self.temperature_)

    def _log_proba(self, logits: Floats) -> Floats:
        return np.asarray(log_softmax(self._logits(logits), axis=1))

    def _proba(self, logits: Floats) -> Floats:
        return by_pieces(lambda piece: softmax(self._logits(piece)), logits)
