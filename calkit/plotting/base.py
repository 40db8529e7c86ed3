"""What a display of predictions is, and where those that ``calkit plot`` offers are registered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np

from calkit.curves import one_view, taken_predictions
from calkit.errors import InputError
from calkit.plotting.showing import Showing
from calkit.plotting.style import draw_legend
from calkit.registry import Registry
from calkit.stats.targets import get_view
from calkit.stats.views import TOP, View
from calkit.tabular import Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "OTHER_PLOTS",
    "PLOTS",
    "CurveDisplay",
    "OtherDisplay",
    "PredictionsDisplay",
    "available_other_plots",
    "available_plots",
    "axis_labels",
    "labels_of",
    "one_view",
    "taken_predictions",
]

#: Displays that ``calkit plot --what`` offers, by name.
PLOTS: Registry[type[PredictionsDisplay]] = Registry("plot", entry_points="calkit.plots")

#: Displays of something else than predictions that ``calkit plot --what`` offers, by name.
OTHER_PLOTS: Registry[type[OtherDisplay]] = Registry("plot")

# How many curves an Axes holds already; Axes that are gone drop out.
_CURVES: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def available_plots() -> list[str]:
    """Return the names of the displays that can be made of predictions.

    Examples
    --------
    >>> from calkit.plotting import available_plots
    >>> "reliability" in available_plots()
    True
    """
    return list(PLOTS)


def available_other_plots() -> list[str]:
    """Return the names of the displays that are made of something else than predictions.

    Examples
    --------
    >>> from calkit.plotting import available_other_plots
    >>> available_other_plots()
    ['gradient-norms', 'gradient-ratio', 'focal-minimiser']
    """
    return list(OTHER_PLOTS)


def axis_labels(view: View) -> tuple[str, str]:
    """Return what the axes of a diagram of these forecasts are called."""
    return ("Confidence", "Accuracy") if view == TOP else ("Predicted probability", "Observed frequency")


def labels_of(target: str | View) -> tuple[str, str]:
    """Return what the axes of a diagram of a target are called; its classes need not be known."""
    return axis_labels(target if isinstance(target, View) else get_view(target))


def next_index(ax: Axes) -> int:
    """Return how many curves were drawn on an Axes, and count one more."""
    index = _CURVES.get(ax, 0)
    _CURVES[ax] = index + 1
    return index


class PredictionsDisplay(Showing, Tabular):
    """A picture of one set of predictions; several of them can share a figure.

    A subclass counts what it shows in ``from_predictions`` and draws it in ``plot``. Registered with
    ``@PLOTS.register(name)``, it is offered by ``calkit plot --what name``.
    """

    #: What the legend calls the model.
    name: str | None = None

    @classmethod
    @abstractmethod
    def from_predictions(cls, *args: Any, **kwargs: Any) -> Self:
        """Count what is shown of ``(y_true, y_proba)`` or a Predictions; draw it if `plot`."""

    @abstractmethod
    def plot(self, *args: Any, **kwargs: Any) -> Self:
        """Draw it on the Axes given first, if any; return itself."""

    @classmethod
    @abstractmethod
    def figure(cls, *args: Any, **kwargs: Any) -> Figure:
        """Draw a mapping of displays in one figure, not registered with pyplot."""

    def _new_figure(self) -> Figure:
        return self.figure({self.name or "": self})

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, name: str | None = None, **kwargs: Any) -> Self:
        """Show a fitted classifier with ``predict_proba`` (any of scikit-learn's, or a calibrator).

        Parameters
        ----------
        estimator : classifier
            Fitted; its ``classes_`` are the classes of its columns.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
            True classes, as the estimator knows them.
        name : str, optional
            What the legend calls it; by default the estimator's class.
        **kwargs
            As for ``from_predictions``.

        Returns
        -------
        display

        Raises
        ------
        InputError
            If the estimator has no ``predict_proba``, or `y` holds a class it does not know.
        """
        if not hasattr(estimator, "predict_proba"):
            raise InputError(f"{type(estimator).__name__} has no predict_proba; fit one that gives probabilities.")
        title = type(estimator).__name__ if name is None else name
        classes = np.asarray(estimator.classes_).tolist()
        return cls.from_predictions(y, estimator.predict_proba(X), class_names=classes, name=title, **kwargs)


class OtherDisplay(Showing, Tabular):
    """A picture of something else than predictions: of training runs, or of formulas.

    Registered with ``@OTHER_PLOTS.register(name)``, it is offered by ``calkit plot --what name``.
    """

    @classmethod
    @abstractmethod
    def from_words(cls, words: Sequence[str], *arguments: Any) -> Self:
        """Make it of the files or folders that a command names, and the arguments of the spec; do not draw it yet.

        Raises
        ------
        UsageError
            If it is made of no files, and there are some; or the other way round.
        """

    @abstractmethod
    def figure(self, *, title: str | None = None, size: tuple[float, float] | None = None) -> Figure:
        """Draw it in a figure that is not registered with pyplot."""

    def _new_figure(self) -> Figure:
        return self.figure()


class CurveDisplay(PredictionsDisplay):
    """A display that is one curve on one Axes; several are overlaid by passing the same `ax`.

    Attributes
    ----------
    ax_, figure_
        After :meth:`plot`.
    line_, legend_
        The artists, after :meth:`plot`.
    """

    size: ClassVar[tuple[float, float]] = (5.6, 4.2)
    x_label: str
    y_label: str

    @abstractmethod
    def _draw(self, ax: Axes, index: int, curve_kwargs: Mapping[str, Any]) -> Any:
        """Draw the curve as number `index` on the Axes; return its line."""

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, curve_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure. On the Axes of another display, both are overlaid.
        name : str, optional
            What the legend calls the model, instead of `name`.
        curve_kwargs : mapping, optional
            For the line: ``{"color": "black"}``.

        Returns
        -------
        display
            Itself, with the artists set.
        """
        self.name = name if name is not None else self.name
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=self.size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.line_ = self._draw(ax, next_index(ax), curve_kwargs or {})
        ax.set(xlabel=self.x_label, ylabel=self.y_label)
        self.legend_ = draw_legend(ax)
        return self

    @classmethod
    def figure(
        cls, displays: Mapping[str, Self], *, title: str | None = None, size: tuple[float, float] | None = None
    ) -> Figure:
        """Draw several displays on the same Axes.

        Parameters
        ----------
        displays : mapping of str to display
        title : str, optional
        size : tuple of float, optional
            Width and height in inches.

        Returns
        -------
        matplotlib Figure
            Not registered with pyplot.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=size or cls.size, layout="constrained")
        ax = figure.subplots()
        for name, display in displays.items():
            display.plot(ax, name=name)
        if title:
            figure.suptitle(title)
        return figure
