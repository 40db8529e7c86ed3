"""The slider of temperatures: what it shows as data, and by itself for notebooks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from calkit.curves import one_view, taken_predictions
from calkit.errors import InputError
from calkit.metrics import get_metric
from calkit.notebook import html_page
from calkit.plotting.base import labels_of
from calkit.report.measure import Asked, swept
from calkit.report.templating import assets, environment
from calkit.report.values import Sweep
from calkit.stats import View
from calkit.tabular import Tabular

__all__ = ["TemperatureSlider", "slider_data"]

_TITLE = "Calibration at any temperature"


def slider_data(sweep: Sweep, fitted: Mapping[str, float]) -> dict[str, Any]:
    """Return what the slider shows, with the digits that can be seen.

    Parameters
    ----------
    sweep : Sweep
    fitted : mapping of str to float
        Temperatures of the sweep that are marked, by name; it starts at the last one.
    """
    places = {1.0: "uncalibrated"} | {temperature: name for name, temperature in fitted.items()}
    for name, curve in (("least ECE", sweep.ece), ("least NLL", sweep.nll)):
        places.setdefault(sweep.temperature[int(np.argmin(curve))], name)
    total = sum(sweep.weight[0])

    def shares(rows: tuple[tuple[float, ...], ...]) -> list[list[float]]:
        return [[round(value / total, 6) for value in row] for row in rows]

    return {
        "temperature": [float(f"{t:.4g}") for t in sweep.temperature],
        "nll": [round(value, 4) for value in sweep.nll],
        "ece": [round(value, 6) for value in sweep.ece],
        "weight": shares(sweep.weight),
        "confidence": shares(sweep.confidence),
        "correct": shares(sweep.correct),
        "start": sweep.temperature.index([1.0, *fitted.values()][-1]),
        "places": [[sweep.temperature.index(t), label] for t, label in places.items()],
    }


class TemperatureSlider(Tabular):
    """A reliability diagram that a slider moves through temperatures, with ECE and NLL at each; for notebooks.

    Made by :meth:`from_predictions`. As the last value of a cell it is shown; it loads nothing, and several on one page
    do not disturb each other. ``page()`` is the same as a page of its own.

    Parameters
    ----------
    sweep : Sweep
        The scores at many temperatures.
    fitted : mapping of str to float
        Temperatures of the sweep that are marked, by name.
    axes : tuple of str
        What the axes are called.

    Examples
    --------
    >>> from calkit import TemperatureScaling
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.report import TemperatureSlider
    >>> calibrator = TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> slider = TemperatureSlider.from_predictions(load_digits_logits("test"), temperature=calibrator.temperature_)
    >>> round(min(slider.columns()["ece"]), 3)
    0.022
    """

    def __init__(self, sweep: Sweep, fitted: Mapping[str, float], axes: tuple[str, str]) -> None:
        self.sweep = sweep
        self.fitted = dict(fitted)
        self.axes = axes

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any = None,
        *,
        temperature: float | Mapping[str, float] | None = None,
        n_bins: int = 15,
        target: str | View | None = None,
        **arguments: Any,
    ) -> Self:
        """Compute the diagram at 61 temperatures or fewer, from 0.5 to 5 and beyond those given.

        Parameters
        ----------
        y_true : array-like of shape (n,), or Predictions
            True classes; or :class:`~calkit.Predictions`, which hold all that is needed.
        y_proba : array-like of shape (n, K) or (n,), optional
            Probabilities, or logits with ``from_logits=True``; left out if `y_true` is a Predictions.
        temperature : float or mapping of str to float, optional
            A fitted temperature, or several by name: they are marked, and the slider starts at the last one.
        n_bins : int, default=15
            Number of bins of equal width.
        target : str or View, optional
            Whose forecasts: ``"top"``, ``"positive:class=NAME"``; by default the top label of K columns, and of one
            column the event itself.
        **arguments
            Beside arrays: `from_logits`, `sample_weight`, `class_names`, …, as for :func:`calkit.ece`.

        Returns
        -------
        TemperatureSlider

        Raises
        ------
        InputError
            If the arrays do not fit each other or are impossible; of (confidence, correct) pairs, which have no
            temperature; of a target with several events; or if there are too many scores for it.
        """
        predictions = taken_predictions(y_true, y_proba, **arguments)
        fitted = _named(temperature)
        if predictions.kind == "confidence":
            raise InputError("(confidence, correct) pairs have no temperature: pass the scores of all classes.")
        view = one_view(predictions, target)
        # The NLL of K columns is that of all classes, unless one event was asked for.
        judged = view if predictions.one_column else target
        asked = Asked.of(predictions, [get_metric("ece")], n_bins, None, target=judged)
        sweep = swept(predictions, asked, fitted.values())
        if sweep is None:
            raise InputError(
                f"{predictions.n_samples:,} rows of {predictions.n_classes:,} classes take too long at many "
                "temperatures: pass some of the rows, predictions.take(rows)."
            )
        return cls(sweep, fitted, labels_of(view))

    def columns(self) -> dict[str, tuple[float, ...]]:
        """Return temperature, NLL and ECE as columns."""
        return {"temperature": self.sweep.temperature, "nll": self.sweep.nll, "ece": self.sweep.ece}

    def page(self) -> str:
        """Return the slider as a page that loads nothing, for a file of its own."""
        template = environment({}, {}).get_template("slider.html")
        return template.render(title=_TITLE, data=slider_data(self.sweep, self.fitted), labels=self.axes, **assets())

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own."""
        return html_page(self.page(), _TITLE, "33rem")


def _named(temperature: float | Mapping[str, float] | None) -> dict[str, float]:
    given: Mapping[str, Any] = temperature if isinstance(temperature, Mapping) else {"fitted": temperature}
    for value in given.values():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"temperature must be positive and finite, but is {value}.")
    return {name: float(value) for name, value in given.items() if value is not None}
