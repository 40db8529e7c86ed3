"""The arguments that ``from_predictions`` of all displays share: types, documentation, what is made of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypedDict, TypeVar, cast

from calkit.curves import taken_predictions
from calkit.errors import InputError
from calkit.evaluation import Evaluation
from calkit.metrics import get_metric
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import SHARED_DEFAULTS, ArrayArguments, documented
from calkit.predictions import Predictions
from calkit.stats import BinSums, View
from calkit.stats.views import TOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DISPLAY_ARGUMENTS",
    "DisplayArguments",
    "DrawingArguments",
    "FromEvaluation",
    "counts_predictions",
    "drawn",
    "draws",
    "taken",
]


class DrawingArguments(TypedDict, total=False):
    """Keyword arguments of everything that makes a display; see their documentation there."""

    name: str | None
    ax: Axes | None
    plot: bool
    curve_kwargs: Mapping[str, Any] | None


class DisplayArguments(ArrayArguments, DrawingArguments, total=False):
    """Keyword arguments of every ``from_predictions``; see their documentation there."""


class _Drawn(Protocol):
    name: str | None

    def plot(self, *args: Any, **kwargs: Any) -> Any: ...


def bins_of(evaluation: Evaluation, metric: str) -> tuple[BinSums, View]:
    """Return the sums over bins behind a metric of an evaluation, and whose forecasts they are.

    Raises
    ------
    NotFoundError
        If the evaluation has no such metric.
    InputError
        If its value does not come from bins, or they are of several events.
    """
    known = {item.spec: item for item in evaluation.metrics}
    own = known[evaluation.spec_of(get_metric(metric))]
    bins = evaluation.bins.get(own.spec)
    if bins is None:
        held = ", ".join(evaluation.bins) or "none"
        raise InputError(
            f"the evaluation holds no bins of {own.spec!r}, only of: {held}; evaluate 'ece' too, or make the display "
            "of the predictions."
        )
    if bins.count.ndim != 1:
        raise InputError(
            f"{own.spec!r} is of several events, which have a diagram each: evaluate one of them, "
            "target='positive:class=NAME', or use ReliabilityDisplay.each(predictions)."
        )
    return bins, own.view or TOP


class FromEvaluation:
    """What displays of sums over bins, which have ``from_bins``, make of an evaluation."""

    from_bins: ClassVar[Callable[..., Self]]

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, *, metric: str = "ece", **drawing: Any) -> Self:
        """Draw the bins behind a metric of an evaluation, or of one of its groups; no rows are read again.

        Parameters
        ----------
        evaluation : Evaluation
            From :func:`calkit.evaluate`.
        metric : str, default="ece"
            Spec of one of its metrics that is computed from bins of equal width.
        **drawing
            `name`, `ax`, `plot` and what else :meth:`from_bins` takes.

        Returns
        -------
        display

        Raises
        ------
        NotFoundError
            If the evaluation has no such metric.
        InputError
            If its value does not come from bins of one event.

        Examples
        --------
        >>> import calkit
        >>> from calkit.datasets import load_digits_logits
        >>> evaluation = calkit.evaluate(load_digits_logits("test"), ["ece:n_bins=10"])
        >>> display = calkit.ReliabilityDisplay.from_evaluation(evaluation, metric="ece:n_bins=10", plot=False)
        >>> display.ece == evaluation["ece:n_bins=10"]
        True
        """
        bins, target = bins_of(evaluation, metric)
        return cls.from_bins(bins, target=target, **drawing)


F = TypeVar("F", bound=Callable[..., Any])
D = TypeVar("D", bound=_Drawn)

_ARRAYS = """\
y_true : array-like of shape (n,), or Predictions
    True classes; or :class:`~calkit.Predictions`, which hold all that is needed.
y_proba : array-like of shape (n, K) or (n,), optional
    Probabilities, or logits if `from_logits`; left out if `y_true` is a Predictions.
