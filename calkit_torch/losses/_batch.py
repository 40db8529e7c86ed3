"""The input of all losses, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from calkit.errors import InputError, UsageError

__all__ = ["Targets", "check_labels", "is_transformed", "read_batch", "reduce_values", "widen"]


def check_labels(y: Tensor, n_classes: int, *, ignore_index: int = -100) -> None:
    """Check once, before training, that all labels are classes.

    Parameters
    ----------
    y : Tensor of integers
        Class labels of any shape.
    n_classes : int
        Number of classes K.
    ignore_index : int, default=-100
        The label of samples that do not count.

    Raises
    ------
    InputError
        If a label is outside 0..K-1 and is not ``ignore_index``.

    Notes
    -----
    The losses report such labels themselves where that is free, on the CPU. On an accelerator reading a result
    back would stall the queue at every step, so there only the kernels' own assertion remains, as with
    ``torch.nn.functional.cross_entropy``: it names no label and leaves the device unusable. Call this function
    on the labels of a data set where that matters; it waits for the device once.

    Examples
    --------
    >>> check_labels(torch.tensor([0, 3, 1]), n_classes=3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    calkit.errors.InputError: y holds the label 3, but there are 3 classes, 0 to 2; ...
    """
    bad = y[((y < 0) | (y >= n_classes)) & (y != ignore_index)]
    if bad.numel():
        raise InputError(
            f"y holds the label {int(bad[0])}, but there are {n_classes} classes, 0 to {n_classes - 1}; "
            f"for samples to be left out use ignore_index={ignore_index}."
        )


@dataclass(frozen=True, eq=False)
class Targets:
    """What the logits should have been, with the weights of the classes.

    Attributes
    ----------
    y : Tensor
        Labels ``(n, ...)`` of dtype int64, or class probabilities ``(n, K, ...)``.
    soft : bool
        Whether ``y`` holds probabilities.
    n_classes : int
    dim : int
        The axis of the classes: 1, or 0 for a single sample without batch axis.
    weight : Tensor of shape (K,), or None
    ignore_index : int
    """

    y: Tensor
    soft: bool
    n_classes: int
    dim: int
    weight: Tensor | None
    ignore_index: int

    def nll(self, logits: Tensor) -> Tensor:
        """Cross-entropy of each sample with its label, unweighted; 0 for ignored samples."""
        return self.guarded(
            lambda: functional.cross_entropy(logits, self.y, ignore_index=self.ignore_index, reduction="none")
        )

    def at_label(self, x: Tensor) -> Tensor:
        """Entries of ``x`` at the labels; 0 for ignored samples."""
        return self.guarded(lambda: -functional.nll_loss(x, self.y, ignore_index=self.ignore_index, reduction="none"))

    def expect(self, loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        """Mean over the target's classes of a loss of -log p, weighted by class.

        ``loss`` must be 0 at 0, which is what ignored samples get.
        """
        if self.soft:
            y = self.y if self.weight is None else self.y * self._per_class(self.weight)
            return (y * loss(-torch.log_softmax(logits, self.dim))).sum(self.dim)
        values = loss(self.nll(logits))
        return values if self.weight is None else values * self.sample_weight(values)

    def sample_weight(self, like: Tensor) -> Tensor:
        """How much each sample counts, in the dtype of ``like``: the weight of its class, 0 if ignored."""
        if self.weight is None:
            return self.presence(like)
        if self.soft:
            return (self.y * self._per_class(self.weight)).sum(self.dim)
        weight, present = self.weight, self.presence(like)
        return self.guarded(lambda: weight[self.y.masked_fill(present == 0, 0)] * present)

    def presence(self, like: Tensor) -> Tensor:
        """1 for each sample that counts, 0 for ignored ones, in the dtype of ``like``."""
        if self.soft:
            return torch.ones(self._shape(), dtype=like.dtype, device=like.device)
        return (self.y != self.ignore_index).to(like.dtype)

    def total(self, like: Tensor) -> Tensor | int:
        """What a mean divides by: the weights of the labels, or the number of samples for soft targets."""
        return self._shape().numel() if self.soft else self.sample_weight(like).sum()

    def residual(self, p: Tensor) -> Tensor:
        """``p`` minus the target distribution; rows of ignored samples mean nothing."""
        if self.soft:
            return p - self.y
        labels = self.y.masked_fill(self.y == self.ignore_index, 0).unsqueeze(self.dim)
        return self.guarded(lambda: p.scatter_add(self.dim, labels, -torch.ones_like(p)))

    def labels_only(self, name: str) -> None:
        """Refuse soft targets for a loss that asks which class is right.

        Raises
        ------
        UsageError
            If the targets are probabilities.
        """
        if self.soft:
            raise UsageError(
                f"{name} needs one right class a sample, but y holds probabilities; pass integer labels of shape "
                f"{tuple(self._shape())}, or take a loss with a meaning for soft targets (ce, brier, focal)."
            )

    def check_now(self) -> None:
        """Check the range of labels that no gather will touch, where that costs no synchronisation."""
        if not self.soft and self.y.is_cpu and not is_transformed():
            check_labels(self.y, self.n_classes, ignore_index=self.ignore_index)

    def guarded(self, compute: Callable[[], Tensor]) -> Tensor:
        """Turn PyTorch's complaint about an index into ours; free while all is well."""
        try:
            return compute()
        except (IndexError, RuntimeError):
            self.check_now()
            raise

    def _per_class(self, weight: Tensor) -> Tensor:
        return weight.reshape((-1,) + (1,) * (self.y.ndim - 1 - self.dim))

    def _shape(self) -> torch.Size:
        return self.y.shape[: self.dim] + self.y.shape[self.dim + 1 :] if self.soft else self.y.shape


def read_batch(logits: Tensor, y: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Targets]:
    """Check shapes and dtypes (never values, see :func:`check_labels`), and widen half precision.

    Raises
    ------
    InputError
        If the shapes or dtypes of ``logits``, ``y`` and ``weight`` do not fit each other.
    """
    if not logits.is_floating_point():
        raise InputError(f"logits must be floating-point numbers, but have dtype {logits.dtype}.")
    if logits.ndim == 0 or logits.numel() == 0:
        raise InputError(f"logits must have shape (n, K) or (n, K, ...) and hold samples, but have {_shape(logits)}.")
    dim = min(logits.ndim - 1, 1)
    n_classes = logits.shape[dim]
    if n_classes < 2:
        raise InputError(
            f"logits of shape {_shape(logits)} have one class, and softmax makes that certain; for a single score z of "
            "a two-class problem pass the columns (0, z)."
        )
    if weight is not None and weight.shape != (n_classes,):
        raise InputError(f"weight must have shape ({n_classes},), one number a class, but has {_shape(weight)}.")
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    targets = Targets(
        y=_read_target(logits, y, dim, ignore_index),
        soft=y.is_floating_point(),
        n_classes=n_classes,
        dim=dim,
        weight=None if weight is None else weight.to(logits.dtype),
        ignore_index=ignore_index,
    )
    return logits, targets


def is_transformed() -> bool:
    """Whether torch.compile, torch.func or forward-mode differentiation is at work on the tensors.

    Then they may have no values to look at, and only PyTorch's own operations do them justice.
    """
    return (
        torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    )


def widen(x: Tensor) -> Tensor:
    """In float64, where the device has it (Apple's has not)."""
    return x if x.device.type == "mps" else x.double()


def reduce_values(values: Tensor, targets: Targets, reduction: str) -> Tensor:
    """Mean, sum or nothing; the mean as in ``cross_entropy``, by the weights of the samples that count."""
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.sum() / targets.total(values)


def _read_target(logits: Tensor, y: Tensor, dim: int, ignore_index: int) -> Tensor:
    without_classes = logits.shape[:dim] + logits.shape[dim + 1 :]
    if y.is_floating_point():
        if y.shape != logits.shape:
            raise InputError(
                f"y of dtype {y.dtype} must hold class probabilities of the shape of the logits, {_shape(logits)}, but "
                f"has {_shape(y)}; class labels are integers, y.long()."
            )
        if ignore_index >= 0:
            raise UsageError(
                f"ignore_index={ignore_index} is a label, but y holds probabilities; leave ignore_index out and drop "
                "the samples that should not count."
            )
        return y.to(logits.dtype)
    if y.dtype == torch.bool or y.is_complex():
        raise InputError(f"y must be integer labels or probabilities, but has dtype {y.dtype}; use y.long().")
    if y.shape != without_classes:
        raise InputError(
            f"y must have shape {tuple(without_classes)} for logits of shape {_shape(logits)}, but has {_shape(y)}."
        )
    return y if y.dtype == torch.int64 else y.long()


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))
