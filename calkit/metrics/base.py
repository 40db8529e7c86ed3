"""What a metric is, how one is declared, and how one is computed from arrays.

A metric is declared once, as the public function: ``@metric(...)`` on a function of ``(y_true, y_proba, *, own
parameters, **shared)`` that returns a :class:`Recipe`. Its signature gives the parameters of the spec string and their
defaults, its docstring what people read, and the decorator's arguments the rest of the catalogue.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec

from calkit.errors import InputError, UsageError
from calkit.inference.judgement import Inference
from calkit.metrics.shared import SHARED_DEFAULTS, documented, split_arguments
from calkit.predictions import Kind, Predictions
from calkit.registry import Registry
from calkit.specs import Spec, call_with_spec, parse_spec
from calkit.stats import By, Statistic, View, available_targets, default_view, get_view, summarize
from calkit.stats.views import TOP, Layout, MultiLabel

__all__ = [
    "METRICS",
    "GroupedValue",
    "Metric",
    "MetricDefinition",
    "Recipe",
    "as_predictions",
    "available_metrics",
    "compute",
    "get_metric",
    "metric",
]

P = ParamSpec("P")


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

    @property
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
        if self.target is None and allowed is not None and not possible:
            # Its definition says what it judges: classwise_ece is that of all classes, whatever the others judge.
            return self
        if not possible:
            known = " or ".join(allowed or (TOP.name,))
            raise UsageError(f"{self.name} is defined for target {known}, not for {view.spec!r}.")
        event_bounds = None if self.definition is None else self.definition.recipe(self.parameters).event_bounds
        return replace(
            self,
            statistic=self.statistic.on(view),
            inference=None if self.inference is None else self.inference.on(view),
            bounds=event_bounds or self.bounds,
            bounded_by_gap=self.bounded_by_gap and view == TOP,
            view=view,
            view_shown=view != TOP or bool(layout.one_column),
        )

    def value(self, summary: Any) -> float:
        """Return the value, given what was counted."""
        if self.view is None or not self.view.keyed or self.statistic.counts_keys:
            return self.finish(summary)
        return self.over_keys(summary.map(self.finish))

    def format(self, value: float, decimals: int | None = None) -> str:
        """Return the value as tables show it: in percent with 2 decimals, or a plain number with 4; a dash for NaN."""
        if math.isnan(value):
            return "–"
        digits = decimals if decimals is not None else (2 if self.percent else 4)
        return f"{value * 100 if self.percent else value:.{digits}f}"


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


@dataclass(frozen=True)
class MetricDefinition:
    """A row of the catalogue of metrics.

    Attributes
    ----------
    name, title : str
        The word in specs, and what headings show.
    declared : callable
        The function that returns the recipe for its own parameters.
    aliases : tuple of str
    formula : str
        In words and symbols.
    bounds : tuple of float
        Smallest and largest value.
    percent, higher_is_better : bool
    reference : str
        Who defined it, where.
    cost : str
        Passes over the rows, and memory.
    trust : str
        When its value can be trusted.
    targets : tuple of str, or None
        The targets it is defined for; None for all.
    law_exceptions : dict of str
        Laws of :data:`calkit.testing.METRIC_LAWS` that do not hold for it, with the reason.
    """

    name: str
    title: str
    declared: Callable[..., Any] = field(compare=False)
    aliases: tuple[str, ...] = ()
    formula: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    percent: bool = True
    higher_is_better: bool = False
    reference: str = ""
    cost: str = "one pass"
    trust: str = ""
    targets: tuple[str, ...] | None = None
    law_exceptions: Mapping[str, str] = field(default_factory=dict, hash=False)

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The metric's own parameters with their defaults."""
        return {name: p.default for name, p in split_arguments(self.declared).items()}

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.declared) or "").partition("\n")[0]

    @functools.cached_property
    def __signature__(self) -> inspect.Signature:
        own = [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in split_arguments(self.declared).values()]
        return inspect.Signature([*own, inspect.Parameter("target", inspect.Parameter.KEYWORD_ONLY, default=None)])

    def recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe for some parameters, the others at their defaults."""
        found: Recipe = self.declared(None, None, **parameters)
        return found

    def supports(self) -> list[str]:
        """Return the targets that the metric is defined for."""
        if self.targets is not None:
            return list(self.targets)
        return available_targets() if self.recipe({}).statistic.sees_views else [TOP.name]

    def __call__(self, *args: Any, **kwargs: Any) -> Metric:
        """Return the metric for its parameters."""
        given = self.__signature__.bind(*args, **kwargs).arguments
        target = given.pop("target", None)
        recipe = self.recipe(given)
        if target is not None:
            get_view(target)
        return Metric(
            self.name,
            self.title,
            recipe.statistic,
            recipe.finish,
            self.higher_is_better,
            self.bounds,
            self.percent,
            recipe.bounded_by_gap,
            self.reference,
            {name: value for name, value in given.items() if value != self.defaults[name]},
            recipe.inference,
            target=target.spec if isinstance(target, View) else target,
            over_keys=recipe.over_keys,
            definition=self,
        )


#: The definitions of metrics by name; each is called with a metric's parameters and returns a :class:`Metric`.
METRICS: Registry[MetricDefinition] = Registry("metric", entry_points="calkit.metrics")


def metric(title: str, *, name: str | None = None, **about: Any) -> Callable[[Callable[P, Recipe]], Callable[P, float]]:
    """Return a decorator that declares and registers a metric under the function's name.

    Parameters
    ----------
    title : str
        For headings.
    name : str, optional
        The word in specs, where it differs from the function's name.
    **about
        The other attributes of :class:`MetricDefinition`: `aliases`, `formula`, `bounds`, `percent`,
        `higher_is_better`, `reference`, `cost`, `trust`, `targets`, `law_exceptions`.

    Returns
    -------
    callable
        Takes a function of ``(y_true, y_proba, *, own parameters, **shared: Unpack[SharedArguments])`` that returns the
        :class:`Recipe` for its own parameters, and gives back the function that people call: it returns the value.
    """

    def declare(function: Callable[P, Recipe]) -> Callable[P, float]:
        definition = MetricDefinition(name or function.__name__, title, function, **about)
        METRICS.register(definition.name, aliases=definition.aliases)(definition)

        value_of: Callable[..., float] = functools.partial(_computed, definition)

        @functools.wraps(function)
        def compute(*args: P.args, **kwargs: P.kwargs) -> float:
            return value_of(*args, **kwargs)

        documented(compute, function)
        return compute

    return declare


def _computed(definition: MetricDefinition, y_true: Any, y_proba: Any, **arguments: Any) -> float:
    """Return the value of a metric, as its public function does."""
    shared = {name: arguments.pop(name) for name in SHARED_DEFAULTS if name in arguments}
    metric = definition(**arguments, target=shared.get("target"))
    by = shared.get("by")
    predictions = as_predictions(y_true, y_proba, **shared)
    metric = metric.bind(predictions)
    statistics = [metric.statistic] if by is None else [metric.statistic, By(metric.statistic, "by")]
    found = summarize(predictions, statistics)
    value = metric.value(found[metric.statistic])
    if by is None:
        return value
    parts = found[statistics[1]]
    groups = {label: metric.value(summary) for label, summary in parts.summaries.items()}
    return GroupedValue.of(value, groups, parts.counts, worst_group(metric, groups))


def compute(metric: Metric, predictions: Predictions) -> float:
    """Return the value of one metric."""
    bound = metric.bind(predictions)
    return bound.value(summarize(predictions, [bound.statistic])[bound.statistic])


def available_metrics() -> list[str]:
    """Return the names of all metrics.

    Examples
    --------
    >>> from calkit.metrics import available_metrics
    >>> "ece" in available_metrics()
    True
    """
    return list(METRICS)


def get_metric(metric: str | Metric) -> Metric:
    """Return the metric a string stands for.

    Parameters
    ----------
    metric : str or Metric
        A name, with parameters after a colon if any: ``"ece"``, ``"ece:n_bins=25"``, ``"ece:target=classwise"``. A
        Metric is returned unchanged.

    Returns
    -------
    Metric

    Raises
    ------
    NotFoundError
        If no metric has that name.
    UsageError
        If a parameter is unknown or impossible.

    Examples
    --------
    >>> from calkit.metrics import get_metric
    >>> get_metric("ece:n_bins=25").spec
    'ece:n_bins=25'
    """
    if isinstance(metric, Metric):
        return metric
    spec = parse_spec(metric)
    try:
        return call_with_spec(METRICS[spec.name], spec, "metric")
    except InputError as error:
        raise UsageError(f"metric {metric!r}: {error}") from None


def as_predictions(
    y_true: Any,
    y_proba: Any,
    *,
    target: str | View | None = None,
    by: Any = None,
    from_logits: bool = False,
    **arguments: Any,
) -> Predictions:
    """Build predictions from the arguments that all metric functions share; `by` is a column called ``"by"``."""
    kind: Kind = "logits" if from_logits else "probs"
    return Predictions(
        y_proba,
        y_true,
        kind=kind,
        columns={} if by is None else {"by": by},
        multilabel=target is not None and isinstance(get_view(target), MultiLabel),
        **arguments,
    )
