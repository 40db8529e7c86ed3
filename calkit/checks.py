"""What scores and weights must be like, and what is said of those that are not: one wording of each check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import as_numbers, as_row_source, to_values
from calkit.errors import InputError, UsageError

__all__ = ["SUM_TOLERANCE", "SUM_TOLERANCE_HALF", "Kind", "as_kind", "as_scores", "as_weight", "check_scores"]

Kind = Literal["logits", "probs", "confidence"]

# How far a row of probabilities may be from summing to 1: printed decimals and half precision round.
SUM_TOLERANCE = 1e-3
SUM_TOLERANCE_HALF = 2e-2

# Probabilities printed with so few decimals, or stored as whole multiples of 1/255, may be off by half a unit each;
# sums that are off by more than the limit are no matter of rounding.
_UNITS = (1e3, 1e4, 255.0)
_LARGEST_TOLERANCE = 0.1

# Sums of products of weights neither vanish nor overflow if the largest is between this and its inverse.
_SMALLEST_WEIGHT = 1e-100

Numbers = Sequence[int] | NDArray[np.intp]


def as_kind(kind: str) -> Kind:
    """Check that ``kind`` is one of ``"logits"``, ``"probs"``, ``"confidence"`` and return it."""
    if kind not in get_args(Kind):
        raise UsageError(f"kind must be one of {', '.join(get_args(Kind))}, but is {kind!r}.")
    return kind  # type: ignore[return-value]


def as_scores(scores: Any, kind: Kind) -> Any:
    """Return something with shape, dtype, ndim and slicing; check its shape and type."""
    scores = as_numbers(as_row_source(scores))
    if scores.dtype.kind not in "fiu" and str(scores.dtype) not in {"bfloat16", "bool"}:
        raise InputError(f"the scores must be real numbers, but their type is {scores.dtype}.")
    shape = tuple(scores.shape)
    if not shape:
        raise InputError(f"the scores must be an array of real numbers, but are {scores[()]!r}.")
    if len(shape) == 2 and shape[1] == 1:
        return scores[:, 0]
    if kind == "confidence" and len(shape) != 1:
        raise InputError(f"confidences must have shape (n,), but have shape {shape}.")
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise InputError(
            f"the scores must have shape (n, K), or (n,) for two classes, but have shape {shape}. "
            "If there are more axes (pixels, tokens), say which one is that of the classes with class_axis."
        )
    return scores


def as_weight(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Return weights as float64, checked."""
    if sample_weight is None:
        return None
    try:
        given = to_values(sample_weight)
        weight = given.astype(np.float64, casting="unsafe" if given.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError):
        found = getattr(sample_weight, "dtype", type(sample_weight).__name__)
        raise InputError(f"sample_weight must be one real number per row, but is of type {found}.") from None
    if weight.shape == (n, 1):
        weight = weight[:, 0]
    if weight.shape != (n,):
        raise InputError(f"sample_weight must have shape ({n},), one weight per row, but has shape {weight.shape}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"sample_weight must be finite and not negative, but row {row} is {weight[row]}.")
    # A file may have rows of weight 0 only; whether any row of all files counts is known after a pass.
    if weight.any() and not _SMALLEST_WEIGHT <= (largest := float(weight.max())) <= 1 / _SMALLEST_WEIGHT:
        raise InputError(
            f"sample_weight: the largest is {largest:.3g}, and sums of such numbers are not exact; multiply all "
            "weights by one number, so that the largest is about 1."
        )
    return weight


def check_scores(
    scores: NDArray[Any],
    kind: Kind,
    numbers: Numbers,
    file: str | None,
    tolerance: float = SUM_TOLERANCE,
    *,
    sums_to_one: bool = True,
) -> None:
    """Raise for the first impossible score; ``numbers`` are the rows' places among all rows."""
    if kind == "probs" and sums_to_one and _plainly_shares(scores, tolerance):
        return
    found = _not_finite(scores, kind, numbers)
    if not found and kind != "logits":
        found = _not_one(scores, numbers, tolerance) if scores.ndim == 2 and sums_to_one else ""
        found = found or _not_a_share(scores, kind, numbers, tolerance)
    if found:
        raise InputError(f"{file}: {found}" if file else found)


def _plainly_shares(scores: NDArray[Any], tolerance: float) -> bool:
    """Return whether rows of probabilities are well within all limits, which takes little to see."""
    if scores.ndim != 2 or not len(scores) or scores.dtype not in (np.float32, np.float64):
        return False
    well = tolerance / 2
    if not (scores.min() >= -well and scores.max() <= 1 + well):
        return False
    return bool(np.abs(scores @ np.ones(scores.shape[1], dtype=scores.dtype) - 1).max() <= well)


def _not_finite(scores: NDArray[Any], kind: Kind, numbers: Numbers) -> str:
    # A finite sum has finite terms, and is cheaper; a sum may overflow, so what is not finite is looked into.
    with np.errstate(over="ignore", invalid="ignore"):
        total = scores.sum()
    if np.isfinite(total):
        return ""
    # A logit of -inf is a probability of 0.
    good = np.isfinite(scores) | (scores == -np.inf) if kind == "logits" else np.isfinite(scores)
    if not good.all():
        row = int(np.argmin(good if good.ndim == 1 else good.all(axis=1)))
        value = scores[row] if scores.ndim == 1 else scores[row][~good[row]][0]
        finite = "finite, or -inf for a probability of 0" if kind == "logits" else "finite"
        remedy = "Remove the row, or repair the model that wrote it (half precision overflows at 65504)."
        if kind == "confidence":
            remedy = (
                "Remove the row; or, if that is a refusal, leave 'correct' out there as well: ignore_label "
                "(--ignore-label nan) passes over answers that were not judged."
            )
        return f"the scores must be {finite}, but row {numbers[row]} holds {value}. {remedy}"
    empty = ~np.isfinite(scores).any(axis=1) if scores.ndim == 2 else np.zeros(1, bool)
    if empty.any():
        row = int(np.argmax(empty))
        return f"row {numbers[row]} holds -inf only, so no class has a probability. Remove the row."
    return ""


def _not_one(probs: NDArray[Any], numbers: Numbers, tolerance: float) -> str:
    sums = probs.sum(axis=1, dtype=np.float64)
    off = abs(sums - 1)
    wrong = off > tolerance
    if not wrong.any():
        return ""
    rows = np.flatnonzero(wrong)
    rounded = np.zeros(len(rows), bool)
    for unit in _UNITS:
        places = probs[rows] * unit
        exact = (abs(places - np.rint(places)) <= 4 * np.finfo(np.float32).eps * unit).all(axis=1)
        rounded |= exact & (off[rows] <= min(probs.shape[1] / unit / 2, _LARGEST_TOLERANCE))
    if rounded.all():
        return ""
    row = int(rows[np.argmin(rounded)])
    return f"rows of probabilities must sum to 1, but row {numbers[row]} sums to {sums[row]:.6g}.{_advice(probs[row])}"


def _not_a_share(scores: NDArray[Any], kind: Kind, numbers: Numbers, tolerance: float) -> str:
    wrong = (scores < -tolerance) | (scores > 1 + tolerance)
    if not wrong.any():
        return ""
    row, *_ = (int(i) for i in np.argwhere(wrong)[0])
    value = scores[row] if scores.ndim == 1 else scores[row][wrong[row]][0]
    noun = "confidences" if kind == "confidence" else "probabilities"
    percent = " If these are percent, divide by 100 (--percent)."
    advice = percent if kind == "confidence" else _advice(np.atleast_1d(scores[row]))
    return f"{noun} must lie in [0, 1], but row {numbers[row]} holds {value}.{advice}"


def _advice(row: NDArray[Any]) -> str:
    """Return what a row that is no row of probabilities most likely is, and what to do."""
    values = row.astype(np.float64)
    total = float(values.sum())
    if values.min() >= 0 and values.max() > 1:
        for unit, noun in ((100, "percent"), (255, "numbers of 8 bits")):
            if len(values) == 1 or abs(total - unit) <= 0.02 * unit:
                how = f"divide by {unit}{' (--percent)' if unit == 100 else ''}"
                return f" If these are {noun}, {how}; if they are logits, say so: {_SAY_LOGITS}"
    if values.min() < 0 or values.max() > 1:
        return f" If these are logits, say so: {_SAY_LOGITS}"
    if abs(total - 1) <= _LARGEST_TOLERANCE:
        return f" If these are rounded, say normalize=True (--normalize); if they are logits: {_SAY_LOGITS}"
    return (
        " If these are outputs of a sigmoid for each class, say normalize=True (--normalize) to divide each row by "
        "its sum; if they "
        f"are logits, say so: {_SAY_LOGITS}"
    )


_SAY_LOGITS = "from_logits=True, kind='logits' or --kind logits."
