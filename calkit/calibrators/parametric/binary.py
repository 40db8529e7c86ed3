"""Calibrators of two classes: the logit of class 1 is linear in a few functions of the logit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.description import Curve, Description, FittedValue, terms
from calkit.calibrators.parametric.base import Parametric, Ridged
from calkit.calibrators.parametric.features import Block, log_probabilities
from calkit.calibrators.parametric.maps import BinaryMap, Features

__all__ = ["Binary", "PolynomialMap"]

Floats = NDArray[np.floating[Any]]

_CURVE_POINTS = 201


class PolynomialMap(BinaryMap):
    """Features 1, s, … of the logit s = x₁ - x₀.

    Parameters
    ----------
    n_classes : int
        Two.
    degree : int
    """

    def __init__(self, n_classes: int, degree: int) -> None:
        super().__init__(n_classes)
        self.degree = degree

    def identity(self) -> NDArray[np.float64]:
        """Return the coefficients of s itself."""
        return np.eye(1, self.degree + 1, 1)[0]

    def as_matrix(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], Features] | None:
        """Return the coefficients of x_0, x_1, s², nothing and 1."""
        if self.degree > 2:
            return None
        a, b, c = np.append(theta, 0.0)[:3]
        logit = np.array([-b, b, c, 0.0, a])
        return np.stack([np.zeros(5), logit], axis=1), "binary"

    def basis(self, block: Block) -> Floats:
        """Return powers of the logit."""
        s = block.x[:, 1] - block.x[:, 0]
        return np.stack([s**power for power in range(self.degree + 1)], axis=1)


class Binary(Ridged):
    """Base of calibrators of two classes.

    A subclass has a map of few features, and lists names of their coefficients in `_names`.
    """

    supports: ClassVar[frozenset[str]] = Parametric.supports | {"pairs"}
    _parameters: ClassVar[tuple[str, ...]] = ("coef_",)
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)
    binary_only: ClassVar[bool] = True
    _names: ClassVar[tuple[str, ...]]
    #: What the coefficients multiply.
    _symbols: ClassVar[tuple[str, ...]] = ("", "s", "s²")

    coef_: NDArray[np.float64]

    def _mapped_logit(self, s: Floats) -> Floats:
        """Return what the logit s of class 1 becomes."""
        x, _ = log_probabilities(np.stack([np.zeros_like(s), s], axis=1), 1.0, 0.0, np.float64)
        return np.asarray(self._map(2).basis(Block(x, np.empty(0, np.intp))) @ self.coef_)

    def describe(self) -> Description:
        """Return the coefficients, and the map of probabilities."""
        p = np.linspace(0, 1, _CURVE_POINTS)[1:-1]
        mapped = self._proba(np.stack([np.log1p(-p), np.log(p)], axis=1))[:, 1]
        curve = Curve("map", tuple(p.tolist()), tuple(mapped.tolist()))
        values = tuple(FittedValue(name, float(c), name) for name, c in zip(self._names, self.coef_, strict=True))
        logit = terms(self.coef_.tolist(), self._symbols[: len(self.coef_)])
        equation = f"p' = 1 / (1 + exp(-({logit})))" + ", s = log(p / (1 - p))" * ("s" in self._symbols)
        return Description(self._title, values, (curve,), self._notes(), equation=equation)
