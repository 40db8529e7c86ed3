"""Adaptive temperature scaling: an inverse temperature for each row, linear in what its probabilities look like."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.description import Description, FittedValue, terms
from calkit.calibrators.parametric.base import Parametric, Ridged
from calkit.calibrators.parametric.features import Block
from calkit.calibrators.parametric.maps import LinearMap, PerRowMap
from calkit.calibrators.registration import register_calibrator

__all__ = ["AdaptiveTemperatureScaling"]

Floats = NDArray[np.floating[Any]]

_TOP = 3

# Inverse temperatures are no less than this share of that of the whole, so that the order of classes stays.
_LEAST = 0.01


class _AdaptiveMap(PerRowMap):
    """Features 1, the largest log-probabilities, and the negative entropy."""

    def identity(self) -> NDArray[np.float64]:
        return np.eye(1, min(_TOP, self.n_classes) + 2)[0]

    def apply(self, theta: Floats, block: Block) -> Floats:
        # Terms may cancel; term by term, and not as a product of matrices, a row's sum does not depend on the others.
        scale = sum(h.astype(np.float64) * float(t) for h, t in zip(block.basis.T, theta, strict=True))
        scale = np.maximum(scale, _LEAST).astype(block.x.dtype)
        return block.x * scale[:, None]

    def basis(self, block: Block) -> Floats:
        x, masked, top = block.x, block.masked, min(_TOP, self.n_classes)
        if masked is not None:
            # Where fewer classes are possible, the least probable of these stands for those that lack.
            least = np.where(masked, np.inf, x).min(axis=1)
            x = np.where(masked, least[:, None], x)
        h = np.empty((len(x), top + 2), x.dtype, order="F")
        h[:, 0] = 1
        h[:, 1:-1] = np.sort(np.partition(x, self.n_classes - top, axis=1)[:, -top:], axis=1)
        e = np.exp(x)
        if masked is not None:
            e[masked] = 0
        h[:, -1] = np.einsum("mk,mk->m", e, x)
        return h


@register_calibrator("adaptive-temperature")
class AdaptiveTemperatureScaling(Ridged):
    r"""Adaptive temperature scaling: the inverse temperature of a row depends on its probabilities.

    .. math:: 1 / T_i = θ_0 + \sum_{j=1}^{3} θ_j x_{i(j)} + θ_4 \sum_k p_{ik} x_{ik}

    with :math:`x_i` the log-probabilities at the one temperature of least log-loss, of which the three largest,
    in rising order, and the negative entropy are taken; :math:`u_i = x_i / T_i`. No class is named, and the order of
    the classes of a row stays.

    Parameters
    ----------
    ridge : float, optional
        Weight of the penalty :math:`\lVert θ - (1, 0, …) \rVert^2` beside the mean log-loss. By default 0; where the
        data can be separated, so that there is no minimum, 1e-4, with a warning.
    tol : float, default=1e-9
        Largest distance from the least objective, in nats a row, that counts as converged.

    Attributes
    ----------
    inverse_temperature_ : float
        The inverse temperature that comes first.
    coef_ : ndarray of shape (min(K, 3) + 2,)
        θ.
    objective_, gap_bound_, gradient_norm_, n_iter_, n_passes_, converged_, ridge_
        As for :class:`VectorScaling`.

    Notes
    -----
    The log-loss is convex in θ, since 1/T is linear in it. An inverse temperature below 0.01, which the fit does not
    rule out, counts as 0.01. Methods of this kind by a network are due to Tomani, Cremers & Buettner,
    "Parameterized Temperature Scaling", ECCV 2022.

    Examples
    --------
    >>> from calkit.calibrators import AdaptiveTemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> AdaptiveTemperatureScaling().fit_predictions(load_digits_logits("validation")).coef_.shape
    (5,)
    """

    keeps_order: ClassVar[bool] = True
    _title: ClassVar[str] = "adaptive temperature scaling"
    _parameters: ClassVar[tuple[str, ...]] = ("coef_",)
    _state: ClassVar[tuple[str, ...]] = (*_parameters, *Parametric._certificate)
    _temperature_first: ClassVar[bool] = True
    _is_per_class: ClassVar[bool] = False

    coef_: NDArray[np.float64]

    def _map(self, n_classes: int) -> LinearMap:
        return _AdaptiveMap(n_classes)

    def describe(self) -> Description:
        """Return the first temperature and the coefficients."""
        names = ["1", *(f"x({j})" for j in range(len(self.coef_) - 2, 0, -1)), "-H"]
        values = [FittedValue("temperature", 1 / self.inverse_temperature_, "T")]
        values += [FittedValue(f"coef_{name}", float(c), name) for name, c in zip(names, self.coef_, strict=True)]
        sharpness = terms(self.coef_.tolist(), ["", *names[1:-1], "Σ exp(x) x"])
        equation = (
            f"p = softmax(w x), w = {sharpness}, x = log softmax(z / {1 / self.inverse_temperature_:.4g}), of which "
            "x(1) is the largest"
        )
        return Description(self._title, tuple(values), notes=self._notes(), equation=equation)
