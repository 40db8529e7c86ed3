"""Does recalibration help or harm? Calibrators fitted to few rows of models' scores, and judged on the others."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calkit.calibrators.base import Floats
from calkit.calibrators.choice.sample import at_least_floor, floored, in_memory
from calkit.calibrators.inputs import as_binary
from calkit.calibrators.registration import CALIBRATORS, available_calibrators, get_calibrator
from calkit.errors import CalibrationWarning, CalkitError, InputError, UsageError
from calkit.labels import TrueColumns
from calkit.predictions import Predictions, not_predictions
from calkit.specs import parse_spec

__all__ = [
    "CalibratorBenchmark",
    "CalibratorRow",
    "Trial",
    "TrialScores",
    "bench_calibrators",
    "trials_of",
    "usable_calibrators",
]

# Fitted to something else than labelled rows alone.
_SPECIAL = ("identity", "teacher", "by-column")

# With fewer rows left, a trial tells nothing.
_LEAST_TEST_ROWS = 60

_ECE_BINS = 15
_RESAMPLES = 2000
_TIE = 1e-12
# A log-loss counts as changed from this on.
_CHANGE = 1e-9


class TrialScores(NamedTuple):
    """What a calibrator does on the rows of a trial that it was not fitted on.

    Attributes
    ----------
    log_loss : float
        Mean, in nats.
    brier : float
        Mean squared distance between probabilities and outcome, from 0 to 2.
    ece : float
        Expected calibration error of the top label, in 15 bins.
    seconds : float
        Time of the fit, of the processor.
    """

    log_loss: float
    brier: float
    ece: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A model's scores, split into rows to fit on and rows to judge on.

    Attributes
    ----------
    data : str
        The data set; trials of one data set are not independent.
    model : str
    n_rows : int
        Rows that calibrators were fitted on.
    n_classes : int
    results : dict of str to TrialScores
        By calibrator; ``"identity"`` is no calibration.
    """

    data: str
    model: str
    n_rows: int
    n_classes: int
    results: Mapping[str, TrialScores]


@dataclass(frozen=True)
class CalibratorRow:
    """What a calibrator did over all trials: means over data sets of the means over their trials.

    Attributes
    ----------
    name : str
    harm : float
        Share of the trials whose log-loss is worse than without calibration.
    much_harm : float
        Worse by more than 1 %.
    win : float
        Share of the trials whose log-loss is better.
    rank : float
        By log-loss, 0 for the best of all calibrators and 1 for the last.
    log_loss, brier : float
        Relative change; -0.1 is 10 % less.
    ece : float
    seconds : float
    harm_interval, rank_interval : tuple of float, or None
        95 % intervals by bootstrap over data sets; None for a single one.
    """

    name: str
    harm: float
    much_harm: float
    win: float
    rank: float
    log_loss: float
    brier: float
    ece: float
    seconds: float
    harm_interval: tuple[float, float] | None = None
    rank_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class CalibratorBenchmark:
    """What :func:`bench_calibrators` returns.

    Attributes
    ----------
    trials : tuple of Trial
    """

    trials: tuple[Trial, ...] = field(default=())

    def tables(self) -> dict[str, list[CalibratorRow]]:
        """Return the rows of each table, the least rank first: trials of the same calibrators share a table.

        Returns
        -------
        dict of str to list of CalibratorRow
            By title: ``"Two classes: 12 trials of 3 data sets"``.
        """
        groups: dict[tuple[str, ...], list[Trial]] = {}
        for trial in sorted(self.trials, key=lambda trial: trial.n_classes):
            groups.setdefault(tuple(trial.results), []).append(trial)
        return {_title(trials): _rows(trials) for trials in groups.values()}

    def to_dict(self) -> dict[str, Any]:
        """Return all trials and tables as plain data, ready for JSON."""
        trials = [
            {**asdict(trial), "results": {name: found._asdict() for name, found in trial.results.items()}}
            for trial in self.trials
        ]
        return {"tables": {title: [asdict(row) for row in rows] for title, rows in self.tables().items()},
                "trials": trials}  # fmt: skip

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> CalibratorBenchmark:
        """Return the benchmark whose trials a document of :meth:`to_dict` holds."""
        trials = []
        for given in document["trials"]:
            results = {name: TrialScores(**found) for name, found in given["results"].items()}
            trials.append(Trial(**{**given, "results": results}))
        return cls(tuple(trials))


