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

from calkit.errors import InputError
from calkit.labels import ClassIndex
from calkit.registry import Registry
from calkit.stats.forecasts import Forecasts
from calkit.stats.layout import Layout
from calkit.stats.logs import class_logs, log_picker

if TYPE_CHECKING:
    from calkit.stats.rows import Rows

__all__ = [
    "TOP",
    "VIEWS",
    "Classwise",
    "MultiLabel",
    "Only",
    "Positive",
    "TopLabel",
    "View",
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

    def hit(self, rows: Rows, /) -> NDArray[Any]:
        """Return whether the classifier's decisions were right; see :attr:`Forecasts.hit`."""
        return rows.forecasts(self).hit

    def tells_all(self, rows: Rows, /) -> bool:  # noqa: ARG002
        """Whether the probability of the view's one event tells those of all classes."""
        return False


#: Views by name; what follows the colon of a spec is passed to them.
VIEWS: Registry[Any] = Registry("target")


def _outcome(rows: Rows) -> NDArray[Any]:
    """Return whether each class was the true one, (b, K); with soft labels, its share of the votes."""
    return rows.votes if rows.votes is not None else rows.one_hot


@VIEWS.register("top", aliases=("top-label", "confidence"))
@dataclass(frozen=True)
class TopLabel(View):
    """The predicted class: its probability, and whether it is the true class."""

    name: ClassVar[str] = "top"
    needs_distribution: ClassVar[bool] = False

    def of(self, rows: Rows) -> Forecasts:
        """Return confidence and correctness."""
        error = rows.confidence_error
        exact = (lambda places: rows.exact_confidence(places)) if error else None
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
        if n is None and names is None:
            # Which column it is shows with the first rows.
            return self
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
