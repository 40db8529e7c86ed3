"""calkit's metrics as running totals on a device: ``update`` with each batch, ``compute`` at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from torch import Tensor

from calkit.errors import InputError, UsageError
from calkit.evaluation import Evaluation, choose_metrics
from calkit.metrics import Metric, get_metric
from calkit.shards import Layout
from calkit_torch.bridge.accumulator import Accumulator
from calkit_torch.bridge.event_rows import EventRows
from calkit_torch.bridge.rows import DeviceRows
from calkit_torch.bridge.shapes import ScoreKind, as_score_kind
from calkit_torch.bridge.statistics import check_countable, is_summable

__all__ = ["CalibrationError", "DeviceMetrics"]


class _Judging(Accumulator):
    """What metrics on devices have in common: one dimension of scores is the forecast of one event, class 1."""

    _one_column: bool | None = None

    def _judged(self) -> tuple[Metric, ...]:
        """Return the metrics."""
        raise NotImplementedError

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
        asked = next((metric.spec for metric in self._judged() if metric.target is not None), None)
        if one_column and asked is not None:
            raise UsageError(
                f"{asked} of scores of one dimension: give the scores of both classes, or leave target out."
            )
        self._one_column = one_column
        return EventRows(rows) if one_column else rows

    def _bound(self) -> tuple[Metric, ...]:
        """Return the metrics as they apply to the batches, for headings."""
        layout = Layout(self.kind, self.n_classes, None, bool(self._one_column))
        return tuple(metric.bind(layout) for metric in self._judged())


class DeviceMetrics(_Judging):
    """Several metrics from one pass, accumulated on the device of the batches, in constant memory but for AdaECE.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        Names with parameters if any (``"ece:n_bins=25"``); by default those of the paper that are functions of sums:
        accuracy, error, ECE, MCE, NLL, Brier, S99. With ``"adaece"`` 24 bytes a row are kept on the device.
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
        If a metric is made of something that is not counted on devices.

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
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metrics = _chosen(metrics, as_score_kind(kind))
        statistics = [metric.statistic for metric in self.metrics]
        super().__init__(statistics, kind=kind, ignore_index=ignore_index, process_group=process_group)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[metric.spec for metric in self.metrics]})"

    def _judged(self) -> tuple[Metric, ...]:
        return self.metrics

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
        If the metric is made of something that is not counted on devices.

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
        kind: str = "logits",
        ignore_index: int = -100,
        process_group: Any = None,
    ) -> None:
        self.metric = check_countable(get_metric(metric))
        super().__init__([self.metric.statistic], kind=kind, ignore_index=ignore_index, process_group=process_group)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.metric.spec!r})"

    def _judged(self) -> tuple[Metric, ...]:
        return (self.metric,)

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
    layout = Layout(kind, None, None)
    if metrics is None:
        return tuple(metric for metric in choose_metrics(None, layout) if is_summable(metric))
    return tuple(check_countable(metric) for metric in choose_metrics(metrics, layout))
