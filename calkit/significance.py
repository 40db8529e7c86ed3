"""Tests of whether predictions are calibrated, of any target, and the consistency resampling of any metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from calkit.errors import InputError, UsageError
from calkit.evaluation import evaluate, p_text
from calkit.inference.tests import DEFAULT_TESTS, TESTS, TestResult, run_tests
from calkit.metrics import METRICS, available_metrics, get_metric
from calkit.predictions import Predictions, not_predictions
from calkit.registry import unknown_name
from calkit.shards import Shards
from calkit.specs import parse_spec
from calkit.stats import ConfidencePairs, Pairs, View, default_view, get_view, summarize

__all__ = ["CalibrationTests", "calibration_tests"]


@dataclass(frozen=True)
class CalibrationTests(Mapping[str, TestResult]):
    """Results of tests, by name.

    Attributes
    ----------
    results : dict of TestResult
    target : str
        What was judged.
    n_samples : int
    meta : mapping
        What was known of the predictions: file, split.
    """

    results: Mapping[str, TestResult]
    target: str
    n_samples: int
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> TestResult:
        if name not in self.results:
            raise unknown_name("test", str(name), self.results, of="these results")
        return self.results[name]

    def __contains__(self, name: object) -> bool:
        return name in self.results

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        tests = {name: result.to_dict() for name, result in self.results.items()}
        return {**self.meta, "n_samples": self.n_samples, "target": self.target, "tests": tests}

    def __str__(self) -> str:
        width = max(len(result.title) for result in self.values())
        lines = [f"{r.title:<{width}}  p {p_text(r.p_value):<7} {r.finding}".rstrip() for r in self.values()]
        return "\n".join([f"{self.n_samples} samples, target {self.target}", *lines])


def calibration_tests(
    predictions: Predictions | Shards,
    tests: Iterable[str] | str | None = None,
    *,
    target: str | View | None = None,
    n_resamples: int = 1000,
    random_state: int | None = 0,
) -> CalibrationTests:
    """Test whether predictions are calibrated: whether the outcomes were drawn from the probabilities.

    Parameters
    ----------
    predictions : Predictions or Shards
        Rows that nothing was fitted on, drawn independently.
    tests : iterable of str, optional
        Names of tests, see :func:`calkit.inference.tests.available_tests`; by default Cox, smooth ECE and T-Cal, which
        see different things. Or any metric that has a floor (``"ece:n_bins=10"``): consistency resampling.
    target : str or View, optional
        What is judged, as for :func:`~calkit.evaluate`; of several classes name one.
    n_resamples : int, default=1000
        Draws of the tests that need them.
    random_state : int or None, default=0
        Seed of the draws.

    Returns
    -------
    CalibrationTests
        A mapping from name to result.

    Raises
    ------
    InputError
        If there are no predictions or the labels are soft.
    NotFoundError
        If a test is unknown.
    UsageError
        If the target holds several forecasts of a row, or a metric has no floor.

    Examples
    --------
    >>> from calkit import calibration_tests
    >>> from calkit.datasets import load_digits_logits
    >>> found = calibration_tests(load_digits_logits("test"))
    >>> found["cox"].finding
    'too high by 0.13 in the mean; too extreme (slope below 1)'
    """
    if not isinstance(predictions, Predictions | Shards):
        raise not_predictions(predictions)
    names = list(DEFAULT_TESTS if tests is None else [tests] if isinstance(tests, str) else tests)
    if not names:
        raise InputError("tests is empty: name at least one test.")
    for name in names:
        if name not in TESTS and parse_spec(name).name not in METRICS:
            raise unknown_name("test", name, dict.fromkeys([*TESTS, *available_metrics()]))
    layout = predictions.layout() if isinstance(predictions, Shards) else predictions
    view = default_view(layout) if target is None else get_view(target).bind(layout)
    if view.keyed:
        raise UsageError(
            f"target={view.spec!r} holds several forecasts of a row, which depend on each other; test one of them: "
            "'positive:class=NAME'."
        )
    pairs: ConfidencePairs = summarize(predictions, [Pairs(view)])[Pairs(view)]
    if pairs.correct.dtype != bool:
        raise InputError("tests do not know soft labels.")
    arguments: dict[str, Any] = {"n_resamples": n_resamples, "random_state": random_state}
    found: dict[str, TestResult] = {}
    for name in names:
        if name in TESTS:
            forecasts = (pairs.confidence, pairs.correct)
            found |= run_tests(*forecasts, tests=name, sample_weight=pairs.weight, **arguments)
        else:
            found[name] = _resampled(predictions, name, view, arguments)
    return CalibrationTests(found, view.spec, len(pairs), dict(predictions.meta))


def _resampled(predictions: Predictions | Shards, name: str, view: View, arguments: Mapping[str, Any]) -> TestResult:
    """Return the test of a metric against its floor."""
    metric = get_metric(name)
    evaluation = evaluate(predictions, [metric], target=view, **arguments)
    (spec,) = evaluation
    judged = evaluation.judgement(spec)
    if judged.p_value is None or judged.floor is None:
        raise UsageError(f"metric {name!r} has no floor to be tested against.")
    finding = f"{metric.format(evaluation[spec])}; a perfect model of this size: {metric.format(judged.floor.mean)}"
    return TestResult(name, metric.title, evaluation[spec], judged.p_value, finding)
