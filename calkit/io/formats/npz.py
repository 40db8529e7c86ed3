"""NumPy's .npz: named arrays in a zip archive."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calkit.errors import FileFormatError
from calkit.io.container import Container, Field
from calkit.io.fields import fields_of
from calkit.io.formats.base import FORMATS, WritableFormat, damaged
from calkit.io.formats.npy import read_header
from calkit.predictions import Predictions

__all__ = ["Npz"]


class Npz(WritableFormat):
    """Named arrays in a zip archive; nothing pickled is ever read."""

    name = "npz"
    suffixes = (".npz",)

    def read(self, path: Path) -> Container:
        """Read the headers of all arrays; each is unpacked when loaded."""
        fields = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if not member.endswith(".npy"):
                        continue
                    name = member[: -len(".npy")]
                    with archive.open(member) as stream:
                        shape, dtype = read_header(stream, path, name)  # type: ignore[arg-type]
                    fields[name] = Field(name, shape, dtype, partial(_load, path, name))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise damaged(path, ".npz", error) from None
        if not fields:
            raise FileFormatError(f"{path} holds no arrays; write one with np.savez(path, logits=..., labels=...).")
        return Container(path, self.name, fields)

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write compressed arrays named after what they are."""
        arrays: dict[str, Any] = {name: np.asarray(values) for name, values in fields_of(predictions).items()}
        np.savez_compressed(path, **arrays)


def _load(path: Path, name: str) -> Any:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise damaged(Path(f"{path}:{name}"), ".npz", error) from None


FORMATS.register("npz")(Npz())
