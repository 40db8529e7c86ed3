"""calkit's metrics as running totals on a device: ``update`` with each batch, ``compute`` at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from torch import Tensor

from calkit.errors import InputError, UsageError
from calkit.evaluation import Evaluation, asked_metrics
from calkit.metrics import Metric, get_metric
from calkit.shards import Layout
from calkit.stats import Statistic, View, get_view
from calkit_torch.bridge.accumulator import Accumulator
from calkit_torch.bridge.event_rows import EVENTS, rows_for
from calkit_torch.bridge.rows import DeviceRows
from calkit_torch.bridge.shapes import ScoreKind, as_score_kind
from calkit_torch.bridge.statistics import Counter, check_countable, is_summable, keeps_pairs

__all__ = ["CalibrationError", "DeviceMetrics"]


class _Judging(Accumulator):
    """What metrics on devices have in common: what they judge, one event a row.

    Parameters
    ----------
    metrics : sequence of Metric
    target : str or View, optional
        What is judged by metrics that do not say it themselves.
    **how
        As for :class:`Accumulator`.
    """

    _one_column: bool | None = None
    # What is judged, once a batch has told; None for whole rows.
    _view: View | None = None
    # Statistics of metrics that judge whole rows, whatever the others judge.
    _whole: frozenset[Statistic[Any]] = frozenset()

    def __init__(self, metrics: Sequence[Metric], target: str | View | None, **how: Any) -> None:
        self._judged = tuple(metrics)
        self._target = _one_target(metrics, target)
        self._needs_classes = self._target is not None
        super().__init__([metric.statistic for metric in metrics], **how)

    def reset(self) -> Self:
        """Forget all batches."""
        self._one_column = None
        return super().reset()

    def _seen(self, rows: DeviceRows, scores: Tensor) -> Any:
        one_column = scores.ndim == 1
        if self._one_column not in (None, one_column):
            raise InputError(
                "this batch and those before differ: one dimension of scores is the forecast of one event."
            )
        if one_column and self._target is not None:
            raise UsageError(
                f"{self._judged[0].name}:target={self._target.spec} of scores of one dimension: give the scores of "
                "both classes, or leave target out."
            )
        if self._one_column is None:
            self._bind(Layout(self.kind, rows.scores.shape[1], None, one_column))
        self._one_column = one_column
        return rows if self._view is None else rows_for(rows, self._view)

    def _bind(self, layout: Layout) -> None:
        bound = [(metric.statistic, metric.bind(layout, self._target).view) for metric in self._judged]
        self._view = next((view for _, view in bound if view is not None), None)
        self._whole = frozenset(statistic for statistic, view in bound if view is None)
        mixed = self._whole & {statistic for statistic, view in bound if view is not None}
        if self._view is not None and (mixed or any(map(keeps_pairs, self._whole))):
            raise UsageError(
                f"some of these metrics are not defined for target {self._view.spec!r}, and are made of the same sums "
                "as others; make an object for each."
            )

    def _measured(self, counter: Counter[Any, Any], rows: Any) -> Tensor:
        return super()._measured(counter, rows.whole if counter.statistic in self._whole else rows)

    def _bound(self) -> tuple[Metric, ...]:
        """Return the metrics as they apply to the batches, for headings."""
        layout = Layout(self.kind, self.n_classes, None, bool(self._one_column))
        return tuple(metric.bind(layout, self._target) for metric in self._judged)

    def _layout(self) -> dict[str, Any]:
        return {**super()._layout(), "target": None if self._target is None else self._target.spec}


def _one_target(metrics: Sequence[Metric], target: str | View | None) -> View | None:
    """Return what all metrics judge; None if nothing was asked for."""
    asked = {None if word is None else get_view(word) for word in (metric.target or target for metric in metrics)}
    if len(asked) > 1:
        specs = ", ".join(sorted("top label" if view is None else view.spec for view in asked))
        raise UsageError(f"metrics on a device judge the same, but these judge {specs}; make an object for each.")
    view = asked.pop() if asked else None
    if view is not None and type(view) not in EVENTS:
        raise UsageError(
            f"target={view.spec!r} is not counted on a device, only 'top', 'positive:class=…' and 'top-5'; "
            "'classwise_ece' is. Bring the rows to the host: "
            f"calkit.evaluate(calkit_torch.bridge.predict(model, loader), target={view.spec!r})."
        )
    return view


class DeviceMetrics(_Judging):
    """Several metrics from one pass, accumulated on the device of the batches, in constant memory but for AdaECE.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        Names with parameters if any (``"ece:n_bins=25"``); by default those of the paper that are functions of sums:
        accuracy, error, ECE, MCE, NLL, Brier, S99. With ``"adaece"`` 24 bytes a row are kept on the device.
    target : str or View, optional
        What is judged, one event a row: ``"top"``, ``"positive:class=2"`` or ``"top-5"``. By default the top label of K
        scores, and of one dimension the event itself.
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
        If a metric is made of something that is not counted on devices, or `target` is several events a row.

    Examples
    --------
    >>> import torch
    >>> metrics = DeviceMetrics(["error", "nll"])
    >>> for _ in range(3):
    ...     _ = metrics.update(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    >>> {name: round(value, 6) for name, value in metrics.compute().items()}
    {'error': 0.5, 'nll': 1.126928}
    """

    def __init__(
        self,
        metrics: Iterable[str | Metric] | None = None,
        *,
        target: str | View | None = None,
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metrics = _chosen(metrics, as_score_kind(kind))
        super().__init__(self.metrics, target, kind=kind, ignore_index=ignore_index, process_group=process_group)

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
            A mapping from spec to value; its `n_samples` counts the rows that took part.

        Raises
        ------
        InputError
            If a label, a score or a weight was impossible, on whatever rank, or no row counts.
        """
        n_rows, found = self._result(sync)
        values = {metric.spec: metric.value(found[metric.statistic]) for metric in self.metrics}
        return Evaluation(values, self._bound(), n_rows, self.n_classes, self.kind)


class CalibrationError(_Judging):
    """One metric, accumulated on the device of the batches, in constant memory but for AdaECE.

    Parameters
    ----------
    metric : str or Metric, default="ece"
        Any metric of calkit, by its spec: ``"ece:n_bins=25"``, ``"smece"``, ``"nll"``. Those of bins of equal mass
        (``"adaece"``) keep 24 bytes a row on the device, all others a fixed number of sums.
    target : str or View, optional
        What is judged, one event a row: ``"top"``, ``"positive:class=2"`` or ``"top-5"``. By default the top label of K
        scores, and of one dimension the event itself.
    kind : {"logits", "probs"}, default="logits"
        What the scores will be. Never guessed.
    ignore_index : int, default=-100
        Label of rows that do not count.
    process_group : ProcessGroup, optional
        The processes to sum over; by default all of them, if torch.distributed is initialised.

    Raises
    ------
    NotFoundError
        If the metric is unknown.
    UsageError
        If the metric is made of something that is not counted on devices, or `target` is several events a row.

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
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metric = check_countable(get_metric(metric))
        super().__init__([self.metric], target, kind=kind, ignore_index=ignore_index, process_group=process_group)

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
            A fraction, never percent.

        Raises
        ------
        InputError
            If a label, a score or a weight was impossible, on whatever rank, or no row counts.
        """
        return self.metric.value(self.summaries(sync=sync)[self.metric.statistic])


def _chosen(metrics: Iterable[str | Metric] | None, kind: ScoreKind) -> tuple[Metric, ...]:
    chosen = asked_metrics(metrics, kind)
    return tuple(filter(is_summable, chosen) if metrics is None else map(check_countable, chosen))
