"""How a metric is declared, where metrics are registered, and how one is computed from arrays.

A metric is declared once, as the public function: ``@metric(...)`` on a function of ``(y_true, y_proba, *, own
parameters, **shared)`` that returns a :class:`Recipe`. Its signature gives the parameters of the spec string and their
defaults, its docstring what people read, and the decorator's arguments the rest of the catalogue.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec

from calkit.errors import InputError, UsageError
from calkit.metrics.model import GroupedValue, Metric, Recipe, mean_over_keys, worst_group
from calkit.metrics.pos_label import with_event
from calkit.metrics.shared import SHARED_DEFAULTS, documented, split_arguments
from calkit.predictions import Kind, Predictions
from calkit.printing import summary_of
from calkit.registry import Registry
from calkit.specs import Spec, call_with_spec, parse_spec
from calkit.stats import By, View, available_targets, get_view, summarize
from calkit.stats.views import TOP, MultiLabel

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
    "mean_over_keys",
    "metric",
    "worst_group",
]

P = ParamSpec("P")


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
    descriptive : bool
        Whether neither large nor small values are better.
    reference : str
        Who defined it, where.
    cost : str
        Passes over the rows, and memory.
    trust : str
        When its value can be trusted.
    no_interval : str
        Why there is no interval; empty where there is one.
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
    descriptive: bool = False
    reference: str = ""
    cost: str = "one pass"
    trust: str = ""
    no_interval: str = ""
    targets: tuple[str, ...] | None = None
    law_exceptions: Mapping[str, str] = field(default_factory=dict, hash=False)

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The metric's own parameters with their defaults."""
        return {name: p.default for name, p in split_arguments(self.declared).items()}

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring."""
        return summary_of(self.declared)

    @functools.cached_property
    def __signature__(self) -> inspect.Signature:
        own = [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in split_arguments(self.declared).values()]
        return inspect.Signature([*own, inspect.Parameter("target", inspect.Parameter.KEYWORD_ONLY, default=None)])

    def __reduce__(self) -> tuple[Any, ...]:
        return _definition_of, (self.name,)

    @functools.cached_property
    def default(self) -> Metric:
        """The metric with all parameters at their defaults, made once."""
        return call_with_spec(self, Spec(self.name), "metric")

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
METRICS: Registry[MetricDefinition] = Registry("metric", entry_points="calkit.metrics", listed_by="'calkit metrics'")


def _definition_of(name: str) -> MetricDefinition:
    return METRICS[name]


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
        `higher_is_better`, `descriptive`, `reference`, `cost`, `trust`, `no_interval`, `targets`, `law_exceptions`.

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


def _computed(definition: MetricDefinition, y_true: Any, y_proba: Any = None, **arguments: Any) -> float:
    """Return the value of a metric, as its public function does."""
    if y_proba is None and isinstance(y_true, Predictions):
        raise InputError(
            f"y_proba is missing: {definition.name} takes labels and scores. Of predictions, "
            f"calkit.evaluate(predictions, [{definition.name!r}]) gives the value."
        )
    y_true, arguments = with_event(y_true, y_proba, arguments)
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
    definition = METRICS[spec.name]
    try:
        return definition.default if spec.is_bare else call_with_spec(definition, spec, "metric")
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
    if isinstance(by, str):
        raise InputError(f"by={by!r} names a column, which arrays do not have; pass a group for each row.")
    if hasattr(y_true, "predict_proba"):
        raise InputError(
            "the first argument is a classifier, but labels and scores are needed: (y, model.predict_proba(X)), with "
            "class_names=model.classes_ if labels are text. Scorers take models: calkit.scorers.neg_ece(model, X, y)."
        )
    kind: Kind = "logits" if from_logits else "probs"
    return Predictions(
        y_proba,
        y_true,
        kind=kind,
        columns={} if by is None else {"by": by},
        multilabel=target is not None and isinstance(get_view(target), MultiLabel),
        **arguments,
    )
