"""Targets: the strings that stand for views, and what is judged where none is given."""

from __future__ import annotations

from dataclasses import replace

from calkit.specs import call_with_spec, parse_spec
from calkit.stats.layout import Layout
from calkit.stats.unions import TopK
from calkit.stats.views import TOP, VIEWS, MultiLabel, Positive, View

__all__ = ["available_targets", "default_view", "get_view"]


def available_targets() -> list[str]:
    """Return the names of all views.

    Examples
    --------
    >>> from calkit.stats.targets import available_targets
    >>> available_targets()
    ['top', 'positive', 'classwise', 'multilabel', 'top-k', 'ordinal']
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
    >>> from calkit.stats.targets import get_view
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
