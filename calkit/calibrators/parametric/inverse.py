"""The way back: logits that a fitted map turns into given probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from calkit.errors import InputError

if TYPE_CHECKING:
    from calkit.calibrators.formula import Formula

__all__ = ["LinearInverse", "RisingInverse"]

Floats = NDArray[np.floating[Any]]

_MAX_STEPS = 200
# Differences of the last step, relative to the number itself.
_TOLERANCE = 1e-14
# Logits are looked for between these.
_LARGEST = 1e9


class _Inverse:
    """A calibrator with :meth:`inverse_transform`."""

    _checked: Callable[[Any], Floats]

    def inverse_transform(self, X: Any) -> Floats:
        """Return logits that :meth:`transform` maps to ``X``, up to a constant per row.

        Parameters
        ----------
        X : array-like of shape (n, K)
            Calibrated logits or log-probabilities, finite.

        Returns
        -------
        ndarray of shape (n, K)
            Log-probabilities before calibration.

        Raises
        ------
        InputError
            If the fitted map is not one to one, or gives no row such probabilities.
        """
        given = self._checked(X)
        if not np.isfinite(given).all():
            raise InputError("X holds -inf: a class of probability 0 does not tell which logits it came from.")
        found = self._inverse(np.asarray(log_softmax(given.astype(np.float64), axis=1)))
        return np.asarray(log_softmax(found, axis=1)).astype(given.dtype)

    def _inverse(self, log_proba: Floats) -> Floats:
        raise NotImplementedError


class LinearInverse(_Inverse):
    """The inverse of ``u = W x + b``, of log-probabilities x."""

    formula: Callable[[], Formula | None]

    def _inverse(self, log_proba: Floats) -> Floats:
        formula = self.formula()
        assert formula is not None  # noqa: S101 - the map is linear
        matrix, bias = formula.matrix[:-1].T, formula.matrix[-1]
        try:
            columns = np.linalg.solve(matrix, np.vstack([log_proba - bias, np.ones(len(bias))]).T).T
        except np.linalg.LinAlgError:
            raise _not_one_to_one() from None
        x, direction = columns[:-1], columns[-1]
        if not np.isfinite(columns).all() or not (direction > 0).all():
            raise _not_one_to_one()
        # Probabilities tell u up to a constant, which is found from the sum of those before, 1.
        x = x - _constants(x, direction)[:, None] * direction
        if formula.mix:
            p = (np.exp(x) - formula.mix / len(bias)) / (1 - formula.mix)
            if not (p > 0).all():
                raise InputError(
                    "X holds probabilities that the map gives to no row: it mixes a share of the uniform distribution "
                    f"in first, {formula.mix:.3g}."
                )
            x = np.log(p)
        return x / formula.inverse_temperature


class RisingInverse(_Inverse):
    """The inverse of a map of the logit of class 1, where that rises without bounds."""

    coef_: NDArray[np.float64]
    _mapped_logit: Callable[[Floats], Floats]

    def _inverse(self, log_proba: Floats) -> Floats:
        wanted = log_proba[:, 1] - log_proba[:, 0]
        low, high = np.full(len(wanted), -_LARGEST), np.full(len(wanted), _LARGEST)
        if not (self._mapped_logit(low) < wanted).all() or not (self._mapped_logit(high) > wanted).all():
            raise _not_one_to_one()
        middle = np.zeros(len(wanted))
        for _ in range(_MAX_STEPS):
            above = self._mapped_logit(middle) >= wanted
            low, high = np.where(above, low, middle), np.where(above, middle, high)
            if (high - low <= _TOLERANCE * np.maximum(1, abs(middle))).all():
                break
            middle = (low + high) / 2
        return np.stack([np.zeros(len(wanted)), middle], axis=1)


def _constants(x: Floats, direction: Floats) -> Floats:
    """Return c with ``Σ exp(x - c direction) = 1`` for each row: Newton's method from the left of a convex function."""
    c = (x / direction).max(axis=1)
    for _ in range(_MAX_STEPS):
        shifted = x - c[:, None] * direction
        total = logsumexp(shifted, axis=1)
        slope = (np.exp(shifted - total[:, None]) * direction).sum(axis=1)
        step = total / slope
        c = c + step
        if (abs(step) <= _TOLERANCE * np.maximum(1, abs(c))).all():
            break
    return c


def _not_one_to_one() -> InputError:
    return InputError("the fitted map is not one to one, so it has no inverse.")
