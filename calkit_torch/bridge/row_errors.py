"""What is wrong with rows that were counted on a device, said with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calkit.errors import InputError
from calkit_torch.bridge.shapes import ScoreKind

__all__ = ["raise_for_rows"]

_IMPOSSIBLE = {
    "logits": (
        "logits must be finite, but {} NaN or infinity (half precision overflows at 65504). Correct the model, or give "
        "those rows sample_weight 0."
    ),
    "probs": (
        "rows of probabilities must lie in [0, 1] and sum to 1, but {} others. If these are logits, say so: "
        "kind='logits'."
    ),
}


def _rows(n: int) -> str:
    return "1 row has" if n == 1 else f"{n} rows have"


def raise_for_rows(
    checks: Sequence[int],
    *,
    kind: ScoreKind,
    multilabel: bool,
    n_classes: int | None,
    ignore_index: int,
    groups: Mapping[str, Sequence[Any]],
) -> None:
    """Raise an InputError that says how many rows failed the first check that some failed, or that none counts.

    Parameters
    ----------
    checks : sequence of int
        How many rows passed each of :data:`~calkit_torch.bridge.counted.CHECKS`.
    """
    present, labelled, possible, weighted, counted = checks
    if labelled < present:
        if multilabel:
            raise InputError(f"multi-label y must hold 0 and 1, but {_rows(present - labelled)} other labels.")
        last = "K-1" if n_classes is None else n_classes - 1
        raise InputError(
            f"y must lie in 0..{last} (one class per score), or hold shares that sum to 1, but "
            f"{_rows(present - labelled)} other labels. To "
            f"leave rows out, mark them with ignore_index (now {ignore_index}) or give them sample_weight 0."
        )
    if possible < labelled:
        raise InputError(_IMPOSSIBLE[kind].format(_rows(labelled - possible)))
    if weighted < possible:
        raise InputError(
            f"sample_weight must be finite and not negative, but {_rows(possible - weighted)} other weights."
        )
    if counted < weighted:
        ((column, labels),) = groups.items()
        raise InputError(
            f"by must hold numbers in 0..{len(labels) - 1}, of the groups of {column!r}, but "
            f"{_rows(weighted - counted)} others."
        )
    if not counted:
        raise InputError("no row has been counted: call update() first, with rows that are not all left out.")
