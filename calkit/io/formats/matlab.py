"""MATLAB's .mat: up to version 7 read by SciPy, variable by variable; from 7.3 on as the HDF5 files that they are."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.words import text_array
from calkit.errors import FileFormatError
from calkit.hardening.guard import need
from calkit.io.formats.base import FORMATS, Format
from calkit.io.formats.hdf5 import hdf5_fields
from calkit.sandbox.session import open_isolated

__all__ = ["Matlab"]

_WHAT = ".mat"
_HDF5 = b"MATLAB 7.3 MAT-file"

_NUMBERS = {"double": "f8", "single": "f4", "logical": "?"}
_NUMBERS |= {f"{sign}int{8 * size}": f"{kind}{size}" for sign, kind in (("", "i"), ("u", "u")) for size in (1, 2, 4, 8)}
_REMEDY = "Save a full matrix of real numbers."


class Matlab(Format):
    """Variables of MATLAB 4 to 7, and of 7.3 with h5py; vectors lose the axis of length 1 that MATLAB gives them."""

    name = "matlab"
    suffixes = (".mat",)
    magic: ClassVar[tuple[bytes, ...]] = (b"MATLAB 5.0 MAT-file", _HDF5)

    def read(self, path: Path) -> Container:
        """Read names, shapes and types of the variables."""
        with path.open("rb") as stream:
            is_hdf5 = stream.read(len(_HDF5)) == _HDF5
        if is_hdf5:
            need("h5py", path, self.what)
            # "#refs#" and its like hold what cells and structures are made of.
            fields = [item for item in hdf5_fields(path, _WHAT, transposed=True) if not item.name.startswith("#")]
        else:
            # SciPy ends the process where the types of a damaged file do not exist.
            isolated = open_isolated(path, self.name)
            if isolated is not None:
                return isolated
            fields = [_field(path, *variable) for variable in _variables(path)]
        if not fields:
            raise FileFormatError(f"{path} holds no variables.")
        return Container(path, self.name, by_name(path, fields))


def _variables(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    from scipy.io import matlab

    try:
        return list(matlab.whosmat(path, appendmat=False))
    except (ValueError, matlab.MatReadError) as error:
        raise FileFormatError(
            f"{path} is not a readable .mat file: {error}. It may be damaged, or Octave's text, which is not read: "
            "save it again, with '-v7'."
        ) from error


def _field(path: Path, name: str, shape: tuple[int, ...], kind: str) -> Field:
    if min(shape, default=0) < 0:
        raise ValueError(f"the variable {name[:80]!r} has the dimensions {shape}")
    if kind == "char":
        # A row of characters is one text.
        return Field(name, shape[:1], np.dtype(str), partial(_load_text, path, name))
    vector = (math.prod(shape),) if len(shape) == 2 and 1 in shape else shape
    if kind == "cell":
        return Field(name, vector, np.dtype(str), partial(_load_cells, path, name))
    if kind not in _NUMBERS:
        return unreadable(path, name, vector, f"MATLAB's type {kind!r}", _REMEDY)
    return Field(name, vector, np.dtype(_NUMBERS[kind]), partial(_load_numbers, path, name, vector, kind))


def _load(path: Path, name: str) -> NDArray[Any]:
    from scipy.io import loadmat

    values: NDArray[Any] = loadmat(path, variable_names=[name], appendmat=False)[name]
    return values


def _load_numbers(path: Path, name: str, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    values = _load(path, name)
    if values.dtype.kind == "c":
        raise FileFormatError(f"{path}:{name} holds complex numbers, which cannot be read. {_REMEDY}")
    values = values.reshape(shape, order="F") if len(shape) == 1 else values
    # MATLAB stores whole numbers as the smallest integers that hold them.
    return values.astype(_NUMBERS[kind], copy=False)


def _load_text(path: Path, name: str) -> NDArray[Any]:
    return text_array([str(word).rstrip() for word in _load(path, name).reshape(-1)], path)


def _load_cells(path: Path, name: str) -> NDArray[Any]:
    cells = [np.asarray(cell) for cell in _load(path, name).reshape(-1, order="F")]
    if any(cell.size > 1 or (cell.size and cell.dtype.kind != "U") for cell in cells):
        raise FileFormatError(f"{path}:{name} holds cells other than text, which cannot be read. {_REMEDY}")
    return text_array([str(cell.item()) if cell.size else "" for cell in cells], path)


FORMATS.register("matlab")(Matlab())
