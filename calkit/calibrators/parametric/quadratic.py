"""Quadratic scaling of the logit of two classes."""

from __future__ import annotations

from typing import ClassVar

from calkit.calibrators.parametric.binary import Binary, PolynomialMap
from calkit.calibrators.parametric.maps import LinearMap
from calkit.calibrators.registration import register_calibrator

__all__ = ["QuadraticScaling"]


@register_calibrator("quadratic")
class QuadraticScaling(Binary):
    r"""Logistic regression on the logit s of class 1 and its square: :math:`a + b s + c s^2`, of two classes.

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`a^2 + (b - 1)^2 + c^2` beside the mean log-loss. By default 0; where a class is
        absent or the data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    coef_ : ndarray of shape (3,)
        a, b and c.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    Raises
    ------
    InputError
        If there are more than two classes.

    Notes
    -----
    The map need not rise everywhere: beyond the logits it was fitted on it may turn.

    References
    ----------
    Used as a calibrator of binary tables in the benchmark CalArena, 2026.

    Examples
    --------
    >>> from calkit.calibrators import QuadraticScaling
    >>> logits, labels = [-2.0, -1.0, 1.0, -0.5, 3.0, 0.5], [0, 0, 0, 1, 1, 1]
    >>> QuadraticScaling().fit(logits, labels).coef_.shape
    (3,)
    """

    _title: ClassVar[str] = "quadratic scaling"
    _names: ClassVar[tuple[str, ...]] = ("a", "b", "c")

    def _map(self, n_classes: int) -> LinearMap:
        return PolynomialMap(n_classes, 2)
