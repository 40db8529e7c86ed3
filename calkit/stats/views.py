"""Views: which forecasts of a row of scores are judged.

A row of scores holds many forecasts: that of the predicted class, of one class, of every class. A view picks some, and
statistics count them; ``target=`` of every metric names one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.labels import ClassIndex
from calkit.registry import Registry
from calkit.specs import call_with_spec, parse_spec
from calkit.stats.forecasts import Forecasts
from calkit.stats.layout import Layout
from calkit.stats.logs import Logs, class_logs, log_picker

if TYPE_CHECKING:
    from calkit.stats.rows import Rows

__all__ = [
    "TOP",
    "VIEWS",
    "Classwise",
    "MultiLabel",
    "Only",
    "Ordinal",
    "Positive",
    "TopK",
    "TopLabel",
    "View",
    "available_targets",
    "default_view",
    "get_view",
]


class View(ABC):
    """Which forecasts are judged. Views are frozen dataclasses: hashable and comparable.

    Attributes
    ----------
    keyed : bool
        Whether a row holds several forecasts, told apart by a key: its classes, say.
    needs_distribution : bool
        Whether the scores of all classes are needed.
    """

    name: ClassVar[str]
    keyed: ClassVar[bool] = False
    needs_distribution: ClassVar[bool] = True

    @property
    def spec(self) -> str:
        """The string that stands for the view."""
        return self.name

    @property
    def title(self) -> str:
        """What headings call it."""
        return self.spec

    def bind(self, layout: Layout) -> View:
        """Return the view of certain predictions; classes given by name become columns.

        Raises
        ------
        InputError
            If the predictions have no such forecasts.
        """
        if layout.multilabel:
            raise InputError(f"multi-label predictions have no target {self.name!r}; use target='multilabel'.")
        return self

    @abstractmethod
    def of(self, rows: Rows, /) -> Forecasts:
        """Return the forecasts of a block of rows."""

    def tells_all(self, rows: Rows, /) -> bool:  # noqa: ARG002
        """Whether the probability of the view's one event tells those of all classes."""
        return False


#: Views by name; what follows the colon of a spec is passed to them.
VIEWS: Registry[Any] = Registry("target")


def _outcome(rows: Rows) -> NDArray[Any]:
    """Return whether each class was the true one, (b, K); with soft labels, its share of the votes."""
    return rows.votes if rows.votes is not None else rows.one_hot


# What is kept of a sum of probabilities.
_BITS = 46


