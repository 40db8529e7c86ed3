"""MATLAB's .mat: up to version 7 read variable by variable, from 7.3 on as the HDF5 files that they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from calkit.errors import FileFormatError
from calkit.io.container import Container, by_name
from calkit.io.formats.base import FORMATS, Format
from calkit.io.formats.hdf5 import hdf5_fields
from calkit.io.hardening.guard import need
from calkit.io.hardening.limits import check
from calkit.io.mat5 import mat5_fields

__all__ = ["Matlab"]

_WHAT = ".mat"
_HDF5 = b"MATLAB 7.3 MAT-file"


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
            need("h5py", path, self.what)
            # "#refs#" and its like hold what cells and structures are made of.
            fields = [item for item in hdf5_fields(path, _WHAT, transposed=True) if not item.name.startswith("#")]
        else:
            fields = mat5_fields(path)
            claimed = sum(math.prod(item.shape) * item.dtype.itemsize for item in fields)
            check(path, stored=path.stat().st_size, nbytes=claimed)
        if not fields:
            raise FileFormatError(f"{path} holds no variables.")
        return Container(path, self.name, by_name(path, fields))


FORMATS.register("matlab")(Matlab())
