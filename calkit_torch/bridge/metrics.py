"""calkit's metrics as running totals on a device: ``update`` with each batch, ``compute`` at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from calkit.errors import InputError, UsageError
from calkit.evaluation import Evaluation, asked_metrics
from calkit.evaluation.parts import with_groups
from calkit.metrics import GroupedValue, Metric, get_metric
from calkit.metrics.base import worst_group
from calkit.shards import Layout
from calkit.stats import By, Statistic, View, get_view
from calkit.stats.views import MultiLabel
from calkit_torch.bridge.accumulator import Accumulator
from calkit_torch.bridge.shapes import Batch, ScoreKind, as_score_kind
from calkit_torch.bridge.statistics import check_countable, is_summable

__all__ = ["CalibrationError", "DeviceMetrics"]


class _Judging(Accumulator):
    """What metrics on devices have in common: what they judge, and by which column.

    Parameters
    ----------
    metrics : sequence of Metric
    target : str or View, optional
        What is judged by metrics that do not say it themselves.
    by : str or mapping of str to sequence, optional
        The column that tells the groups.
    **how
        As for :class:`Accumulator`.
    """

    # Whether the scores are one dimension, once a batch has told.
    _one_column: bool | None = None

    def __init__(
        self,
        metrics: Sequence[Metric],
        target: str | View | None,
        by: str | Mapping[str, Sequence[Any]] | None,
        **how: Any,
    ) -> None:
        self._asked = tuple(metrics)
        self._target = None if target is None else get_view(target)
        views = [get_view(metric.target) if metric.target else self._target for metric in metrics]
        self._many_labels = any(isinstance(view, MultiLabel) for view in views)
        # A class is a column only once there is a number of columns; then every rank has to know it.
        self._needs_classes = any(view is not None for view in views) or by is not None
        self._by = by if isinstance(by, str) or by is None else _column_of(by)
        self._judged = self._bound(as_score_kind(how["kind"]), None, one_column=False)
        super().__init__(self._statistics_of(self._judged), groups=None if isinstance(by, str) else by, **how)
        self._unbound = self._statistics

    def reset(self) -> Self:
        """Forget all batches."""
        self._one_column = None
        return super().reset()

    def _bound(self, kind: ScoreKind, n_classes: int | None, *, one_column: bool) -> tuple[Metric, ...]:
        """Return the metrics as they apply to batches."""
        layout = Layout(kind, n_classes, None, one_column, multilabel=self._many_labels)
        return tuple(metric.bind(layout, self._target) for metric in self._asked)

    def _statistics_of(self, metrics: Iterable[Metric]) -> tuple[Statistic[Any], ...]:
        found = [metric.statistic for metric in metrics]
        return (*found, *(By(statistic, self._by) for statistic in found if self._by is not None))

    def _begin(self, batch: Batch) -> None:
        self._meet(batch.n_classes, batch.one_column)

    def merge(self, *others: Self) -> Self:
        """Take in what other accumulators of the same statistics have counted.

        Raises
        ------
        UsageError
            If they count something else.
        InputError
            If the scores of some had one dimension, and those of others more.
        """
        for other in others:
            self._check_layout(other._layout())
            self._meet(other.n_classes, other._one_column)
        return super().merge(*others)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this process as plain data and tensors, for ``torch.save``."""
        return {**super().state_dict(), "one_column": self._one_column}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Take the state that :meth:`state_dict` returned in place of the present one.

        Raises
        ------
        UsageError
            If the state is not that of an accumulator of the same statistics.
        """
        self._check_layout(state)
        self.reset()._meet(state["n_classes"], state["one_column"])
        return super().load_state_dict(state)

    def _meet(self, n_classes: int | None, one_column: bool | None) -> None:
        """Learn of scores; None where none have been seen."""
        if n_classes is None or one_column is None:
            return
        if self._one_column not in (None, one_column):
            raise InputError(
                "this batch and those before differ: one dimension of scores is the forecast of one event."
            )
        if self._one_column is None:
            self._bind(n_classes, one_column=one_column)

    def _bind(self, n_classes: int, *, one_column: bool) -> None:
        judged = self._bound(self.kind, n_classes, one_column=one_column)
        places: dict[Statistic[Any], Statistic[Any]] = {}
        for before, now in zip(self._statistics_of(self._judged), self._statistics_of(judged), strict=True):
            if places.setdefault(before, now) != now:
                raise UsageError(
                    f"{before!r} is counted for metrics that judge different things in scores of one dimension; make "
                    "an object for each."
                )
        self._count(tuple(places[statistic] for statistic in self._statistics))
        self._judged, self._one_column = judged, one_column

    def _layout(self) -> dict[str, Any]:
        statistics = [repr(statistic) for statistic in self._unbound]
        return {
            "target": None if self._target is None else self._target.spec,
            **super()._layout(),
            "statistics": statistics,
        }


def _column_of(by: Mapping[str, Sequence[Any]]) -> str:
    if len(by) != 1:
        raise UsageError(f"by must name one column and its values, {{'site': ['A', 'B']}}, but is {by!r}.")
    return next(iter(by))


class DeviceMetrics(_Judging):
    """Several metrics from one pass, accumulated on the device of the batches.

    Memory is constant, unless metrics rank the rows.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        Names with parameters if any (``"ece:n_bins=25"``); by default those of the paper that are functions of sums:
        accuracy, error, ECE, MCE, NLL, Brier, S99. What ranks the rows, as ``"adaece"`` does, keeps 24 bytes a row on
        the device, and 16 more for each further forecast of a row.
    target : str or View, optional
        What is judged by metrics that do not say it themselves: ``"top"``, ``"positive:class=2"``, ``"top-5"``,
        ``"classwise"``, ``"ordinal"`` or ``"multilabel"``. By default the top label of K scores, and of one dimension
        the event itself.
    by : str or mapping of str to sequence, optional
        Values of groups of rows as well: by ``"true class"`` or ``"predicted class"``, or by a column with the values
        it has, ``{"site": ["A", "B"]}``, whose numbers (0 for A) :meth:`update` takes as `by`. Groups are counted one
        after another.
    kind : {"logits", "probs"}, default="logits"
        What the scores will be. Never guessed.
    ignore_index : int, default=-100
        Label of rows that do not count.
    process_group : ProcessGroup, optional
        The processes to sum over; by default all of them, if torch.distributed is initialised.

    Raises
    ------
    NotFoundError
        If a metric is unknown.
    UsageError
        If a metric is made of something that is not counted on devices, or is not defined for `target`.

    Examples
    --------
    >>> import torch
    >>> metrics = DeviceMetrics(["error", "nll"])
    >>> for _ in range(3):
    ...     _ = metrics.update(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    >>> {name: round(value, 6) for name, value in metrics.compute().items()}
    {'error': 0.5, 'nll': 1.126928}

    Of every class by itself, and of two sites:

    >>> metrics = DeviceMetrics(["brier:target=classwise", "accuracy"], by={"site": ["Basel", "Lyon"]}, kind="probs")
    >>> _ = metrics.update(torch.tensor([[0.75, 0.25], [0.5, 0.5]]), torch.tensor([0, 1]), by=torch.tensor([0, 1]))
    >>> {site: group["brier:target=classwise"] for site, group in metrics.compute().groups.items()}
    {'Basel': 0.0625, 'Lyon': 0.25}
    """

    def __init__(
        self,
        metrics: Iterable[str | Metric] | None = None,
        *,
        target: str | View | None = None,
        by: str | Mapping[str, Sequence[Any]] | None = None,
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metrics = _chosen(metrics, as_score_kind(kind))
        super().__init__(self.metrics, target, by, kind=kind, ignore_index=ignore_index, process_group=process_group)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[metric.spec for metric in self.metrics]})"

    def compute(self, *, sync: bool = True) -> Evaluation:
        """Return the values over all batches, of all ranks: one all-reduce and one transfer to the host.

        Parameters
        ----------
        sync : bool, default=True
            Add the sums of all ranks, if torch.distributed is initialised; then every rank must call this.

        Returns
        -------
        Evaluation
            A mapping from spec to value; its `n_samples` counts the rows that took part, its `groups` have the values
            of each group.

        Raises
        ------
        InputError
            If a label, a score or a weight was impossible, on whatever rank, or no row counts.
        """
        n_rows, found = self._result(sync)
        values = {metric.spec: metric.value(found[metric.statistic]) for metric in self._judged}
        whole = Evaluation(values, self._judged, n_rows, self.n_classes, self.kind)
        if self._by is None:
            return whole
        statistics = [metric.statistic for metric in self._judged]
        layout = Layout(self.kind, self.n_classes, None, bool(self._one_column), multilabel=self._many_labels)
        return with_groups(whole, statistics, self._by, found, layout, None)


class CalibrationError(_Judging):
    """One metric, accumulated on the device of the batches, in constant memory unless it ranks the rows.

    Parameters
    ----------
    metric : str or Metric, default="ece"
        Any metric of calkit, by its spec: ``"ece:n_bins=25"``, ``"smece"``, ``"nll"``. Those of bins of equal mass
        (``"adaece"``) and others that rank the rows keep 24 bytes a row on the device, and 16 more for each further
        forecast of a row; all others a fixed number of sums.
    target, by, kind, ignore_index, process_group
        As for :class:`DeviceMetrics`.

    Raises
    ------
    NotFoundError
        If the metric is unknown.
    UsageError
        If the metric is made of something that is not counted on devices, or is not defined for `target`.

    See Also
    --------
    DeviceMetrics : several metrics at the price of little more than one.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[4.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    >>> y = torch.tensor([0, 1, 1])
    >>> round(CalibrationError().update(logits, y).compute(), 6)
    0.309298
    >>> halves = [CalibrationError().update(logits[i], y[i]) for i in (slice(2), slice(2, 3))]
    >>> (halves[0] + halves[1]).compute() == CalibrationError().update(logits, y).compute()
    True
    """

    def __init__(
        self,
        metric: str | Metric = "ece",
        *,
        target: str | View | None = None,
        by: str | Mapping[str, Sequence[Any]] | None = None,
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metric = check_countable(get_metric(metric))
        super().__init__([self.metric], target, by, kind=kind, ignore_index=ignore_index, process_group=process_group)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.metric.spec!r})"

    def compute(self, *, sync: bool = True) -> float:
        """Return the value over all batches, of all ranks: one all-reduce and one transfer to the host.

        Parameters
        ----------
        sync : bool, default=True
            Add the sums of all ranks, if torch.distributed is initialised; then every rank must call this.

        Returns
        -------
        float
            A fraction, never percent. Of groups, a :class:`~calkit.metrics.GroupedValue`, which has the values of
            each.

        Raises
        ------
        InputError
            If a label, a score or a weight was impossible, on whatever rank, or no row counts.
        """
        found = self.summaries(sync=sync)
        (metric,) = self._judged
        value = metric.value(found[metric.statistic])
        if self._by is None:
            return value
        parts = found[By(metric.statistic, self._by)]
        groups = {label: metric.value(summary) for label, summary in parts.summaries.items()}
        return GroupedValue.of(value, groups, parts.counts, worst_group(metric, groups))


def _chosen(metrics: Iterable[str | Metric] | None, kind: ScoreKind) -> tuple[Metric, ...]:
    chosen = asked_metrics(metrics, kind)
    return tuple(filter(is_summable, chosen) if metrics is None else map(check_countable, chosen))