def _sums(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums of probabilities to 46 bits, so that 0.1 + 0.2 ties with 0.3; rounding may put them above 1."""
    fraction, exponent = np.frexp(p)
    return np.minimum(np.ldexp(np.rint(np.ldexp(fraction, _BITS)), exponent - _BITS), 1)


def _excess_of_sums(rows: Rows) -> float:
    """Return how far a sum of probabilities may lie above the sum of what was stored, rounded."""
    return max(1e-13, float(np.finfo(rows.precision).epsneg) / 2)


@VIEWS.register("top", aliases=("top-label", "confidence"))
@dataclass(frozen=True)
class TopLabel(View):
    """The predicted class: its probability, and whether it is the true class."""

    name: ClassVar[str] = "top"
    needs_distribution: ClassVar[bool] = False

    def of(self, rows: Rows) -> Forecasts:
        """Return confidence and correctness."""
        error = rows.confidence_error
        exact = rows.exact_confidence if error else None
        logs = log_picker(rows) if rows.kind == "logits" else None
        excess = None if rows.excess is None else rows.excess[rows.predicted]
        return Forecasts(rows.confidence, rows.hit, rows.weight, rows.precision, True, error, exact, logs, excess)


#: The view of K columns, unless another is asked for.
TOP = TopLabel()


@VIEWS.register("positive", aliases=("class",))
@dataclass(frozen=True)
class Positive(View):
    """One class: its probability, and whether it is the true class.

    Parameters
    ----------
    label : int, str or bool, optional
        The class, by its name or, where classes have none, its column. By default the second of two.
    column : int, optional
        Its column; :meth:`bind` finds it.
    """

    label: Any = None
    column: int | None = None
    name: ClassVar[str] = "positive"

    @property
    def spec(self) -> str:
        """The string that stands for the view."""
        return self.name if self.label is None else f"{self.name}:class={self.label}"

    @property
    def title(self) -> str:
        """What headings call it."""
        return self.name if self.label is None else f"class {self.label}"

    def bind(self, layout: Layout) -> View:
        """Return the view with the column of its class."""
        if layout.kind == "confidence":
            raise InputError("(confidence, correct) pairs are forecasts of the top label; leave target out.")
        n, names = layout.n_classes, layout.class_names
        if self.label is None:
            if n is not None and n != 2:
                raise InputError(
                    f"target='positive' needs to know which of the {n} classes is meant: 'positive:class=NAME'."
                )
            return replace(self, column=1)
        column = ClassIndex(names, n or 0).find(self.label, positions=False)
        if column is None:
            known = list(range(n or 0)) if names is None else list(names)
            listing = ", ".join(map(str, known[:20])) + (", …" if len(known) > 20 else "")
            raise InputError(f"target={self.spec!r}: there is no class {self.label!r}; the classes are {listing}.")
        return replace(self, column=column)

    def tells_all(self, rows: Rows) -> bool:
        """Whether there are two classes."""
        return not rows.multilabel and rows.scores.shape[1] == 2

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the class."""
        column = 1 if self.column is None else self.column
        p = np.ascontiguousarray(rows.probabilities[:, column])
        outcome = rows.y_true == column if rows.votes is None else np.ascontiguousarray(rows.votes[:, column])
        excess = None if rows.excess is None else rows.excess[column]
        return Forecasts(p, outcome, rows.weight, rows.precision, logs=log_picker(rows, column), excess=excess)


@VIEWS.register("classwise", aliases=("class-wise",))
@dataclass(frozen=True)
class Classwise(View):
    """Every class by itself; metrics are means over the classes."""

    name: ClassVar[str] = "classwise"
    keyed: ClassVar[bool] = True

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of all classes, a column each."""
        logs = partial(class_logs, rows) if rows.kind == "logits" or rows.scores.shape[1] == 2 else None
        return Forecasts(rows.probabilities, _outcome(rows), rows.weight, rows.precision, logs=logs, excess=rows.excess)


@VIEWS.register("top-k", aliases=("topk",))
@dataclass(frozen=True)
class TopK(View):
    """The k most probable classes together: their probability, and whether the true class is among them.

    Of equally probable classes those of the lowest columns count first.

    Parameters
    ----------
    k : int, default=5
    """

    k: int = 5
    name: ClassVar[str] = "top-k"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise UsageError(f"target 'top-k' needs a positive whole number k, but got {self.k!r}.")

    @property
    def spec(self) -> str:
        """The string that stands for the view."""
        return f"top-{self.k}"

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the k classes."""
        best = np.argsort(-rows.scores, axis=1, kind="stable")[:, : self.k]
        # From the most probable on, so that the sum depends on the row alone.
        p = _sums(np.take_along_axis(rows.probabilities, best, axis=1).sum(axis=1))
        if rows.votes is None:
            outcome = (best == rows.y_true[:, None]).any(axis=1)
        else:
            outcome = np.take_along_axis(rows.votes, best, axis=1).sum(axis=1)

        def logs() -> Logs:
            ranked = np.take_along_axis(rows.log_probabilities, np.argsort(-rows.scores, axis=1, kind="stable"), axis=1)
            yes, no = ranked[:, : self.k], ranked[:, self.k :]
            return np.logaddexp.reduce(yes, axis=1), np.logaddexp.reduce(no, axis=1, initial=-np.inf)

        precision, excess = np.dtype(np.float64), _excess_of_sums(rows)
        return Forecasts(p, outcome, rows.weight, precision, decided=True, logs=logs, excess=excess)


@VIEWS.register("ordinal", aliases=("cumulative",))
@dataclass(frozen=True)
class Ordinal(View):
    """Classes in an order: the K - 1 events that the true class is no higher than each of them but the last."""

    name: ClassVar[str] = "ordinal"
    keyed: ClassVar[bool] = True

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the events, a column each."""
        p = _sums(np.cumsum(rows.probabilities, axis=1)[:, :-1])
        if rows.votes is None:
            outcome: NDArray[Any] = rows.y_true[:, None] <= np.arange(p.shape[1])
        else:
            outcome = np.cumsum(rows.votes, axis=1)[:, :-1]

        def logs() -> Logs:
            each = rows.log_probabilities
            yes = np.logaddexp.accumulate(each, axis=1)[:, :-1]
            return yes, np.logaddexp.accumulate(each[:, ::-1], axis=1)[:, ::-1][:, 1:]

        precision, excess = np.dtype(np.float64), _excess_of_sums(rows)
        return Forecasts(p, outcome, rows.weight, precision, logs=logs, excess=excess)


@VIEWS.register("multilabel", aliases=("multi-label",))
@dataclass(frozen=True)
class MultiLabel(View):
    """Every label of multi-label predictions, an event of its own; metrics are means over the labels."""

    name: ClassVar[str] = "multilabel"
    keyed: ClassVar[bool] = True

    def bind(self, layout: Layout) -> View:
        """Return the view, if the predictions are multi-label."""
        if not layout.multilabel:
            raise InputError(
                "target='multilabel' needs labels of shape (n, K): Predictions(..., multilabel=True); for classes of "
                "which one is true, use target='classwise'."
            )
        return self

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of all labels, a column each."""
        logs = partial(class_logs, rows) if rows.kind == "logits" else None
        return Forecasts(rows.probabilities, _outcome(rows), rows.weight, rows.precision, logs=logs)


@dataclass(frozen=True)
class Only(View):
    """One key of a keyed view.

    Parameters
    ----------
    view : View
    key : int
    """

    view: View
    key: int
    name: ClassVar[str] = "only"

    @property
    def spec(self) -> str:
        """The view's spec and the key."""
        return f"{self.view.spec}[{self.key}]"

    def of(self, rows: Rows) -> Forecasts:
        """Return the forecasts of the key."""
        return rows.forecasts(self.view).column(self.key)


def available_targets() -> list[str]:
    """Return the names of all views.

    Examples
    --------
    >>> from calkit.stats.views import available_targets
    >>> available_targets()
    ['top', 'positive', 'classwise', 'top-k', 'ordinal', 'multilabel']
    """
    return list(VIEWS)


def default_view(layout: Layout) -> View:
    """Return what predictions are judged by, unless told otherwise.

    The forecast of one event, P(y = 1), is judged as that; labels that may all be there, each by itself; the scores of
    K classes by their top label.
    """
    if layout.multilabel:
        return MultiLabel()
    return Positive() if layout.one_column else TOP


def get_view(target: str | View) -> View:
    """Return the view that a string stands for.

    Parameters
    ----------
    target : str or View
        ``"top"``, ``"positive"``, ``"positive:class=cat"``, ``"classwise"``, ``"top-5"`` (or ``"top-k:k=5"``),
        ``"ordinal"``, ``"multilabel"``.

    Returns
    -------
    View

    Raises
    ------
    NotFoundError
        If no view has that name.
    UsageError
        If a parameter is unknown or impossible.

    Examples
    --------
    >>> from calkit.stats.views import get_view
    >>> get_view("top-5")
    TopK(k=5)
    """
    if isinstance(target, View):
        return target
    spec = parse_spec(target)
    words, _, number = spec.name.rpartition("-")
    if words.lower() == "top" and number.isdigit():
        spec = replace(spec, name="top-k", args=(int(number), *spec.args))
    if "class" in spec.kwargs:
        kwargs = {("label" if key == "class" else key): value for key, value in spec.kwargs.items()}
        spec = replace(spec, kwargs=kwargs)
    view: View = call_with_spec(VIEWS[spec.name], spec, "target")
    return TOP if view == TopK(1) else view
