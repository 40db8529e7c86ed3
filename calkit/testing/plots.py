"""Laws that every plot of predictions obeys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calkit.plotting.base import PLOTS, PredictionsDisplay
from calkit.predictions import Predictions
from calkit.testing.laws import law_of

__all__ = ["PLOT_LAWS", "check_plot"]

Law = Callable[[type[PredictionsDisplay]], None]

#: Laws by name; each takes a display, and raises AssertionError.
PLOT_LAWS: dict[str, Law] = {}
_law = law_of(PLOT_LAWS)


def check_plot(name: str) -> None:
    """Check a plot against every law.

    Parameters
    ----------
    name : str
        A registered name.

    Raises
    ------
    AssertionError
        For the first law that is broken.

    Examples
    --------
    >>> from calkit.testing import check_plot
    >>> check_plot("risk-coverage")
    """
    for law in PLOT_LAWS.values():
        law(PLOTS[name])


def _data(n: int = 120) -> Predictions:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 3)) * 3
    y = (logits / 2 - np.log(-np.log(rng.random(logits.shape)))).argmax(axis=1)
    return Predictions(logits, y, kind="logits")


def _same(a: dict[str, Any], b: dict[str, Any], what: str) -> None:
    assert list(a) == list(b), f"{what}: the columns {list(a)} and {list(b)}"
    for name, values in a.items():
        np.testing.assert_allclose(values, b[name], rtol=1e-9, atol=1e-12, err_msg=f"{what}: {name}")


@_law
def what_is_drawn_is_a_table(display: type[PredictionsDisplay]) -> None:
    """``columns()`` are of one length."""
    frame = display.from_predictions(_data(), plot=False).columns()
    assert len({len(values) for values in frame.values()}) == 1, f"{display.__name__}: columns of several lengths"


@_law
def arrays_and_predictions(display: type[PredictionsDisplay]) -> None:
    """Labels and logits, as arrays, give what the Predictions of them give."""
    data = _data()
    arrays = display.from_predictions(data.y_true, data.scores, from_logits=True, plot=False)
    whole = display.from_predictions(data, plot=False)
    _same(arrays.columns(), whole.columns(), f"{display.__name__} of arrays")


@_law
def any_order(display: type[PredictionsDisplay]) -> None:
    """The order of the rows does not matter."""
    data = _data()
    shuffled = data.take(np.random.default_rng(1).permutation(data.n_samples))
    found, whole = (display.from_predictions(each, plot=False).columns() for each in (shuffled, data))
    _same(found, whole, f"{display.__name__}, shuffled")


@_law
def it_draws_where_it_is_told(display: type[PredictionsDisplay]) -> None:
    """``plot(ax)`` draws on that Axes, sets ``ax_`` and ``figure_``, and returns the display."""
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    made = display.from_predictions(_data(), plot=False)
    assert made.plot(ax) is made, f"{display.__name__}.plot does not return itself"
    shown: Any = made
    assert shown.ax_ is ax, f"{display.__name__}.ax_ is another Axes"
    assert shown.figure_ is figure, f"{display.__name__}.figure_ is another figure"
    assert ax.lines or ax.collections or ax.patches, f"{display.__name__} has drawn nothing"


@_law
def several_share_a_figure(display: type[PredictionsDisplay]) -> None:
    """``figure`` draws displays by name in one figure that can be written, and pyplot does not know."""
    import io

    from matplotlib import pyplot as plt

    open_figures = plt.get_fignums()
    made = {name: display.from_predictions(_data(n), plot=False) for name, n in (("one", 60), ("two", 120))}
    figure = display.figure(made, title="two models")
    figure.savefig(io.BytesIO(), format="svg")
    assert plt.get_fignums() == open_figures, f"{display.__name__}.figure is registered with pyplot"


@_law
def no_setting_is_changed(display: type[PredictionsDisplay]) -> None:
    """Drawing leaves matplotlib's settings alone."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    display.figure({"a": display.from_predictions(_data(), plot=False)})
    assert dict(mpl.rcParams) == before, f"{display.__name__} changes rcParams"


@_law
def estimators_are_shown(display: type[PredictionsDisplay]) -> None:
    """A fitted classifier is shown by its ``predict_proba``."""
    data = _data()
    probs = np.exp(data.scores) / np.exp(data.scores).sum(axis=1, keepdims=True)
    shown = display.from_estimator(_Fitted(), probs, data.y_true, plot=False)
    _same(shown.columns(), display.from_predictions(data.y_true, probs, plot=False).columns(), display.__name__)
    assert shown.name == "_Fitted", f"{display.__name__} does not name the estimator"


class _Fitted:
    classes_ = np.arange(3)

    def predict_proba(self, X: Any) -> Any:
        return X
