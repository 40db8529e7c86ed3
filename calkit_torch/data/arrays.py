"""A user's arrays, checked once and made tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calkit.errors import InputError, UsageError

__all__ = ["check_labels", "described", "inputs_tensor", "labels_tensor", "names_of_classes", "options_of"]


def inputs_tensor(x: Any, split: str) -> Tensor:
    """Return inputs as images of uint8, as float32 or as int64."""
    tensor = _tensor(x, f"{split} inputs")
    if tensor.ndim == 0 or tensor.is_complex():
        raise InputError(f"{split} inputs must be real numbers of shape (n, ...), but are {described(tensor)}.")
    if len(tensor) == 0:
        raise InputError(f"the {split} split is empty; each of train, validation and test needs at least one sample.")
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    elif tensor.dtype != torch.uint8:
        tensor = tensor.to(torch.int64)
    elif tensor.ndim != 4:
        raise InputError(
            f"images of uint8 have the shape (n, channels, height, width), but {split} inputs are {described(tensor)}."
        )
    return tensor


def labels_tensor(y: Any, split: str) -> Tensor:
    """Return labels as int64."""
    labels = _tensor(y, f"{split} labels")
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        remedy = ""
        if labels.ndim == 2:
            remedy = (
                " Train on labels.argmax(axis=1); calkit.evaluate(votes, logits, from_logits=True) judges by votes."
            )
        raise InputError(f"{split} labels must be whole numbers of shape (n,), but are {described(labels)}.{remedy}")
    return labels.to(torch.int64)


def check_labels(labels: Tensor | None, n_classes: int, split: str) -> None:
    """Refuse labels that are not from 0 to ``n_classes - 1``."""
    if labels is None:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        raise InputError(
            f"{split} labels must be from 0 to n_classes - 1 = {n_classes - 1}, but include {low if low < 0 else high}."
        )


def names_of_classes(n_classes: int | None, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes, or their numbers as names."""
    if (n_classes is None) == (names is None):
        raise UsageError("say either n_classes or class_names, and not both.")
    return tuple(names) if names is not None else tuple(map(str, range(n_classes or 0)))


def options_of(inputs: Tensor) -> dict[str, Any]:
    """Return what models may need to know of inputs."""
    options = {"in_features": inputs[0].numel()}
    if inputs.ndim == 4:
        options["in_channels"] = inputs.shape[1]
    return options


def described(x: Tensor) -> str:
    """Return type and shape of a tensor, for a message."""
    return f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}"


def _tensor(x: Any, what: str) -> Tensor:
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be an array of numbers, but are an array of {array.dtype}.")
    # torch takes neither another machine's byte order nor memory that may not be written to.
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