def bench_calibrators(
    models: Mapping[str | tuple[str, str], Predictions],
    calibrators: Iterable[str] | None = None,
    *,
    sizes: Sequence[int] = (50, 200, 1000),
    n_repeats: int = 1,
    n_test_rows: int = 4000,
    random_state: int = 0,
) -> CalibratorBenchmark:
    """Fit calibrators to few rows of models' scores and judge them on others, to see how often each helps or harms.

    Parameters
    ----------
    models : mapping of str, or of tuple of two str, to Predictions
        Scores with labels, of rows the models were not trained on, by the name of the data set, or of the data set and
        the model. Intervals are over data sets.
    calibrators : iterable of str, optional
        Specs; by default all registered ones that serve the number of classes and need labels only.
    sizes : sequence of int, default=(50, 200, 1000)
        Numbers of rows to fit on. A size is left out where fewer than a quarter of the rows, or 60, would be left.
    n_repeats : int, default=1
        Random splits for each size.
    n_test_rows : int, default=4000
        Calibrators are judged on no more of the other rows than this.
    random_state : int, default=0
        Seed of the splits, the same for all calibrators.

    Returns
    -------
    CalibratorBenchmark

    Raises
    ------
    UsageError
        If a calibrator is unknown or cannot be fitted, or a number is out of range.
    InputError
        If there are too few rows for any trial, or rows have weights or soft labels.

    Examples
    --------
    >>> from calkit.calibrators import bench_calibrators
    >>> from calkit.datasets import load_digits_logits
    >>> found = bench_calibrators({"digits": load_digits_logits("test")}, ["temperature", "isotonic"], sizes=[50])
    >>> for title, rows in found.tables().items():
    ...     print(title, sorted(row.name for row in rows))
    10 classes: 1 trial of 1 data set ['identity', 'isotonic', 'temperature']
    """
    names = None if calibrators is None else list(calibrators)
    options: dict[str, Any] = {
        "sizes": sizes, "n_repeats": n_repeats, "n_test_rows": n_test_rows, "random_state": random_state,
    }  # fmt: skip
    trials: list[Trial] = []
    for name, predictions in models.items():
        data, model = name if isinstance(name, tuple) else (name, "scores")
        trials.extend(trials_of(data, model, predictions, names, **options))
    if not trials:
        raise InputError(
            f"no model has the rows for a trial: with the least size, {min(sizes)}, at least {_LEAST_TEST_ROWS} and a "
            "quarter of all must be left to judge on; choose smaller sizes."
        )
    return CalibratorBenchmark(tuple(trials))


