"""The arguments that all metric functions share: their types, their documentation and how they come into signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypedDict

from calkit.stats import View

__all__ = ["SHARED_DEFAULTS", "ArrayArguments", "SharedArguments", "documented", "split_arguments"]


class ArrayArguments(TypedDict, total=False):
    """Keyword arguments that go with arrays, of every metric function and of :func:`~calkit.evaluate`."""

    from_logits: bool
    sample_weight: Any
    class_names: Any
    labels_from: int
    ignore_label: Any
    class_axis: int | None
    normalize: bool
    pos_label: Any


class SharedArguments(ArrayArguments, total=False):
    """Keyword arguments of every metric function; see their documentation there."""

    target: str | View | None
    by: Any


#: The arguments by their defaults.
SHARED_DEFAULTS: dict[str, Any] = {
    "target": None,
    "by": None,
    "from_logits": False,
    "sample_weight": None,
    "class_names": None,
    "labels_from": 0,
    "ignore_label": None,
    "class_axis": None,
    "normalize": False,
    "pos_label": None,
}

_ARRAYS = """\
y_true : array-like of shape (n,) or (n, K)
    True classes, matched by value with the names of the classes, or whole numbers in 0..K-1 without names; or one-hot
    rows, or soft labels: shares of the classes, or numbers of votes.
y_proba : array-like or data frame of shape (n, K) or (n,)
    Probabilities, or logits if `from_logits`; the columns of a data frame name the classes. One column is the forecast
    of one event, P(y = 1).
"""

_SHARED = {
    "target": """\
target : str, optional
    What is judged: ``"top"`` (the predicted class), ``"positive"`` (one class; ``"positive:class=NAME"``),
    ``"classwise"`` (the mean over all classes), ``"top-5"`` (the five most probable classes together), ``"ordinal"``
    (the mean over the events that the class is no higher than k) or ``"multilabel"`` (y_true of shape (n, K)). By
    default the top label of K columns, and of one column the event itself.
""",
    "by": """\
by : array-like of shape (n,), optional
    A group for each row. The value returned then also has the values of the groups: `groups`, `counts` and
    `worst`, see :class:`~calkit.metrics.GroupedValue`.
""",
    "from_logits": """\
from_logits : bool, default=False
    Whether `y_proba` holds logits. Never guessed.
""",
    "sample_weight": """\
sample_weight : array-like of shape (n,), optional
    Weights; a weight of 2 is a row given twice.
""",
    "class_names": """\
class_names : sequence, optional
    The class each column stands for, where `y_true` holds names; of a data frame, the columns to take.
""",
    "labels_from": """\
labels_from : int, default=0
    What the first class is called where labels are positions: 1 if they count from 1.
""",
    "ignore_label": """\
ignore_label : value or sequence of values, optional
    Labels (-100, 255, NaN) of rows to be left out.
""",
    "class_axis": """\
class_axis : int, optional
    The axis of the classes, where `y_proba` has more than two: 1 of (N, C, H, W), -1 of (N, T, C).
""",
    "normalize": """\
normalize : bool, default=False
    Divide each row of probabilities by its sum, where they were rounded.
""",
    "pos_label": """\
pos_label : value, optional
    The label whose probability is judged, as scikit-learn calls it: of K columns the target ``"positive:class=NAME"``;
    one column is the forecast of that label against all others.
""",
}

# Parameters that many metrics have: what is said of them where a docstring says nothing.
_USUAL = {
    "n_bins": """\
n_bins : int, default=15
    Number of bins.
""",
    "binning": """\
binning : str or sequence of float, default="uniform"
    As for :func:`ece`.
""",
}

_RAISES = """\
InputError
    If the arrays do not fit each other, hold impossible values or are empty.
UsageError
    If a parameter is impossible, or the metric is not defined for `target`.
"""

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-+$", re.MULTILINE)


@lru_cache(maxsize=1024)
def split_arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a metric function's own parameters: those between the arrays and the shared ones."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def documented(
    function: Callable[..., Any],
    declared: Callable[..., Any],
    *,
    without: tuple[str, ...] = (),
    arrays: str = _ARRAYS,
    usual: Mapping[str, str] = _USUAL,
    more: Sequence[tuple[inspect.Parameter, str]] = (),
    raises: str = _RAISES,
) -> None:
    """Give a function the signature and the docstring of a declared one, with the shared arguments written out.

    Parameters
    ----------
    function, declared : callable
        They may be the same.
    without : tuple of str
        Shared arguments that it has not.
    arrays : str
        What its docstring says of the first two arguments.
    usual : mapping of str
        What is said of own parameters where the docstring says nothing.
    more : sequence of (Parameter, str)
        Arguments behind the shared ones, each with what is said of it.
    raises : str
        The errors that all such functions raise.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(declared)
    own = {name: p for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    shared = [name for name in SHARED_DEFAULTS if name not in (*without, *own)]
    named = [inspect.Parameter(name, keyword, default=SHARED_DEFAULTS[name]) for name in shared]
    returns = float if signature.return_annotation == "Recipe" else signature.return_annotation
    parameters = [*own.values(), *named, *(parameter for parameter, _ in more)]
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    text = inspect.getdoc(declared) or ""
    said = "".join(usual[name] for name in own if name in usual and f"\n{name} : " not in text)
    shared_text = "".join([*(_SHARED[name] for name in shared), *(words for _, words in more)])
    function.__doc__ = _assembled(text, (arrays, said), shared_text, raises)


def _assembled(text: str, before: tuple[str, ...], after: str, raises: str) -> str:
    """Put what is said of arguments before and after a function's own, and of errors, into its numpydoc docstring."""
    pieces = _HEADING.split(text)
    opening = pieces[0].rstrip()
    sections = dict(zip(pieces[1::2], (body.strip("\n") for body in pieces[2::2]), strict=True))
    own = sections.pop("Parameters", "")
    parameters = "\n".join(piece.rstrip("\n") for piece in (*before, own, after) if piece)
    ordered = {"Parameters": parameters, "Returns": sections.pop("Returns", "float")}
    raised = sections.pop("Raises", "")
    ordered["Raises"] = "\n".join(piece.rstrip("\n") for piece in (raises, raised) if piece)
    ordered |= sections
    shown = [f"{name}\n{'-' * len(name)}\n{body}" for name, body in ordered.items() if body]
    return "\n\n".join([opening, *shown]) + "\n"
