"""What a metric is: a pure function of one summary, bound to what is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from calkit.errors import UsageError
from calkit.inference.judgement import Inference
from calkit.specs import Spec
from calkit.stats import Statistic, View, default_view, get_view
from calkit.stats.layout import Layout
from calkit.stats.once import once
from calkit.stats.views import TOP

if TYPE_CHECKING:
    from calkit.metrics.base import MetricDefinition

__all__ = ["GroupedValue", "Metric", "Recipe", "mean_over_keys", "worst_group"]


def mean_over_keys(values: list[float]) -> float:
    """Return the mean over the keys that have a value; NaN if none has."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


@dataclass(frozen=True)
class Recipe:
    """How a metric comes about, for certain parameters: what the function that declares it returns.

    Attributes
    ----------
    statistic : Statistic
        What is counted, for the default target of K columns; for another one it is asked ``on`` that view.
    finish : callable
        Turns the summary of `statistic` into the value; of a view with keys, that of each key.
    inference : Inference, optional
        How interval, floor and p-value are found.
    bounded_by_gap : bool
        Whether the value for the top label is never less than ``|mean confidence - accuracy|``, which lets a search
        over temperatures skip most of them.
    over_keys : callable
        Turns the values of the keys (classes, say) into one: their mean unless told otherwise.
    event_bounds : tuple of float, optional
        Smallest and largest value for targets that are events, if they differ from those of K columns.
    """

    statistic: Statistic[Any]
    finish: Callable[[Any], float]
    inference: Inference | None = None
    bounded_by_gap: bool = False
    over_keys: Callable[[list[float]], float] = mean_over_keys
    event_bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Metric:
    """A number that is a pure function of one summary.

    Attributes
    ----------
    name : str
        The registered word: ``"ece"``.
    title : str
        For headings: ``"ECE"``.
    statistic : Statistic
        What is counted.
    finish : callable
        Turns the summary of `statistic` into the value; see :meth:`value`.
    higher_is_better : bool
    bounds : tuple of float
        Smallest and largest possible value.
    percent : bool
        Whether tables show it times 100, with % in the heading. The value itself is always a fraction.
    bounded_by_gap : bool
        Whether the value is never less than ``|mean confidence - accuracy|``, which lets a search over temperatures
        skip most of them.
    reference : str
        Where the metric is defined.
    parameters : dict
        The parameters that differ from the defaults.
    inference : Inference, optional
        How interval, floor and p-value are found; None where that has no meaning.
    target : str, optional
        What is judged, if it was asked for.
    view : View, optional
        What is judged, once :meth:`bind` has looked at the predictions; None for what K columns mean by default.
    view_shown : bool
        Whether headings name it: wherever it is not the default of K columns.
    over_keys : callable
        Turns the values of the keys of a view into one.
    definition : MetricDefinition, optional
        The declaration it comes from.
    """

    name: str
    title: str
    statistic: Statistic[Any]
    finish: Callable[[Any], float] = field(compare=False)
    higher_is_better: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    percent: bool = True
    bounded_by_gap: bool = False
    reference: str = ""
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    inference: Inference | None = field(default=None, compare=False)
    target: str | None = field(default=None, compare=False)
    view: View | None = None
    view_shown: bool = field(default=False, compare=False)
    over_keys: Callable[[list[float]], float] = field(default=mean_over_keys, compare=False, repr=False)
    definition: MetricDefinition | None = field(default=None, compare=False, repr=False)

    @once
    def spec(self) -> str:
        """The string that stands for this metric: its name and the parameters that differ from the defaults."""
        asked = {} if self.target is None else {"target": self.target}
        return str(Spec(self.name, (), {**self.parameters, **asked}))

    @property
    def heading(self) -> str:
        """Title with the target and the parameters, and the unit where values are shown in percent."""
        words = [self.view.title] if self.view is not None and self.view_shown else []
        words += [f"{key}={value}" for key, value in self.parameters.items()]
        return self.title + (f" ({', '.join(words)})" if words else "") + (" %" if self.percent else "")

    @property
    def is_descriptive(self) -> bool:
        """Whether neither a high nor a low value is better."""
        return self.definition is not None and self.definition.descriptive

    @property
    def needs_distribution(self) -> bool:
        """Whether the scores of all classes are needed, not only confidence and correctness."""
        return self.statistic.needs_distribution

    def bind(self, layout: Layout, target: str | View | None = None) -> Metric:
        """Return the metric as it applies to some predictions: of the target asked for, or of their own.

        Parameters
        ----------
        layout : Predictions, Shards or anything with their layout
        target : str or View, optional
            What is judged if the metric does not say it itself.

        Raises
        ------
        InputError
            If the predictions do not have the target.
        UsageError
            If the metric is not defined for it.
        """
        if self.view is not None:
            return self
        asked = target if self.target is None else self.target
        view = default_view(layout) if asked is None else get_view(asked).bind(layout)
        allowed = None if self.definition is None else self.definition.targets
        possible = self.statistic.sees_views if allowed is None else view.name in allowed
        if asked is None and (view == TOP or not (possible or layout.multilabel)):
            return self
        if self.target is None and allowed is not None and not (possible or layout.multilabel):
            # Its definition says what it judges: classwise_ece is that of all classes, whatever the others judge.
            return self
        if not possible:
            known = " or ".join(allowed or (TOP.name,))
            raise UsageError(f"{self.name} is defined for target {known}, not for {view.spec!r}.")
        return self._judging(view, shown=view != TOP or bool(layout.one_column))

    def _judging(self, view: View, *, shown: bool) -> Metric:
        """Return the metric of a view's forecasts."""
        event_bounds = None if self.definition is None else self.definition.recipe(self.parameters).event_bounds
        return replace(
            self,
            statistic=self.statistic.on(view),
            inference=None if self.inference is None else self.inference.on(view),
            bounds=event_bounds or self.bounds,
            bounded_by_gap=self.bounded_by_gap and view == TOP,
            view=view,
            view_shown=shown,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # What makes up a metric are functions that no pickle holds: another process makes it of its declaration.
        if self.definition is None:
            return super().__reduce__()  # type: ignore[return-value]
        return _declared, (self.definition, self.parameters, self.target, self.view, self.view_shown)

    def value(self, summary: Any) -> float:
        """Return the value, given what was counted."""
        if self.view is None or not self.view.keyed or self.statistic.counts_keys:
            return self.finish(summary)
        return self.over_keys(summary.map(self.finish))

    def format(self, value: float, decimals: int | None = None) -> str:
        """Return the value as tables show it: in percent with 2 decimals, or a plain number with 4; a dash for NaN.

        Examples
        --------
        >>> from calkit.metrics import get_metric
        >>> get_metric("ece").format(0.0316), get_metric("nll").format(-1e-9)
        ('3.16', '0.0000')
        """
        if math.isnan(value):
            return "–"
        digits = decimals if decimals is not None else (2 if self.percent else 4)
        return f"{value * 100 if self.percent else value:z.{digits}f}"


def _declared(
    definition: MetricDefinition, parameters: dict[str, Any], target: str | None, view: View | None, shown: bool
) -> Metric:
    metric = definition(**parameters, target=target)
    return metric if view is None else metric._judging(view, shown=shown)


class GroupedValue(float):
    """A metric's value over all rows, which also holds its value in each group.

    Attributes
    ----------
    groups : dict of float
        The value in each group, by the group's label.
    counts : dict of int
        Rows of each group.
    worst : object
        The label of the group with the worst value.
    """

    groups: dict[Any, float]
    counts: dict[Any, int]
    worst: Any

    @classmethod
    def of(cls, value: float, groups: Mapping[Any, float], counts: Mapping[Any, int], worst: Any) -> GroupedValue:
        """Return a value with those of its groups."""
        found = cls(value)
        found.groups, found.counts, found.worst = dict(groups), dict(counts), worst
        return found


def worst_group(metric: Metric, values: Mapping[Any, float]) -> Any:
    """Return the label of the worst value; None if there is none."""
    known = {label: value for label, value in values.items() if not math.isnan(value)}
    if not known:
        return None
    return (min if metric.higher_is_better else max)(known, key=lambda label: known[label])
