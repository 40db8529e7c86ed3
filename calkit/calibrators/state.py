"""Fitted state as plain data, with the type of every value, so that it returns as it was.

Numbers, strings, None and lists are JSON's own. Everything else is an object with one telling key: an array
``{"dtype": …, "shape": …, "values": …}``, an infinite number ``{"float": "inf"}``, ``{"tuple": […]}``,
``{"dict": {…}}``, another calibrator ``{"calibrator": …}``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Store", "decode", "digest", "encode", "inline"]

#: Turns an array into the keys that stand beside its ``dtype`` and ``shape``.
Store = Callable[[NDArray[Any]], dict[str, Any]]

_INFINITE = {math.inf: "inf", -math.inf: "-inf"}
_NAMED = {word: number for number, word in _INFINITE.items()}
_LARGEST = 2**64


def inline(array: NDArray[Any]) -> dict[str, Any]:
    """Store the numbers in the document."""
    return {"values": [_INFINITE.get(value, value) if isinstance(value, float) else value for value in array.tolist()]}


def digest(array: NDArray[Any]) -> dict[str, Any]:
    """Store a hash of the numbers."""
    data = repr(array.tolist()).encode() if array.dtype.kind == "O" else np.ascontiguousarray(array).tobytes()
    return {"sha256": hashlib.sha256(data).hexdigest()}


def encode(value: Any, store: Store = inline) -> Any:
    """Return a value as plain data.

    Raises
    ------
    ValueError
        If it is not a number, or of a type that cannot be stored.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(np.asarray(value), store)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("a value is not a number")
        return {"float": _INFINITE[value]} if math.isinf(value) else value
    if isinstance(value, list):
        return [encode(item, store) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, store) for item in value]}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a dict must have strings for keys")
        return {"dict": {key: encode(item, store) for key, item in value.items()}}
    if hasattr(value, "to_document"):
        return value.to_document(store)
    raise ValueError(f"a {type(value).__name__} cannot be stored")


def decode(value: Any, arrays: Callable[[str], NDArray[Any]], restore: Callable[[dict[str, Any]], Any]) -> Any:
    """Return what :func:`encode` was given.

    Parameters
    ----------
    value : object
        Plain data.
    arrays : callable
        Returns an array that is stored elsewhere, by its key.
    restore : callable
        Turns the document of a calibrator into the calibrator.

    Raises
    ------
    ValueError
        If it is not what `encode` returns.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST:
        raise ValueError("an integer is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a value is {value}")
    if isinstance(value, list):
        return [decode(item, arrays, restore) for item in value]
    if not isinstance(value, dict):
        return value
    if "calibrator" in value:
        return restore(value)
    if "dtype" in value:
        return _decode_array(value, arrays)
    if set(value) == {"float"}:
        return _NAMED[value["float"]]
    if set(value) == {"tuple"}:
        return tuple(decode(item, arrays, restore) for item in value["tuple"])
    if set(value) == {"dict"}:
        return {str(key): decode(item, arrays, restore) for key, item in value["dict"].items()}
    raise ValueError(f"it holds an object with the keys {sorted(value)[:5]}")


def _encode_array(array: NDArray[Any], store: Store) -> dict[str, Any]:
    if array.dtype.kind not in "biufUO":
        raise ValueError(f"an array of {array.dtype} cannot be stored")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError("an array holds NaN")
    if array.dtype.kind == "O" and not all(isinstance(item, str | int | float) for item in array.ravel()):
        raise ValueError("an array of objects holds something else than numbers and strings")
    plain = array.astype(array.dtype.newbyteorder("<")).ravel()
    name = array.dtype.name if array.dtype.kind in "biuf" else array.dtype.str[1:]
    return {"dtype": name, "shape": list(array.shape), **store(plain)}


def _decode_array(value: dict[str, Any], arrays: Callable[[str], NDArray[Any]]) -> Any:
    dtype, shape = np.dtype(value["dtype"]), tuple(value["shape"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"it holds an array of {dtype}")
    if "array" in value:
        array = arrays(value["array"])
        if array.dtype != dtype:
            raise ValueError(f"an array has the type {array.dtype}, not {dtype}")
    else:
        values = value["values"]
        if dtype.kind == "f":
            values = [_NAMED[item] if isinstance(item, str) else item for item in values]
        array = np.array(values, dtype=dtype)
        if array.tolist() != values:
            raise ValueError(f"an array holds numbers that are no {dtype}")
    if dtype.kind == "f" and np.isnan(array).any():
        raise ValueError("an array holds NaN")
    found = array.reshape(shape)
    return found[()] if found.ndim == 0 else found
