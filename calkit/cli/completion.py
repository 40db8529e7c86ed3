"""What shells offer where a value is asked for, when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from click import Context, Parameter

__all__ = ["calibrators", "metrics", "plots", "targets"]

Complete = Callable[[Context, Parameter, str], list[str]]


def _words(names: Callable[[], Iterable[str]], *, by_commas: bool = False) -> Complete:
    """Return what completes the names that a function gives: of a list by commas, the last one."""

    def complete(_: Context, __: Parameter, incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",") if by_commas else ("", "", incomplete)
        return [f"{before}{comma}{name}" for name in names() if name.startswith(begun)]

    return complete


def _metrics() -> Any:
    from calkit.metrics import available_metrics

    return available_metrics()


def _targets() -> Any:
    from calkit.stats import available_targets

    # One takes the name of a class, and one a number.
    asked = {"positive": ["positive", "positive:class="], "top-k": ["top-5"]}
    return [word for name in available_targets() for word in asked.get(name, [name])]


def _plots() -> Any:
    from calkit.plotting import available_other_plots, available_plots

    return [*available_plots(), *available_other_plots()]


def _calibrators() -> Any:
    from calkit.calibrators import available_calibrators

    return available_calibrators()


metrics, targets = _words(_metrics, by_commas=True), _words(_targets)
plots, calibrators = _words(_plots), _words(_calibrators)