"""

_TARGET = """\
target : str or View, optional
    Which forecasts: ``"top"``, ``"positive:class=NAME"``, ``"top-5"``; by default the top label of K columns, and of
    one column the event itself.
"""

_DRAWING = {
    "name": (None, "name : str, optional\n    What the legend calls the model.\n"),
    "ax": (
        None,
        """\
ax : matplotlib Axes, optional
    Where to draw; by default a new figure. On the Axes of another display, both are overlaid.
""",
    ),
    "plot": (True, "plot : bool, default=True\n    Whether to draw now.\n"),
    "curve_kwargs": (
        None,
        """curve_kwargs : mapping, optional\n    As for :meth:`plot`: ``{"color": "black"}``.\n""",
    ),
}

_RAISES = """\
InputError
    If the arrays do not fit each other, hold impossible values or are empty.
"""

_OF_ARRAYS = tuple(name for name in SHARED_DEFAULTS if name not in ("target", "by", "pos_label"))

#: Names of the arguments that all displays have.
DISPLAY_ARGUMENTS = ("y_true", "y_proba", "pos_label", *_OF_ARRAYS, *_DRAWING)


_DRAWING_PARAMETERS = [
    (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value), text)
    for name, (value, text) in _DRAWING.items()
]


def counts_predictions(function: F) -> F:
    """Give a ``from_predictions`` the signature and the docstring with the shared arguments written out."""

    @functools.wraps(function)
    def counting(cls: Any, y_true: Any, y_proba: Any = None, **arguments: Any) -> Any:
        y_true, arguments = with_event(y_true, y_proba, arguments)
        return function(cls, y_true, y_proba, **arguments)

    documented(
        counting,
        function,
        without=("target", "by"),
        arrays=_ARRAYS,
        usual={"target": _TARGET},
        more=_DRAWING_PARAMETERS,
        raises=_RAISES,
    )
    return cast("F", counting)


def draws(function: F) -> F:
    """Give what makes a display of summaries the signature and the docstring with the drawing arguments written out."""
    documented(function, function, without=tuple(SHARED_DEFAULTS), arrays="", more=_DRAWING_PARAMETERS, raises="")
    return function


def drawn(display: D, drawing: DrawingArguments, **more: Any) -> D:
    """Name a display and draw it if it is to be drawn.

    Parameters
    ----------
    display
    drawing
        The arguments `name`, `ax`, `plot` and `curve_kwargs`, those that were given.
    **more
        Other arguments of ``plot``.
    """
    for word in drawing.keys() - _DRAWING.keys():
        raise TypeError(f"{type(display).__name__} got an unexpected keyword argument {word!r}")
    display.name = drawing.get("name")
    if not drawing.get("plot", True):
        return display
    return display.plot(drawing.get("ax"), curve_kwargs=drawing.get("curve_kwargs"), **more)


def taken(y_true: Any, y_proba: Any, shared: Mapping[str, Any], **drawing: Any) -> tuple[Predictions, Callable[[D], D]]:
    """Return the predictions that arguments give, and what names a display of them and draws it if it is to be drawn.

    Parameters
    ----------
    y_true, y_proba, shared
        The arguments of a ``from_predictions``.
    **drawing
        Other arguments of ``plot``.

    Raises
    ------
    InputError
        If the arrays do not fit each other, hold impossible values or are empty, or belong to predictions.
    """
    for name in shared.keys() - set(DISPLAY_ARGUMENTS):
        raise TypeError(f"from_predictions() got an unexpected keyword argument {name!r}")
    of_arrays = {
        name: shared[name]
        for name in _OF_ARRAYS
        if shared.get(name, SHARED_DEFAULTS[name]) is not SHARED_DEFAULTS[name]
    }
    if isinstance(y_true, Predictions) and of_arrays:
        raise InputError(f"{' and '.join(of_arrays)}: predictions hold it already; leave it out.")
    given: Any = {name: shared[name] for name in _DRAWING if name in shared}
    return taken_predictions(y_true, y_proba, **of_arrays), lambda display: drawn(display, given, **drawing)
