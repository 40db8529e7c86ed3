"""MATLAB's .mat: up to version 7 read variable by variable, from 7.3 on as the HDF5 files that they are."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field, by_name, unreadable
from calkit.io.formats.base import FORMATS, Format
from calkit.io.formats.hdf5 import hdf5_fields
from calkit.io.guard import reading
from calkit.io.limits import MAX_ARRAYS, check_claim, check_count

__all__ = ["Matlab"]

_WHAT = ".mat"
_HDF5 = b"MATLAB 7.3 MAT-file"

_TYPES = {"double": "f8", "single": "f4", "logical": "?"} | {
    f"{sign}int{bits}": f"{sign or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_TEXT = ("char", "cell")


class Matlab(Format):
    """Variables of a MATLAB workspace; vectors lose the axis of length 1 that MATLAB gives them."""

    name = "matlab"
    suffixes = (".mat",)
    magic: ClassVar[tuple[bytes, ...]] = (b"MATLAB 5.0 MAT-file", _HDF5)

    def read(self, path: Path) -> Container:
        """Read names, shapes and types of the variables."""
        with path.open("rb") as stream:
            is_hdf5 = stream.read(len(_HDF5)) == _HDF5
        if is_hdf5:
            fields = [item for item in hdf5_fields(path, _WHAT, transposed=True) if not item.name.startswith("#")]
        else:
            fields = _variables(path)
        return Container(path, self.name, by_name(path, fields))


def _variables(path: Path) -> list[Field]:
    from scipy.io import whosmat

    with reading(path, _WHAT):
        variables = whosmat(str(path))
    check_count(path, len(variables), "variables", MAX_ARRAYS)
    fields = []
    for name, shape, kind in variables:
        vector = (math.prod(shape),) if len(shape) == 2 and 1 in shape else tuple(shape)
        if kind in _TYPES:
            fields.append(Field(name, vector, np.dtype(_TYPES[kind]), partial(_load, path, name, vector)))
        elif kind in _TEXT:
            words = (shape[0],) if kind == "char" else vector
            fields.append(Field(name, words, np.dtype(str), partial(_load_text, path, name)))
        else:
            fields.append(unreadable(path, name, vector, f"a {kind} array", "Save a full numeric matrix."))
    check_claim(path, sum(math.prod(f.shape) * f.dtype.itemsize for f in fields), path.stat().st_size)
    return fields


def _load(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    values = _variable(path, name)
    if values.size != math.prod(shape) or values.dtype.kind not in "biuf":
        raise FileFormatError(f"{path}:{name} holds other data than announced. Save it again.")
    return values.reshape(shape) if len(shape) == 1 else values


def _load_text(path: Path, name: str) -> NDArray[Any]:
    values = _variable(path, name).reshape(-1)
    words = [np.asarray(value).reshape(-1) for value in values]
    if any(word.size != 1 or word.dtype.kind != "U" for word in words):
        raise FileFormatError(f"{path}:{name} is a cell array that holds more than words. Save a numeric matrix.")
    return np.array([str(word[0]).strip() for word in words], dtype=str)


def _variable(path: Path, name: str) -> NDArray[Any]:
    from scipy.io import loadmat

    with reading(f"{path}:{name}", _WHAT):
        return np.asarray(loadmat(str(path), variable_names=[name])[name])


FORMATS.register("matlab")(Matlab())
