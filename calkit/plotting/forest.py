"""Forest plots: values, or differences from a baseline, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calkit.comparison import Comparison
from calkit.errors import InputError
from calkit.evaluation import Evaluation
from calkit.metrics import Metric
from calkit.plotting.grid import panels
from calkit.plotting.showing import Showing
from calkit.plotting.style import COLOURS, MARKERS, as_text, foreground, wrapped
from calkit.stats.grouping import group_name
from calkit.tabular import Tabular

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ForestDisplay"]


@dataclass(frozen=True)
class _Line:
    """One line of a forest plot: a value and its limits, as fractions."""

    name: str
    value: float
    low: float | None
    high: float | None


class ForestDisplay(Showing, Tabular):
    """Values of models, or their differences from a baseline, one panel for each metric.

    Made by :meth:`from_comparison`, :meth:`from_evaluation` or :meth:`from_evaluations`.

    Attributes
    ----------
    lines : dict of str to list
        By the spec of the metric, what is drawn from top to bottom.
    axes_ : list of matplotlib Axes
        One for each metric, after :meth:`plot`.
    figure_ : matplotlib Figure
        After :meth:`plot`.

    Examples
    --------
    >>> import calkit
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.plotting import ForestDisplay
    >>> test = load_digits_logits("test")
    >>> evaluation = calkit.evaluate(test, ["ece", "nll"], confidence_level=0.95)
    >>> display = ForestDisplay.from_evaluations({"digits": evaluation})
    >>> list(display.lines)
    ['ece', 'nll']
    """

    def __init__(
        self, metrics: Sequence[Metric], lines: Mapping[str, Sequence[_Line]], *, baseline: str | None = None
    ) -> None:
        self.metrics = tuple(metrics)
        self.lines = {spec: list(each) for spec, each in lines.items()}
        self.baseline = baseline

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> ForestDisplay:
        """Show the differences from the baseline.

        Parameters
        ----------
        comparison : Comparison
            From :func:`calkit.compare`.

        Returns
        -------
        ForestDisplay
            Not drawn yet.
        """
        lines = {
            spec: [_Line(name, found.value, found.low, found.high) for name, found in each.items()]
            for spec, each in comparison.differences.items()
        }
        return cls(comparison.metrics, lines, baseline=comparison.baseline)

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, *, name: str = "all") -> ForestDisplay:
        """Show the values of one evaluation, and of each of its groups.

        Parameters
        ----------
        evaluation : Evaluation
            From :func:`calkit.evaluate`; with `by`, its groups stand below it.
        name : str, default="all"
            What the evaluation of all rows is called.

        Returns
        -------
        ForestDisplay
            Not drawn yet.
        """
        groups = {f"{evaluation.by} = {group_name(label)}": group for label, group in evaluation.groups.items()}
        return cls.from_evaluations({name: evaluation, **groups})

    @classmethod
    def from_evaluations(cls, evaluations: Mapping[str, Evaluation]) -> ForestDisplay:
        """Show the values, with intervals where they were asked for.

        Parameters
        ----------
        evaluations : mapping of str to Evaluation
            By the names of the models.

        Returns
        -------
        ForestDisplay
            Not drawn yet.

        Raises
        ------
        InputError
            If there are none.
        """
        if not evaluations:
            raise InputError("evaluations is empty: pass at least one.")
        metrics = list({m.spec: m for e in evaluations.values() for m in e.metrics}.values())
        lines = {
            metric.spec: [
                _Line(name, e[metric.spec], *(e.intervals.get(metric.spec) or (None, None)))
                for name, e in evaluations.items()
                if metric.spec in e
            ]
            for metric in metrics
        }
        return cls(metrics, lines)

    def columns(self) -> dict[str, list[Any]]:
        """Return what is drawn as columns: metric, model, value, low, high."""
        rows = [(spec, line) for spec, each in self.lines.items() for line in each]
        return {
            "metric": [spec for spec, _ in rows],
            "model": [line.name for _, line in rows],
            "value": [line.value for _, line in rows],
            "low": [line.low for _, line in rows],
            "high": [line.high for _, line in rows],
        }

    def plot(self, ax: Any = None) -> ForestDisplay:
        """Draw a panel for each metric.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, optional
            One for each metric; by default a new figure.

        Returns
        -------
        ForestDisplay
            Itself, with `axes_` and `figure_` set.

        Raises
        ------
        InputError
            If there are fewer Axes than metrics.
        """
        own = ax is None
        if ax is None:
            from matplotlib import pyplot as plt

            n = len(self.metrics)
            height = 1.1 + 0.35 * max(len(each) for each in self.lines.values())
            figure = plt.figure(figsize=(min(n, 3) * 4.2, height * -(-n // 3)), layout="constrained")
            ax = [figure.add_subplot(-(-n // 3), min(n, 3), i + 1) for i in range(n)]
        axes = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) < len(self.metrics):
            raise InputError(f"there are {len(self.metrics)} metrics, but only {len(axes)} Axes.")
        self.axes_ = axes[: len(self.metrics)]
        self.figure_ = self.axes_[0].figure
        for metric, each in zip(self.metrics, self.axes_, strict=True):
            self._draw(each, metric)
        if own:
            self._name_once()
        return self

    def figure_of(self) -> Figure:
        """Return a figure that is not registered with pyplot, drawn."""
        height = 1.1 + 0.35 * max(len(each) for each in self.lines.values())
        figure, axes = panels(len(self.metrics), (4.2, height))
        self.plot(axes)
        self._name_once()
        if self.baseline is not None:
            figure.suptitle(as_text(wrapped(f"Difference from {self.baseline}", int(figure.get_figwidth() * 11))))
        return figure

    def _new_figure(self) -> Figure:
        return self.figure_of()

    def _name_once(self) -> None:
        """Leave the names of lines out that stand in the same row already."""
        if len({tuple(line.name for line in each) for each in self.lines.values()}) == 1:
            for ax in self.axes_:
                place = ax.get_subplotspec()
                ax.tick_params(labelleft=place is None or place.is_first_col())

    def _draw(self, ax: Axes, metric: Metric) -> None:
        lines = self.lines[metric.spec]
        scale = 100 if metric.percent else 1
        if self.baseline is not None:
            ax.axvline(0, color=foreground(), linewidth=1, linestyle=(0, (4, 3)))
        for place, line in enumerate(lines):
            clear = line.low is not None and line.high is not None and not line.low <= 0 <= line.high
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            if line.low is not None and line.high is not None:
                ax.plot([line.low * scale, line.high * scale], [place, place], color=colour, linewidth=1.6)
            # Hollow where the difference may be chance.
            face = colour if clear or self.baseline is None else "none"
            ax.plot(line.value * scale, place, marker=marker, color=colour, markerfacecolor=face, markersize=7)
        ax.set_yticks(range(len(lines)), [as_text(wrapped(line.name, 24)) for line in lines])
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_title(metric.heading)
        better = "more is" if metric.higher_is_better else "less is"
        ax.set_xlabel(f"{'neither end is' if metric.is_descriptive else better} better", fontsize="small")
        # Long numbers stay apart.
        ax.locator_params(axis="x", nbins=5)
        ax.grid(axis="x", alpha=0.25)
