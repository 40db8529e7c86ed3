"""Evaluation of a stream: sums are accumulated batch by batch; they are small, and can be stored and merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_row_source, to_values
from calkit.errors import InputError, UsageError
from calkit.evaluation import Evaluation, as_resampling, asked_metrics, evaluation_of, statistics_of, with_groups
from calkit.labels import as_class_names, as_labels, labels_in
from calkit.metrics import Metric, get_metric
from calkit.predictions import Kind, Predictions, as_kind
from calkit.shards import Layout
from calkit.stats import By, PairwiseSum, Statistic, get_view, summarize
from calkit.stats.views import MultiLabel
from calkit.stream_files import INTERVAL_OPTIONS, one_row, read_stream, reading_stream, rebuilt, write_stream

__all__ = ["StreamingEvaluation"]

_NAMED_OPTIONS = ("kind", "class_names", "labels_from", "ignore_label", "target", "by", "keep_pairs", "floors")
_OPTIONS = (*_NAMED_OPTIONS, *INTERVAL_OPTIONS)


class StreamingEvaluation:
    """Metrics of a stream of predictions, of which only sums are kept.

    :meth:`update` accumulates batches; :meth:`merge` adds days, machines and shards; :meth:`save` and :meth:`load` keep
    the sums in a file of a few kB, however long the stream. The values are those of
    :func:`~calkit.evaluate` over all rows at once.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        Names with parameters if any. By default the metrics of :func:`~calkit.evaluate`, without those that need every
        row (AdaECE) unless `keep_pairs`.
    kind : {"logits", "probs", "confidence"}, default="logits"
        What the scores are.
    class_names : sequence, optional
        A name per column, needed where the labels are strings.
    labels_from : int, default=0
        What the first class is called where labels are positions: 1 if they count from 1.
    ignore_label : value or sequence of values, optional
        Labels (-100, 255, NaN) of rows to be left out.
    target : str, optional
        What is judged, as for :func:`~calkit.evaluate`. With ``"multilabel"``, `y_true` has shape (n, K).
    by : str, optional
        A column of the batches: values are given for its groups too.
    keep_pairs : bool, default=False
        Keep confidence and correctness of every row, 9 bytes each (17 with weights), for metrics that need them.
    confidence_level : float, optional
        Give the values intervals, as :func:`~calkit.evaluate` does. It takes sums over 1,024 folds of the rows for each
        metric: 100 kB for ECE.
    n_resamples : int, default=1000
        Draws of outcomes, and of rows for the bootstrap.
    floors : bool, default=True
        Tell for each calibration error what a perfectly calibrated model with these predictions would show. It takes
        sums over the bins (10 numbers each), of smooth ECE over 1,024 cells.
    random_state : int, optional
        Seed of the bootstrap, which assigns the rows to folds. By default each stream has another one, so that the rows
        of days that are merged later are assigned independently.

    Attributes
    ----------
    metrics : tuple of Metric
        From the first batch on, as they apply to what it holds (one column is the forecast of one event).
    kind : str
    n_classes : int or None
        None before the first batch, and for (confidence, correct) pairs.
    n_samples : int
        Rows that count: of a weight above 0, and of a label that is not left out.

    Raises
    ------
    InputError
        If a metric needs the scores of all classes and only pairs will be there.
    NotFoundError
        If a metric is unknown.
    UsageError
        If a metric needs every row and `keep_pairs` is not set.

    Examples
    --------
    >>> from calkit import evaluate
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.streaming import StreamingEvaluation
    >>> test = load_digits_logits("test")
    >>> stream = StreamingEvaluation(["accuracy", "ece"])
    >>> for start in range(0, 899, 100):
    ...     stream = stream.update(test.scores[start:start + 100], test.y_true[start:start + 100])
    >>> stream
    StreamingEvaluation(accuracy,ece; 899 samples)
    >>> stream.result()["accuracy"] == evaluate(test, ["accuracy"])["accuracy"]
    True
    """

    def __init__(
        self,
        metrics: Iterable[str | Metric] | None = None,
        *,
        kind: str = "logits",
        class_names: Sequence[Any] | None = None,
        labels_from: int = 0,
        ignore_label: Any = None,
        target: str | None = None,
        by: str | None = None,
        keep_pairs: bool = False,
        confidence_level: float | None = None,
        n_resamples: int = 1000,
        random_state: int | None = None,
        floors: bool = True,
    ) -> None:
        self.kind: Kind = as_kind(kind)
        chosen = asked_metrics(metrics, self.kind)
        if metrics is None and not keep_pairs:
            chosen = [metric for metric in chosen if metric.statistic.is_sum]
        for metric in chosen:
            if not (keep_pairs or metric.statistic.is_sum):
                raise UsageError(
                    f"{metric.spec} needs the confidence of every row, and a stream keeps sums; leave it out, or pass "
                    "keep_pairs=True if 9 bytes a row are no trouble."
                )
        self.metrics = tuple(chosen)
        self.class_names = as_class_names(class_names)
        self.labels_from = labels_from
        self.ignore_label = None if ignore_label is None else as_labels(ignore_label)
        self.by = by
        self.keep_pairs = keep_pairs
        self.n_classes: int | None = (
            None if class_names is None or kind == "confidence" else len(self.class_names or ())
        )
        self.n_samples = 0
        # All rows, which tell the places of those to come.
        self._n_rows = 0
        self.target = target
        targets = [metric.target or target for metric in chosen]
        self._multilabel = MultiLabel() in [get_view(word) for word in targets if word is not None]
        self.floors = bool(floors)
        self._resampling = as_resampling(confidence_level, n_resamples, random_state, floors=self.floors)
        self._layout: Layout | None = None
        self._totals: dict[Statistic[Any], PairwiseSum[Any]] = {}
        if self.kind == "confidence":
            self._bind(Layout(self.kind, None, None))

    def _bind(self, layout: Layout) -> None:
        """Take the metrics as they apply to the first batch, and make room for what they count."""
        self._layout = layout
        self.metrics = tuple(metric.bind(layout, self.target) for metric in self.metrics)
        self._totals = {statistic.streamed: PairwiseSum() for statistic in self._statistics()}

    def _statistics(self) -> list[Statistic[Any]]:
        """Return what the metrics need: of all rows, then of the groups."""
        wanted = statistics_of(self.metrics, self._resampling)
        return wanted if self.by is None else [*wanted, *(By(statistic, self.by) for statistic in wanted)]

    def update(
        self, scores: Any, y_true: Any, sample_weight: Any = None, *, columns: Mapping[str, Any] | None = None
    ) -> Self:
        """Accumulate a batch.

        Parameters
        ----------
        scores : array-like of shape (n, K) or (n,)
            Scores of the stream's kind, as for :class:`~calkit.Predictions`.
        y_true : array-like of shape (n,)
            True classes; for kind "confidence", whether each answer was right.
        sample_weight : array-like of shape (n,), optional
            Weights.
        columns : mapping of str to array-like of shape (n,), optional
            Other columns of the rows; that of `by` is needed.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the arrays do not fit each other or the batches before, or hold impossible values. The batch then leaves
            no trace.
        """
        n_rows = len(as_row_source(scores))
        if not n_rows or not self._counts_any(y_true, sample_weight):
            self._n_rows += n_rows
            return self
        batch = Predictions(
            scores,
            y_true,
            kind=self.kind,
            sample_weight=sample_weight,
            class_names=self.class_names,
            columns=columns or {},
            multilabel=self._multilabel,
            labels_from=self.labels_from,
            ignore_label=self.ignore_label,
        )
        if self.n_classes not in (None, batch.n_classes):
            raise InputError(f"this batch has {batch.n_classes} classes, but those before had {self.n_classes}.")
        if self._layout is not None and self.class_names is None and batch.class_names is not None:
            batch = batch.with_classes(range(batch.n_classes or 0))
        layout = Layout.of(batch)
        if self._layout is None:
            self._bind(layout)
            # Data frames name the classes: columns of those to come are found by name.
            self.class_names = as_class_names(batch.class_names)
        elif layout.one_column != self._layout.one_column:
            raise InputError("this batch and those before differ: one column of scores is the forecast of one event.")
        found = summarize(batch, self._totals, first_row=self._n_rows)
        self.n_classes = batch.n_classes
        self.n_samples += found.n_samples
        self._n_rows += n_rows
        for statistic, total in self._totals.items():
            total.add(found[statistic])
        return self

    def _counts_any(self, y_true: Any, sample_weight: Any) -> bool:
        """Return whether any row of a batch counts: has a weight, and a label that is not to be left out."""
        if sample_weight is not None and not np.any(to_values(sample_weight)):
            return False
        if self.ignore_label is None:
            return True
        labels = to_values(y_true)
        return labels.ndim != 1 or not labels_in(labels, self.ignore_label).all()

    def merge(self, other: StreamingEvaluation) -> StreamingEvaluation:
        """Return the evaluation of both streams; the two are not changed.

        Parameters
        ----------
        other : StreamingEvaluation
            Of the same metrics and kind.

        Returns
        -------
        StreamingEvaluation

        Raises
        ------
        InputError
            If the streams differ in their metrics, kind or classes.
        """
        for what, mine, others in (
            ("metrics", [m.spec for m in self.metrics], [m.spec for m in other.metrics]),
            ("kinds", self.kind, other.kind),
            ("numbers of classes", self.n_classes or other.n_classes, other.n_classes or self.n_classes),
            ("class names", self.class_names, other.class_names),
            ("layouts", self._layout or other._layout, other._layout or self._layout),
            ("targets", self.target, other.target),
            ("columns for groups", self.by, other.by),
            ("floors", self.floors, other.floors),
            ("confidence levels", self._options()["confidence_level"], other._options()["confidence_level"]),
        ):
            if mine != others:
                raise InputError(f"streams of different {what} cannot be merged: {mine} and {others}.")
        merged = StreamingEvaluation(self.metrics, **self._options())
        layout = self._layout or other._layout
        if layout is not None:
            merged._bind(layout)
        for stream in (self, other):
            merged.n_samples += stream.n_samples
            merged._n_rows += stream._n_rows
            merged.n_classes = merged.n_classes or stream.n_classes
            # By their places: seeds of folds may differ, and make no difference to sums.
            found = [total.result() for total in stream._totals.values()]
            merged._take(dict(zip(merged._totals, found, strict=True)) if found else {})
        return merged

    def summary(self, metric: str | Metric) -> Any:
        """Return what is kept for a metric: for ECE the sums over bins, which a reliability diagram can draw.

        Parameters
        ----------
        metric : str or Metric
            One of the stream's, or another that is made of the same sums (MCE, where ECE is there).

        Returns
        -------
        Summary

        Raises
        ------
        InputError
            If nothing has been counted yet, or the metric needs other sums.
        """
        wanted = get_metric(metric)
        bound = wanted if wanted.view or self._layout is None else wanted.bind(self._layout, self.target)
        if bound.statistic not in {own.statistic for own in self.metrics}:
            name = metric if isinstance(metric, str) else metric.spec
            raise InputError(f"{name} needs other sums than this stream keeps; name it when the stream is made.")
        total = self._totals.get(bound.statistic.streamed)
        summary = None if total is None else total.result()
        if summary is None:
            raise InputError("nothing has been counted yet: call update with a batch first.")
        return summary

    def result(self) -> Evaluation:
        """Return the values of the metrics over all that was counted.

        Returns
        -------
        Evaluation

        Raises
        ------
        InputError
            If nothing has been counted yet.
        """
        if self._layout is None or not all(total.result() is not None for total in self._totals.values()):
            raise InputError("nothing has been counted yet: call update with a batch first.")
        found = {statistic: self._totals[statistic.streamed].result() for statistic in self._statistics()}
        layout = replace(self._layout, n_classes=self.n_classes)
        whole = evaluation_of(self.metrics, found, self.n_samples, layout, self._resampling)
        if self.by is None:
            return whole
        counted = statistics_of(self.metrics, self._resampling)
        return with_groups(whole, counted, self.by, found, layout, self._resampling)

    def _options(self) -> dict[str, Any]:
        """Return the options that make a stream of the same kind."""
        asked = self._resampling
        level = None if asked is None else asked.confidence_level
        drawn = {} if asked is None else {"n_resamples": asked.n_resamples, "random_state": asked.seed}
        return {**{name: getattr(self, name) for name in _NAMED_OPTIONS}, "confidence_level": level, **drawn}

    def save(self, path: str | Path) -> None:
        """Write the sums to a file, whole or not at all; see :meth:`load`.

        Parameters
        ----------
        path : str or Path
            The file, in NumPy's .npz format. One that is there already is replaced.
        """
        header = {
            "metrics": [metric.spec for metric in self.metrics],
            **self._options(),
            "one_column": None if self._layout is None else self._layout.one_column,
            "n_classes": self.n_classes,
            "n_samples": self.n_samples,
            "n_rows": self._n_rows,
        }
        write_stream(path, header, [total.result() for total in self._totals.values()])

    @classmethod
    def load(cls, path: str | Path) -> StreamingEvaluation:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        StreamingEvaluation
            Ready for more batches.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged or something else.
        """
        with reading_stream(path):
            header, arrays = read_stream(path)
            stream = cls(header["metrics"], **{name: header[name] for name in _OPTIONS if name in header})
            stream.n_classes, stream.n_samples = header["n_classes"], int(header["n_samples"])
            # Files of before had one number of both.
            stream._n_rows = int(header.get("n_rows", stream.n_samples))
            if (one := header["one_column"]) is not None:
                seen = Layout(stream.kind, stream.n_classes, stream.class_names, bool(one), stream._multilabel)
                stream._bind(seen)
            stream._take(stream._rebuilt(arrays))
        return stream

    def __add__(self, other: StreamingEvaluation) -> StreamingEvaluation:
        return self.merge(other)

    def __repr__(self) -> str:
        return f"StreamingEvaluation({','.join(metric.spec for metric in self.metrics)}; {self.n_samples} samples)"

    def _take(self, summaries: Mapping[Statistic[Any], Any]) -> None:
        for statistic, summary in summaries.items():
            if summary is not None:
                self._totals[statistic].add(summary)

    def _rebuilt(self, arrays: Mapping[str, NDArray[Any]]) -> dict[Statistic[Any], Any]:
        """Return the summaries that arrays of a file stand for, after the pattern of the summaries of a single row."""
        if not arrays:
            return {}
        row = one_row(self.kind, self.n_classes or 0, self.by, multilabel=self._multilabel)
        patterns = summarize(row, self._totals)
        return rebuilt(arrays, {statistic: patterns[statistic] for statistic in self._totals})
