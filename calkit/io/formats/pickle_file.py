"""Pickles of Python and joblib, which can run any code when read: only for those who say that they trust the file."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from calkit.containers.container import Container, by_name
from calkit.errors import FileFormatError
from calkit.io.formats.base import FORMATS, Format
from calkit.io.tree import array_field, tree_fields

__all__ = ["Pickle"]

# joblib tells by the first bytes how a file is compressed.
_KINDS = ("pkl", "joblib")
_PACKED = ("z", "gz", "bz2", "xz", "lzma")


class Pickle(Format):
    """Arrays in dictionaries, lists, tuples, a pandas DataFrame, pickled; only with ``--trust-pickle``."""

    name = "pickle"
    suffixes = (".pkl", ".pickle", ".p", ".joblib", *(f".{kind}.{end}" for kind in _KINDS for end in _PACKED))
    magic: ClassVar[tuple[bytes, ...]] = tuple(b"\x80" + bytes([version]) for version in range(2, 6))

    def read(self, path: Path) -> Container:
        """Refuse."""
        raise FileFormatError(
            f"{path} is a pickle, and reading one may run any code; it is refused. Save arrays with np.savez; for a "
            "file of your own, pass trust_pickle=True (--trust-pickle)."
        )

    def read_trusted(self, path: Path) -> Container:
        """Unpickle."""
        load = partial(_unpickle, path)
        fields = by_name(path, tree_fields(load(), array_field, load))
        if not fields:
            raise FileFormatError(f"{path} holds no arrays.")
        return Container(path, self.name, fields)


def _unpickle(path: Path) -> Any:
    import joblib

    try:
        return joblib.load(path)
    except ValueError as error:
        if not isinstance(error.__cause__ or error, UnicodeDecodeError):
            raise
        # Arrays that Python 2 pickled.
        with path.open("rb") as stream:
            return pickle.load(stream, encoding="latin1")  # noqa: S301 - the user says that the file is trusted


FORMATS.register("pickle")(Pickle())
