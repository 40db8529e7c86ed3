"""Evaluation of a stream: batches are counted as they come, and what is kept of them is small, stored and added."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_row_source, to_numpy
from calkit.atomic import atomic_write
from calkit.errors import FileFormatError, InputError, UsageError
from calkit.evaluation import Evaluation, as_resampling, choose_metrics, intervals_of, statistics_of
from calkit.labels import as_class_names
from calkit.metrics import Metric, get_metric
from calkit.metrics.intervals import Limits
from calkit.predictions import Kind, Predictions, as_kind
from calkit.stats import ConfidencePairs, Pairs, Statistic, TreeSum, summarize
from calkit.stats.base import MultiPass

__all__ = ["StreamingEvaluation"]

_FORMAT = "calkit-stream"
_VERSION = 1
_HEADER = "header"


class StreamingEvaluation:
    """Metrics of a stream of predictions, of which only sums are kept.

    Batches are counted by :meth:`update`; days, machines and shards are put together by :meth:`merge`; :meth:`save` and
    :meth:`load` keep the sums in a file of a few kB, however long the stream. The values are those of
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
    keep_pairs : bool, default=False
        Keep confidence and correctness of every row, 9 bytes each (17 with weights), for metrics that need them.
    confidence_level : float, optional
        Give the values intervals, as :func:`~calkit.evaluate` does. It takes sums over 1,024 groups of rows for each
        metric: 100 kB for ECE.
    n_resamples : int, default=1000
        Replicates of the bootstrap.
    random_state : int, optional
        Seed of the bootstrap, which deals the rows to groups. By default each stream has another one, so that the rows
        of days that are merged later are dealt independently.

    Attributes
    ----------
    metrics : tuple of Metric
    kind : str
    n_classes : int or None
        None before the first batch, and for (confidence, correct) pairs.
    n_samples : int
        Rows seen, those of weight 0 included.

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
        keep_pairs: bool = False,
        confidence_level: float | None = None,
        n_resamples: int = 1000,
        random_state: int | None = None,
    ) -> None:
        self.kind: Kind = as_kind(kind)
        chosen = choose_metrics(metrics, self.kind)
        if metrics is None and not keep_pairs:
            chosen = tuple(metric for metric in chosen if _is_sum(metric.statistic))
        for metric in chosen:
            if not (_is_sum(metric.statistic) or (keep_pairs and isinstance(metric.statistic, Pairs))):
                raise UsageError(
                    f"{metric.spec} needs the confidence of every row, and a stream keeps sums; leave it out, or pass "
                    "keep_pairs=True if 9 bytes a row are no trouble."
                )
        self.metrics = chosen
        self.class_names = as_class_names(class_names)
        self.keep_pairs = keep_pairs
        self.n_classes: int | None = (
            None if class_names is None or kind == "confidence" else len(self.class_names or ())
        )
        self.n_samples = 0
        self._resampling = as_resampling(confidence_level, n_resamples, random_state)
        statistics = statistics_of(chosen, self._resampling)
        self._totals: dict[Statistic[Any], TreeSum[Any]] = {_counted(s): TreeSum() for s in statistics}

    def update(self, scores: Any, y_true: Any, sample_weight: Any = None) -> Self:
        """Count a batch.

        Parameters
        ----------
        scores : array-like of shape (n, K) or (n,)
            Scores of the stream's kind, as for :class:`~calkit.Predictions`.
        y_true : array-like of shape (n,)
            True classes; for kind "confidence", whether each answer was right.
        sample_weight : array-like of shape (n,), optional
            Weights.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the arrays do not fit each other or the batches before, or hold impossible values. The batch then leaves
            no trace.
        """
        scores = as_row_source(scores)
        if not len(scores) or (sample_weight is not None and not np.any(to_numpy(sample_weight))):
            self.n_samples += len(scores)
            return self
        batch = Predictions(scores, y_true, kind=self.kind, sample_weight=sample_weight, class_names=self.class_names)
        if self.n_classes not in (None, batch.n_classes):
            raise InputError(f"this batch has {batch.n_classes} classes, but those before had {self.n_classes}.")
        found = summarize(batch, self._totals, first_row=self.n_samples)
        self.n_classes = batch.n_classes
        self.n_samples += batch.n_samples
        for statistic, total in self._totals.items():
            total.add(found[statistic])
        return self

    def merge(self, other: StreamingEvaluation) -> StreamingEvaluation:
        """Return the evaluation of both streams; the two stay as they are.

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
            ("confidence levels", self._interval_options()[:1], other._interval_options()[:1]),
        ):
            if mine != others:
                raise InputError(f"streams of different {what} cannot be merged: {mine} and {others}.")
        level, n_resamples, seed = self._interval_options()
        merged = StreamingEvaluation(
            self.metrics,
            kind=self.kind,
            class_names=self.class_names,
            keep_pairs=self.keep_pairs,
            confidence_level=level,
            n_resamples=n_resamples,
            random_state=seed,
        )
        for stream in (self, other):
            merged.n_samples += stream.n_samples
            merged.n_classes = merged.n_classes or stream.n_classes
            # By their places: the seeds by which rows were dealt to groups may differ, and make no difference to sums.
            merged._take(dict(zip(merged._totals, (total.result() for total in stream._totals.values()), strict=True)))
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
        total = self._totals.get(_counted(get_metric(metric).statistic))
        if total is None:
            name = metric if isinstance(metric, str) else metric.spec
            raise InputError(f"{name} needs other sums than this stream keeps; name it when the stream is made.")
        summary = total.result()
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
        values = {metric.spec: metric.finish(self.summary(metric)) for metric in self.metrics}
        intervals: dict[str, Limits | None] = {}
        if self._resampling is not None:
            wanted = statistics_of(self.metrics, self._resampling)
            found = {statistic: self._totals[_counted(statistic)].result() for statistic in wanted}
            intervals = intervals_of(self.metrics, values, found, self._resampling)
        level = self._interval_options()[0]
        return Evaluation(
            values,
            self.metrics,
            self.n_samples,
            self.n_classes,
            self.kind,
            confidence_level=level,
            intervals=intervals,
        )

    def _interval_options(self) -> tuple[float | None, int, int | None]:
        """Return confidence level, number of replicates and seed."""
        asked = self._resampling
        return (None, 1000, None) if asked is None else (asked.confidence_level, asked.n_resamples, asked.seed)

    def save(self, path: str | Path) -> None:
        """Write the sums to a file, whole or not at all; see :meth:`load`.

        Parameters
        ----------
        path : str or Path
            The file, in NumPy's .npz format. One that is there already is replaced.
        """
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "metrics": [metric.spec for metric in self.metrics],
            "kind": self.kind,
            "class_names": self.class_names,
            "keep_pairs": self.keep_pairs,
            "n_classes": self.n_classes,
            "n_samples": self.n_samples,
            "intervals": self._interval_options(),
        }
        arrays: dict[str, Any] = {_HEADER: np.array(json.dumps(header))}
        for number, total in enumerate(self._totals.values()):
            summary = total.result()
            if summary is not None:
                arrays |= {f"{number}.{name}": value for name, value in _fields(summary).items() if value is not None}
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

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
        try:
            arrays = _read_arrays(Path(path))
            header = json.loads(str(arrays.pop(_HEADER, "{}")))
            if (header.get("format"), header.get("version")) != (_FORMAT, _VERSION):
                raise ValueError(f"it does not say that it is a {_FORMAT} of version {_VERSION}")
            names = ("metrics", "kind", "class_names", "keep_pairs")
            specs, kind, class_names, keep_pairs = (header[name] for name in names)
            level, n_resamples, seed = header.get("intervals", (None, 1000, None))
            stream = cls(
                specs,
                kind=kind,
                class_names=class_names,
                keep_pairs=keep_pairs,
                confidence_level=level,
                n_resamples=n_resamples,
                random_state=seed,
            )
            stream.n_classes, stream.n_samples = header["n_classes"], int(header["n_samples"])
            stream._take(stream._rebuilt(arrays))
        except FileNotFoundError:
            raise FileFormatError(f"{path} does not exist.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise FileFormatError(f"{path} is no file of a StreamingEvaluation, or is damaged: {error}.") from None
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
        row = [1.0] if self.kind == "confidence" else [[1.0] + [0.0] * ((self.n_classes or 0) - 1)]
        patterns = summarize(Predictions(row, [0], kind=self.kind), self._totals)
        return {
            statistic: _like(patterns[statistic], arrays, f"{number}.") for number, statistic in enumerate(self._totals)
        }


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        arrays = (np.lib.format.read_array(archive.open(name), allow_pickle=False) for name in names)
        return {name.removesuffix(".npy"): array for name, array in zip(names, arrays, strict=True)}


def _is_sum(statistic: Statistic[Any]) -> bool:
    """Return whether a fixed number of sums is all that is kept."""
    return not isinstance(statistic, Pairs | MultiPass)


def _counted(statistic: Statistic[Any]) -> Statistic[Any]:
    """Return what a stream, which cannot be read twice, counts for a statistic."""
    return Pairs() if isinstance(statistic, Pairs) else statistic


def _fields(summary: Any) -> dict[str, Any]:
    if not is_dataclass(summary):
        raise UsageError(f"a {type(summary).__name__} cannot be stored; summaries in files must be dataclasses.")
    return {field.name: getattr(summary, field.name) for field in fields(summary)}


def _like(pattern: Any, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Any:
    """Return a summary of the same class and types as the pattern."""
    values: dict[str, Any] = {}
    of_rows = isinstance(pattern, ConfidencePairs)
    for name, example in _fields(pattern).items():
        stored = arrays.get(prefix + name)
        if stored is None and example is not None:
            raise ValueError(f"{type(pattern).__name__}.{name} is missing")
        if stored is None or example is None:
            values[name] = stored
        elif np.asarray(example).dtype != stored.dtype or (np.shape(example) != stored.shape and not of_rows):
            raise ValueError(f"{type(pattern).__name__}.{name} has type {stored.dtype} and shape {stored.shape}")
        else:
            values[name] = stored if isinstance(example, np.ndarray) else stored.item()
    return type(pattern)(**values)
