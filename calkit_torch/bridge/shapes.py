"""Checks of batches of scores with labels: shapes and types, without reading values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from calkit.errors import InputError, UsageError

__all__ = ["Batch", "ScoreKind", "as_score_kind", "read_batch", "transfer"]

ScoreKind = Literal["logits", "probs"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Scores with labels in the one form all else works on.

    Attributes
    ----------
    scores : Tensor of floats, shape (n, K, s)
        s is the number of labels a sample has: 1, or that of its pixels.
    y : Tensor of int64, shape (n, s)
        On the device of the scores; values unchecked.
    weight : Tensor of shape (n, s), or None
        On the device of the scores; values unchecked.
    """

    scores: Tensor
    y: Tensor
    weight: Tensor | None

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return self.scores.shape[1]

    def chunks(self, max_scores: int) -> Iterator[Batch]:
        """Yield the batch in pieces of at most `max_scores` scores (or one label, if it has more classes than that)."""
        n, k, s = self.scores.shape
        columns = min(s, max(1, max_scores // k))
        rows = max(1, max_scores // (k * max(columns, 1)))
        for row in range(0, n, rows):
            for column in range(0, s, columns):
                i, j = slice(row, row + rows), slice(column, column + columns)
                yield Batch(self.scores[i, :, j], self.y[i, j], None if self.weight is None else self.weight[i, j])


def refuse_meta(name: str, value: Tensor | None) -> None:
    """Raise for a tensor that has a shape and no numbers."""
    if value is not None and value.is_meta:
        raise InputError(f"{name} lies on the meta device, which holds no numbers; run the model on a real device.")


def as_score_kind(kind: str) -> ScoreKind:
    """Check that ``kind`` is ``"logits"`` or ``"probs"`` and return it."""
    if kind not in get_args(ScoreKind):
        raise UsageError(f"kind must be one of {', '.join(get_args(ScoreKind))}, but is {kind!r}.")
    return kind  # type: ignore[return-value]


def transfer(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; only copies to the host, where it may be read at once, are waited for."""
    return x.to(device, non_blocking=device.type != "cpu")


def read_batch(scores: Tensor, y: Tensor, sample_weight: Tensor | None = None, *, kind: ScoreKind = "logits") -> Batch:
    """Check shapes and types, never values, and bring all to the device of the scores.

    Parameters
    ----------
    scores : Tensor of floats, shape (n, K), (n, K, ...) or (n,)
        Logits or probabilities. One dimension is the logit or probability of class 1 of two.
    y : Tensor of integers, shape (n,), or (n, ...) for pixels
    sample_weight : Tensor, optional
        Of the shape of `y`, or (n,).
    kind : {"logits", "probs"}

    Returns
    -------
    Batch

    Raises
    ------
    InputError
        If something is not a tensor, or shapes or types do not fit.
    """
    for name, value in (("the scores", scores), ("y", y), ("sample_weight", sample_weight)):
        if not isinstance(value, Tensor) and not (name == "sample_weight" and value is None):
            raise InputError(f"{name} must be a torch.Tensor, but is of type {type(value).__name__}.")
        refuse_meta(name, value)
    if not scores.is_floating_point():
        raise InputError(f"the scores must be floating-point numbers, but have dtype {scores.dtype}.")
    if y.is_floating_point() or y.is_complex():
        raise InputError(
            f"y must hold integers, one class a label, but has dtype {y.dtype}; if they are, use y.long()."
        )
    scores = _with_classes(scores, kind)
    labels = (scores.shape[0], *scores.shape[2:])
    if tuple(y.shape) != labels:
        raise InputError(
            f"y must have shape {labels} for scores of shape {tuple(scores.shape)} (classes in axis 1), but has shape "
            f"{tuple(y.shape)}."
        )
    device = scores.device
    weight = None if sample_weight is None else transfer(_spread(sample_weight, labels), device)
    return Batch(
        scores.flatten(2) if scores.ndim > 2 else scores.unsqueeze(2),
        _as_columns(transfer(y, device).long()),
        None if weight is None else _as_columns(weight),
    )


def _with_classes(scores: Tensor, kind: ScoreKind) -> Tensor:
    shape = tuple(scores.shape)
    if scores.ndim == 1:
        return torch.stack([torch.zeros_like(scores) if kind == "logits" else 1 - scores, scores], dim=1)
    if scores.ndim == 0 or 0 in shape[1:]:
        raise InputError(f"the scores must have shape (n, K), or (n, K, ...) for pixels, but have shape {shape}.")
    if shape[1] == 1:
        raise InputError(
            f"the scores have shape {shape}: one class leaves nothing to choose. For two classes, pass a "
            "one-dimensional tensor with the logit or probability of class 1."
        )
    return scores


def _spread(weight: Tensor, labels: tuple[int, ...]) -> Tensor:
    if weight.is_complex() or tuple(weight.shape) not in {labels, labels[:1]}:
        raise InputError(
            f"sample_weight must hold real numbers of shape {labels} or {labels[:1]}, but has dtype {weight.dtype} and "
            f"shape {tuple(weight.shape)}."
        )
    return weight.reshape(-1, *(1 for _ in labels[1:])).expand(labels) if weight.ndim < len(labels) else weight


def _as_columns(x: Tensor) -> Tensor:
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
