"""Arrays of other libraries, brought to NumPy: without a copy where they lie in this memory, block by block where not.

None of those libraries is imported here: an array says itself, by the module of its class, where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError

__all__ = ["HostBlocks", "as_row_source", "refuse_gaps", "to_numpy"]

# The number that the DLPack standard gives to ordinary memory.
_DLPACK_CPU = 1

_LAZY = ("shape", "dtype", "ndim", "__getitem__")


class HostBlocks:
    """An array that lies elsewhere, or in a format NumPy has not, converted for the rows that are asked for.

    Looks like an array that can be sliced by rows.

    Parameters
    ----------
    source : array
        Sliced by rows with ``source[start:stop]``, on its own device.

    Attributes
    ----------
    shape : tuple of int
    ndim : int
    dtype : dtype
        Type of the rows after conversion.
    itemsize : int
        Bytes of a number before conversion, which tell how it was rounded: bfloat16 is widened to float32.
    """

    has_random_access = True

    def __init__(self, source: Any) -> None:
        self._source = source
        self.shape = tuple(int(length) for length in source.shape)
        self.ndim = len(self.shape)
        self.dtype = to_numpy(source[:0]).dtype
        self.itemsize = int(getattr(source, "itemsize", self.dtype.itemsize))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return to_numpy(self._source[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def as_row_source(array: Any) -> Any:
    """Return scores as something with a NumPy dtype, ``shape``, ``ndim`` and slicing by rows.

    Parameters
    ----------
    array : array-like
        A NumPy array, a memory map, an HDF5 data set: returned as they are. A PyTorch, JAX or CuPy array, or any other
        with DLPack: shares its memory if that is this machine's, else a :class:`HostBlocks`. Lists, tables and the
        rest: what :func:`numpy.asarray` makes of them.

    Returns
    -------
    array-like

    Raises
    ------
    InputError
        If the array is sparse or quantised, or nested lists are not rectangular.
    """
    if isinstance(array, np.ndarray):
        return array
    if _is_foreign(array):
        return to_numpy(array) if _shares_memory(array) else HostBlocks(array)
    lazy = all(hasattr(array, name) for name in _LAZY) and isinstance(array.dtype, np.dtype)
    if lazy and "pandas" not in _libraries(array):
        return array
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InputError(f"the scores are not one rectangular array: {error}.") from None


def to_numpy(array: Any) -> Any:
    """Return a whole array as NumPy's, from whatever device; what is no array of another library stays as it is.

    Parameters
    ----------
    array : array-like

    Returns
    -------
    array-like
        An ndarray if `array` is of PyTorch, JAX, CuPy or another library with DLPack; else `array`.

    Raises
    ------
    InputError
        If the array is sparse or quantised.

    Examples
    --------
    >>> from calkit.arrays import to_numpy
    >>> to_numpy([1, 2, 3])
    [1, 2, 3]
    """
    if not _is_foreign(array):
        return array
    libraries = _libraries(array)
    for library, convert in _CONVERTERS.items():
        if library in libraries:
            return convert(array)
    return _from_dlpack(array)


def _libraries(array: Any) -> set[str]:
    """Return the top-level modules of an object's class and of the classes it derives from."""
    return {base.__module__.partition(".")[0] for base in type(array).__mro__}


def _is_foreign(array: Any) -> bool:
    return hasattr(array, "__dlpack__") and not isinstance(array, np.ndarray | np.generic)


def _shares_memory(array: Any) -> bool:
    """Return whether NumPy can look at an array without a copy."""
    return _is_in_memory(array) and not ("torch" in _libraries(array) and _is_unknown_to_numpy(array))


def _is_in_memory(array: Any) -> bool:
    if "torch" in _libraries(array):
        return bool(array.device.type == "cpu")
    device = array.__dlpack_device__()[0]
    return int(device) == _DLPACK_CPU


def _is_unknown_to_numpy(tensor: Any) -> bool:
    return str(tensor.dtype) == "torch.bfloat16" or str(tensor.dtype).startswith("torch.float8")


def _from_torch(tensor: Any) -> NDArray[Any]:
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise InputError(
            f"a tensor must be dense, but its layout is {tensor.layout} and its type {tensor.dtype}; convert it with "
            "to_dense() or dequantize()."
        )
    tensor = tensor.detach().cpu()
    # Every bfloat16 number is a float32 number, so widening is exact.
    return np.asarray((tensor.float() if _is_unknown_to_numpy(tensor) else tensor.resolve_conj().resolve_neg()).numpy())


def _from_cupy(array: Any) -> NDArray[Any]:
    return np.asarray(array.get())


def _from_dlpack(array: Any) -> NDArray[Any]:
    if _is_in_memory(array):
        try:
            return np.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError):
            # A type that DLPack or NumPy does not exchange (JAX's bfloat16), which an __array__ may still give.
            return np.asarray(array)
    return np.asarray(array)


#: How to convert the arrays of libraries that need more than DLPack: from their own device, or types of their own.
_CONVERTERS: dict[str, Callable[[Any], NDArray[Any]]] = {"torch": _from_torch, "cupy": _from_cupy}


def refuse_gaps(what: str, array: Any) -> None:
    """Refuse arrays whose gaps NumPy would fill without a word: masked ones and sparse ones.

    Parameters
    ----------
    what : str
        What the caller calls the array, for the message.
    array : object
        Anything.

    Raises
    ------
    InputError
        If values are masked, or it is a sparse matrix.
    """
    if np.ma.is_masked(array):
        raise InputError(
            f"{what}: masked values would be taken for real ones; remove their rows, or give them sample_weight 0."
        )
    if hasattr(array, "toarray") and hasattr(array, "nnz"):
        raise InputError(f"{what}: a sparse matrix does not serve; pass {what}.toarray().")
