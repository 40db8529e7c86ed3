"""``--baseline``: the values that new ones are held to, of an earlier evaluation or of a file of scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calkit.cli.thresholds import limit_key
from calkit.errors import FileFormatError
from calkit.evaluation import Evaluation

__all__ = ["read_baseline"]

# A file of evaluations is small; one of scores need not be read to tell.
_MOST_BYTES = 1 << 24


def read_baseline(path: str, evaluate_file: Callable[[str], Sequence[Evaluation]]) -> list[Mapping[str, float]]:
    """Return the values of a baseline and the limits of their intervals (``ece.low``), one mapping for each evaluation.

    Parameters
    ----------
    path : str
        What ``calkit evaluate --format json`` wrote, or a file of scores.
    evaluate_file : callable
        Evaluates a file of scores as the new one was.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    saved = _saved(Path(path))
    if saved is None:
        saved = [e.to_dict() for e in evaluate_file(path)]
    # As for the new file: where calibrators are applied, their values count.
    calibrated = [item for item in saved if item.get("calibrator")] or saved
    return [{**_values(item), **_limits(item)} for item in calibrated]


def _values(item: Mapping[str, Any]) -> dict[str, float]:
    return {spec: _value(value) for spec, value in item["metrics"].items()}


def _limits(item: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits of the intervals of an evaluation, where it has some."""
    intervals = item.get("intervals")
    return {
        limit_key(spec, part): _value(limit)
        for spec, limits in (intervals.items() if isinstance(intervals, dict) else ())
        if isinstance(limits, list | tuple)
        for part, limit in zip(("low", "high"), limits, strict=False)
    }


def _saved(path: Path) -> list[dict[str, Any]] | None:
    """Return the evaluations that a JSON file holds; None if it is something else."""
    if path.suffix.lower() != ".json" or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"cannot read the baseline {path}: {error}.") from None
    items = document if isinstance(document, list) else [document]
    if items and all(isinstance(item, dict) and isinstance(item.get("metrics"), dict) for item in items):
        return items
    return None


def _value(value: Any) -> float:
    """Return a value of JSON, which is a number, null, or an object that holds it."""
    if isinstance(value, dict):
        value = value.get("value")
    return float("nan") if value is None else float(value)