def trials_of(
    data: str,
    model: str,
    predictions: Predictions,
    calibrators: Sequence[str] | None = None,
    *,
    sizes: Sequence[int] = (50, 200, 1000),
    n_repeats: int = 1,
    n_test_rows: int = 4000,
    random_state: int = 0,
) -> Iterator[Trial]:
    """Yield the trials of one model; see :func:`bench_calibrators`."""
    if not isinstance(predictions, Predictions):
        raise not_predictions(predictions)
    if not sizes or min(sizes) < 1 or n_repeats < 1 or n_test_rows < 1:
        raise UsageError("sizes, n_repeats and n_test_rows must be whole numbers of at least 1.")
    logits, y = _rows_of(predictions)
    names = ["identity", *usable_calibrators(logits.shape[1], calibrators)]
    for size in sizes:
        if len(y) - size < max(len(y) // 4, _LEAST_TEST_ROWS):
            continue
        for repeat in range(n_repeats):
            order = np.random.default_rng([random_state, size, repeat]).permutation(len(y))
            fit, test = order[:size], order[size : size + n_test_rows]
            results = {name: _tried(name, logits, y, fit, test, f"{data}, {model}") for name in names}
            yield Trial(data, model, size, logits.shape[1], results)


def _rows_of(predictions: Predictions) -> tuple[Floats, NDArray[np.intp]]:
    predictions.require_labels()
    if predictions.sample_weight is not None or predictions.votes is not None:
        raise InputError("trials are of rows that count alike, with one label each; leave weights and soft labels out.")
    data = as_binary(predictions) if predictions.kind == "confidence" else predictions
    logits, y = in_memory(data.logits())
    return floored(logits.astype(np.float64)), y


def usable_calibrators(n_classes: int, names: Sequence[str] | None = None) -> list[str]:
    """Return the names, by default all, of calibrators that take this number of classes and need labels only."""
    chosen = available_calibrators() if names is None else names
    found = {name: CALIBRATORS[parse_spec(name).name] for name in chosen}
    if names is None:
        found = {name: kind for name, kind in found.items() if name not in _SPECIAL and kind.needs_labels}
    usable = [name for name, kind in found.items() if name != "identity" and (n_classes == 2 or not kind.binary_only)]
    if not usable:
        raise UsageError(f"none of the calibrators takes {n_classes} classes; name one that does.")
    return usable


def _tried(
    name: str, logits: Floats, y: NDArray[np.intp], fit: NDArray[np.intp], test: NDArray[np.intp], where: str
) -> TrialScores:
    predictions = Predictions(logits[fit], TrueColumns(y[fit]), kind="logits")
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            # Few rows, absent classes and separable data are what the trials are about.
            warnings.simplefilter("ignore", CalibrationWarning)
            calibrator = get_calibrator(name).fit_predictions(predictions)
    except CalkitError as error:
        raise UsageError(f"{name} cannot be fitted to {len(fit)} rows of {where}: {error}") from error
    seconds = time.process_time() - start
    return _scored(at_least_floor(calibrator.predict_log_proba(logits[test])), y[test], seconds)


def _scored(log_proba: Floats, y: NDArray[np.intp], seconds: float) -> TrialScores:
    p, rows = np.exp(log_proba), np.arange(len(y))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * _ECE_BINS).astype(int) - 1, 0, _ECE_BINS - 1)
    ece = np.abs(np.bincount(bins, right - confidence, _ECE_BINS)).sum() / len(y)
    brier = ((p * p).sum(axis=1) - 2 * p[rows, y] + 1).mean()
    return TrialScores(float(-log_proba[rows, y].mean()), float(brier), float(ece), seconds)


def _title(trials: Sequence[Trial]) -> str:
    classes = sorted({trial.n_classes for trial in trials})
    kind = f"{classes[0]} classes" if len(classes) == 1 else f"{classes[0]} to {classes[-1]} classes"
    n_data = len({trial.data for trial in trials})
    return f"{kind}: {_counted(len(trials), 'trial')} of {_counted(n_data, 'data set')}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _rows(trials: Sequence[Trial]) -> list[CalibratorRow]:
    """Return a row for each calibrator, the least rank first."""
    names = list(trials[0].results)
    values = np.array([[trial.results[name] for name in names] for trial in trials])
    loss = values[:, :, 0]
    before, difference = loss[:, :1], loss[:, None, :] - loss[:, :, None]
    beaten_by = (difference < -_TIE).sum(axis=2) + ((abs(difference) <= _TIE).sum(axis=2) - 1) / 2
    columns = np.stack(
        [
            loss > before + _CHANGE,
            loss > 1.01 * before,
            loss < before - _CHANGE,
            beaten_by / max(len(names) - 1, 1),
            np.log(loss / before),
            values[:, :, 1] / values[:, :1, 1] - 1,
            values[:, :, 2],
            values[:, :, 3],
        ],
        axis=2,
    )
    where = np.array([trial.data for trial in trials])
    means = np.stack([columns[where == data].mean(axis=0) for data in np.unique(where)])
    picked = np.random.default_rng(0).integers(0, len(means), (_RESAMPLES, len(means)))
    low, high = np.quantile(means[picked].mean(axis=1), [0.025, 0.975], axis=0)
    rows = []
    for j, (name, mean) in enumerate(zip(names, means.mean(axis=0).tolist(), strict=True)):
        mean[4] = float(np.expm1(mean[4]))
        intervals = [(float(low[j, i]), float(high[j, i])) if len(means) > 1 else None for i in (0, 3)]
        rows.append(CalibratorRow(name, *mean, *intervals))
    return sorted(rows, key=lambda row: row.rank)
