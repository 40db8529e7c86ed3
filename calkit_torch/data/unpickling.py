"""Old archives are pickles; this reads them without running what is in them."""

from __future__ import annotations

import pickle
import re
from typing import IO, Any

import numpy as np

from calkit.errors import FileFormatError

__all__ = ["load_plain_pickle"]


class _Record(dict[str, Any]):
    """What scikit-learn's Bunch is read as: its entries, and nothing that it can do."""


class _NdarrayType:
    """What stands for ``numpy.ndarray`` itself, which a pickle names but need not call."""


class _Dtype:
    """What ``numpy.dtype`` is read as: a code such as "u1" or "<U20", and no more of what a pickle may set in one."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def made(self) -> np.dtype[Any]:
        """Return the data type, if it is one of numbers or text."""
        if not re.fullmatch(r"[biuf]\d\d?|[US]\d+", self.code):
            raise pickle.UnpicklingError(f"it holds an array of the type {self.code!r}")
        if self.order not in ("=", "|", "<", ">"):
            raise pickle.UnpicklingError(f"it holds an array of the byte order {self.order!r}")
        return np.dtype(self.order + self.code if self.order != "=" else self.code)


class _Array(np.ndarray[Any, Any]):
    """An array whose contents come as bytes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        content = _bytes(content)
        super().__setstate__((1, shape, dtype.made(), bool(is_fortran), content))  # type: ignore[arg-type]


def _empty_array(kind: object, *_: object) -> _Array:
    """Stand in for NumPy's function that makes an array before its contents are set."""
    if kind is not _NdarrayType:
        raise pickle.UnpicklingError("it holds an array of an unknown class")
    return _Array(0, dtype=np.int8)


def _array_of_bytes(content: object, dtype: _Dtype, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """Stand in for NumPy's function that makes an array of the bytes in a pickle of protocol 5."""
    return np.frombuffer(_bytes(content), dtype=dtype.made()).reshape(shape, order=order)


def _encode(text: str, _encoding: str = "latin1") -> bytes:
    """Stand in for ``codecs.encode``, by which Python 3 writes bytes for Python 2, always in latin1."""
    return _bytes(text)


def _bytes(content: object) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))  # type: ignore[arg-type]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _NdarrayType,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_of_bytes for core in ("core", "_core")},
    **{(f"sklearn.{module}", "Bunch"): _Record for module in ("utils", "utils._bunch", "datasets.base")},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_plain_pickle(file: IO[bytes], name: str) -> Any:
    """Read a pickle that holds only numbers, text, lists, tuples, dicts and NumPy arrays of numbers or text.

    Nothing else is looked up, so nothing else can run: a pickle that asks for more is refused.

    Parameters
    ----------
    file : file open for reading bytes
    name : str
        What to call it in a message.

    Returns
    -------
    object

    Raises
    ------
    FileFormatError
        If the pickle is broken or asks for anything else.

    Examples
    --------
    >>> import io
    >>> load_plain_pickle(io.BytesIO(pickle.dumps({"labels": [3, 1]})), "labels")
    {'labels': [3, 1]}
    >>> load_plain_pickle(io.BytesIO(pickle.dumps(print)), "labels")
    Traceback (most recent call last):
    calkit.errors.FileFormatError: cannot read labels as plain data: it asks for builtins.print. Fetch it again from ...
    """
    try:
        # Pickles of Python 2 hold text and bytes alike as bytes; latin1 turns them into str without loss.
        return _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a hostile or broken pickle can raise anything
        raise FileFormatError(
            f"cannot read {name} as plain data: {error or type(error).__name__}. Fetch it again from its source."
        ) from None
