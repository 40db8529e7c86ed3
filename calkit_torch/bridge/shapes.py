"""Checks of batches of scores with labels: shapes and types, without reading values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from calkit.errors import InputError, UsageError
from calkit.labels import SHARE_TOLERANCE

__all__ = ["Batch", "ScoreKind", "as_score_kind", "read_batch", "transfer", "working_dtype"]

ScoreKind = Literal["logits", "probs"]

# Where NumPy finds the largest of many classes sooner than torch.
_MANY = 64
_SEARCHED_BY_NUMPY = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Batch:
    """Scores with labels in the one form all else works on.

    Attributes
    ----------
    scores : Tensor of floats, shape (n, K, s)
        s is the number of labels a sample has: 1, or that of its pixels.
    y : Tensor of int64, shape (n, s)
        On the device of the scores; values unchecked. Of soft labels, the class of the largest share.
    weight : Tensor of shape (n, s), or None
        On the device of the scores; values unchecked.
    votes : Tensor of floats, shape (n, K, s), or None
        The share of each class in a label, where labels are soft; a NaN in labels that are impossible.
    stored : dtype, optional
        Precision the scores were stored in, where it is not that of `scores`.
    one_column : bool
        Whether the scores came as one dimension, the forecast of class 1; here they are two all the same.
    group : Tensor of int64, shape (n, s), or None
        Number of the group of each label; -1 where there is no such group.
    """

    scores: Tensor
    y: Tensor
    weight: Tensor | None
    votes: Tensor | None = None
    stored: torch.dtype | None = None
    one_column: bool = False
    group: Tensor | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return self.scores.shape[1]

    def fits(self, other: Batch) -> bool:
        """Return whether two batches can be put one after another."""
        return self._form == other._form

    @property
    def _form(self) -> tuple[Any, ...]:
        parts = self.weight, self.votes, self.group
        kinds = tuple(None if part is None else part.dtype for part in parts)
        return self.scores.shape[1:], self.scores.dtype, self.stored, self.one_column, kinds

    def copied(self) -> Batch:
        """Return the same in memory of its own."""
        return self._with({name: part.clone() for name, part in self._parts()})

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Return batches that fit one after another as one."""
        names = [name for name, _ in batches[0]._parts()]
        return batches[0]._with({name: torch.cat([getattr(batch, name) for batch in batches]) for name in names})

    def _with(self, parts: dict[str, Any]) -> Batch:
        return replace(self, **parts)

    def _parts(self) -> list[tuple[str, Tensor]]:
        """Return the tensors that there are, by name."""
        parts = [(name, getattr(self, name)) for name in ("scores", "y", "weight", "votes", "group")]
        return [(name, part) for name, part in parts if part is not None]

    def chunks(self, max_scores: int) -> Iterator[Batch]:
        """Yield the batch in pieces of at most `max_scores` scores (or one label, if it has more classes than that)."""
        n, k, s = self.scores.shape
        columns = min(s, max(1, max_scores // k))
        rows = max(1, max_scores // (k * max(columns, 1)))
        for row in range(0, n, rows):
            for column in range(0, s, columns):
                i, j = slice(row, row + rows), slice(column, column + columns)
                yield replace(
                    self,
                    scores=self.scores[i, :, j],
                    y=self.y[i, j],
                    weight=None if self.weight is None else self.weight[i, j],
                    votes=None if self.votes is None else self.votes[i, :, j],
                    group=None if self.group is None else self.group[i, j],
                )


def working_dtype(device: torch.device) -> torch.dtype:
    """Return the precision of the sums on a device: float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


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


def first_of_largest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest score of each label, and the first class that has it, shape (n, s) each.

    Of labels with a NaN the score is NaN, and the class any below K.
    """
    _, n_classes, s = scores.shape
    if scores.device.type == "cpu" and s == 1 and n_classes >= _MANY and scores.dtype in _SEARCHED_BY_NUMPY:
        # NumPy's search is vectorised, torch's is not and takes several times as long.
        best = torch.from_numpy(scores.detach().squeeze(2).numpy().argmax(axis=1)).unsqueeze(1)
        return scores.gather(1, best.unsqueeze(1)).squeeze(1), best
    found = scores.max(dim=1)
    return found.values, found.indices


def read_batch(
    scores: Tensor,
    y: Tensor,
    sample_weight: Tensor | None = None,
    *,
    kind: ScoreKind = "logits",
    multilabel: bool = False,
    group: Tensor | None = None,
    n_groups: int = 0,
) -> Batch:
    """Check shapes and types, never values, and bring all to the device of the scores.

    Parameters
    ----------
    scores : Tensor of floats, shape (n, K), (n, K, ...) or (n,)
        Logits or probabilities. One dimension is the logit or probability of class 1 of two.
    y : Tensor of integers, shape (n,), or (n, ...) for pixels
        Or of the shape (n, K), or (n, K, ...), of the scores: one-hot, or soft labels: shares of the classes that sum
        to 1, or whole numbers of votes.
    sample_weight : Tensor, optional
        A weight per label, or of shape (n,).
    kind : {"logits", "probs"}
    multilabel : bool, default=False
        Whether each score is the forecast of an event of its own; then `y` has the shape of the scores and holds 0
        and 1.
    group : Tensor of integers, optional
        Number of the group of each label, or of each sample; from 0 on.
    n_groups : int
        How many groups there are.

    Returns
    -------
    Batch

    Raises
    ------
    InputError
        If something is not a tensor, or shapes or types do not fit.
    """
    given = {"the scores": scores, "y": y, "sample_weight": sample_weight, "by": group}
    for name, value in given.items():
        if not isinstance(value, Tensor) and not (name in ("sample_weight", "by") and value is None):
            raise InputError(f"{name} must be a torch.Tensor, but is of type {type(value).__name__}.")
        refuse_meta(name, value)
    if not scores.is_floating_point():
        raise InputError(f"the scores must be floating-point numbers, but have dtype {scores.dtype}.")
    stored, one_column = scores.dtype, scores.ndim == 1
    scores = _with_labels(scores) if multilabel else _with_classes(scores, kind)
    labels = (scores.shape[0], *scores.shape[2:])
    device = scores.device
    weight = None if sample_weight is None else transfer(_spread("sample_weight", sample_weight, labels), device)
    columns, votes = (_events if multilabel else _truth)(y, scores, labels)
    groups = None if group is None else _numbers(transfer(_spread("by", group, labels), device), n_groups)
    return Batch(
        _as_matrix(scores),
        columns,
        None if weight is None else _as_columns(weight),
        votes,
        stored,
        one_column,
        None if groups is None else _as_columns(groups),
    )


def _numbers(group: Tensor, n_groups: int) -> Tensor:
    """Return the numbers of groups, -1 for what is none."""
    if group.is_floating_point():
        raise InputError(f"by must hold integers, the number of each row's group, but has dtype {group.dtype}.")
    group = group.long()
    return torch.where((group >= 0) & (group < n_groups), group, -1)


def _with_labels(scores: Tensor) -> Tensor:
    if scores.ndim < 2 or 0 in scores.shape[1:]:
        raise InputError(
            f"multi-label scores must have shape (n, K), or (n, K, ...) for pixels, but have shape "
            f"{tuple(scores.shape)}."
        )
    return scores


def _events(y: Tensor, scores: Tensor, labels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return a class, of no meaning, and whether each label is there; NaN for what is neither 0 nor 1."""
    if y.shape != scores.shape or y.is_complex():
        raise InputError(
            f"multi-label y must have the shape {tuple(scores.shape)} of the scores and hold 0 and 1, but has dtype "
            f"{y.dtype} and shape {tuple(y.shape)}."
        )
    there = _as_matrix(transfer(y, scores.device)).to(working_dtype(scores.device))
    none = torch.zeros(labels, dtype=torch.int64, device=scores.device)
    return _as_columns(none), there.masked_fill((there != 0) & (there != 1), math.nan)


def _truth(y: Tensor, scores: Tensor, labels: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    """Return the class of each label, and the shares of the classes, if there is a value per class."""
    if y.shape == scores.shape and not y.is_complex():
        votes = _shares(_as_matrix(transfer(y, scores.device)), working_dtype(scores.device))
        # NaN is the largest of anything, so that the class is one that exists.
        return votes.argmax(dim=1), votes
    if y.is_floating_point() or y.is_complex():
        raise InputError(
            f"y must hold integers, one class a label, or shares of the classes in the shape {tuple(scores.shape)} of "
            f"the scores, but has dtype {y.dtype} and shape {tuple(y.shape)}; if they are integers, use y.long()."
        )
    if tuple(y.shape) != labels:
        raise InputError(
            f"y must have shape {labels} for scores of shape {tuple(scores.shape)} (classes in axis 1), or that of the "
            f"scores for soft labels, but has shape {tuple(y.shape)}."
        )
    return _as_columns(transfer(y, scores.device).long()), None


def _shares(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Return shares that sum to 1, NaN where they are impossible: the rule of calkit.labels; no value is read."""
    votes = y.to(dtype)
    total = votes.sum(dim=1, keepdim=True)
    possible = (votes >= 0).all(dim=1, keepdim=True) & (total < math.inf)
    share = (total - 1).abs() <= SHARE_TOLERANCE
    if not y.is_floating_point() and y.dtype != torch.bool and y.numel():
        # Whole numbers above 1 can be nothing else than numbers of votes.
        share = torch.where(y.amax() > 1, total > 0, share)
    return (votes / total).masked_fill(~(possible & share), math.nan)


def _with_classes(scores: Tensor, kind: ScoreKind) -> Tensor:
    shape = tuple(scores.shape)
    if scores.ndim == 1:
        if kind == "logits":
            return torch.stack([torch.zeros_like(scores), scores], dim=1)
        # Half precision has no number for 1 - 0.0001.
        wide = scores.to(working_dtype(scores.device))
        return torch.stack([1 - wide, wide], dim=1)
    if scores.ndim == 0 or 0 in shape[1:]:
        raise InputError(f"the scores must have shape (n, K), or (n, K, ...) for pixels, but have shape {shape}.")
    if shape[1] == 1:
        raise InputError(
            f"the scores have shape {shape}: one class leaves nothing to choose. For two classes, pass a "
            "one-dimensional tensor with the logit or probability of class 1."
        )
    return scores


def _spread(name: str, values: Tensor, labels: tuple[int, ...]) -> Tensor:
    if values.is_complex() or tuple(values.shape) not in {labels, labels[:1]}:
        raise InputError(
            f"{name} must hold real numbers of shape {labels} or {labels[:1]}, but has dtype {values.dtype} and "
            f"shape {tuple(values.shape)}."
        )
    return values.reshape(-1, *(1 for _ in labels[1:])).expand(labels) if values.ndim < len(labels) else values


def _as_matrix(x: Tensor) -> Tensor:
    return x.flatten(2) if x.ndim > 2 else x.unsqueeze(2)


def _as_columns(x: Tensor) -> Tensor:
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
