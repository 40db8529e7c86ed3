"""Batches as loaders give them, turned into inputs, labels and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from calkit.errors import InputError, UsageError
from calkit.registry import unknown_name
from calkit_torch.bridge.shapes import transfer

__all__ = ["BatchReader", "Parts", "batch_reader", "call_model", "to_device"]

#: Inputs, labels, and weights or None.
Parts = tuple[Any, Tensor, Tensor | None]

#: How a batch is read: two or three keys of a mapping, or a function; None for pairs (inputs, labels).
BatchReader: TypeAlias = tuple[str, ...] | Callable[[Any], Any] | None


def batch_reader(batch: BatchReader) -> Callable[[Any], Parts]:
    """Return the function that takes a batch apart.

    Parameters
    ----------
    batch : None, tuple of str, or callable
        None: batches are pairs (inputs, labels). Two or three strings: the keys of inputs, labels and weights in
        batches that are mappings. A function: takes a batch, returns (inputs, labels) or (inputs, labels, weights).

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if batch is None:
        return _pair
    if callable(batch):
        return lambda item: _parts(batch(item), "the function given as batch= returned")
    if isinstance(batch, tuple) and len(batch) in (2, 3) and all(isinstance(key, str) for key in batch):
        return lambda item: _by_keys(item, batch)
    raise UsageError(f"batch must be None, a pair of keys ('inputs', 'labels') or a function, but is {batch!r}.")


def to_device(x: Any, device: torch.device) -> Any:
    """Return tensors, and what holds them, on a device; without waiting for the copy where that is possible."""
    if isinstance(x, Tensor):
        return transfer(x, device)
    if isinstance(x, Mapping):
        return {key: to_device(value, device) for key, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(to_device(value, device) for value in x)
    if isinstance(x, tuple) and hasattr(x, "_make"):
        return x._make(to_device(value, device) for value in x)
    return x.to(device) if hasattr(x, "to") else x


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model: a mapping gives keyword arguments, a plain list or tuple positional ones, all else one argument."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if type(inputs) in (list, tuple) else model(inputs)


def _pair(item: Any) -> Parts:
    if isinstance(item, Mapping):
        keys = ", ".join(repr(key) for key in item)
        raise UsageError(
            f"the batches are mappings with the keys {keys}: say which hold inputs and labels, for example "
            "batch=('inputs', 'labels'), or give a function."
        )
    return _parts(item, "the loader gave", sizes=(2,))


def _by_keys(item: Any, keys: tuple[str, ...]) -> Parts:
    if not isinstance(item, Mapping):
        raise UsageError(f"batch={keys!r} names keys, but the loader gave {_described(item)}.")
    for key in keys:
        if key not in item:
            raise unknown_name("key of a batch", key, map(str, item))
    return _parts(tuple(item[key] for key in keys), "the loader gave")


def _parts(found: Any, who: str, sizes: tuple[int, ...] = (2, 3)) -> Parts:
    if not isinstance(found, tuple | list) or len(found) not in sizes:
        wanted = "(inputs, labels)" + (" or (inputs, labels, weights)" if 3 in sizes else "")
        raise UsageError(
            f"a batch must be {wanted}, but {who} {_described(found)}. Give a function that takes a batch apart: "
            "batch=lambda batch: (batch[0], batch[1])."
        )
    inputs, y, *weight = found
    for name, value in zip(("labels", "weights"), (y, *weight), strict=False):
        if not isinstance(value, Tensor) and not (name == "weights" and value is None):
            raise InputError(f"the {name} of a batch must be a torch.Tensor, but are {_described(value)}.")
    return inputs, y, weight[0] if weight else None


def _described(x: Any) -> str:
    return f"a {type(x).__name__} of {len(x)}" if isinstance(x, tuple | list) else f"a {type(x).__name__}"
