"""Arrays of other libraries, brought to NumPy: without a copy where they lie in this memory, block by block where not.

None of those libraries is imported here: an array says itself, by the module of its class, where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError
from calkit.lazy import Converted

__all__ = [
    "as_numbers",
    "as_row_source",
    "check_no_missing",
    "column_names",
    "to_numpy",
    "to_values",
]

# The number that the DLPack standard gives to ordinary memory.
_DLPACK_CPU = 1

_LAZY = ("shape", "dtype", "ndim", "__getitem__")


def as_row_source(array: Any) -> Any:
    """Return scores as something with a NumPy dtype, ``shape``, ``ndim`` and slicing by rows.

    Parameters
    ----------
    array : array-like
        A NumPy array, a memory map, an HDF5 data set: returned as they are. A PyTorch, JAX or CuPy array, or any other
        with DLPack: shares its memory if that is this machine's, else is converted row by row
        (:class:`calkit.lazy.Converted`). Lists, tables and the rest: what :func:`numpy.asarray` makes of them.

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
        return to_numpy(array) if _shares_memory(array) else _on_host(array)
    lazy = all(hasattr(array, name) for name in _LAZY) and isinstance(array.dtype, np.dtype)
    if lazy and "pandas" not in _libraries(array):
        return array
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InputError(f"the scores are not one rectangular array: {error}.") from None


def _on_host(array: Any) -> Converted:
    """Return an array that lies elsewhere, or in a format NumPy has not, converted for the rows that are asked for."""
    dtype = to_numpy(array[:0]).dtype
    # What is widened (bfloat16 to float32) was rounded to its own size.
    itemsize = int(getattr(array, "itemsize", dtype.itemsize))
    return Converted(array, to_numpy, array.shape, dtype, itemsize, random_access=True)


def as_numbers(array: Any, what: str = "the scores") -> Any:
    """Return an array, or source of rows, of numbers: those in an object array are converted.

    Parameters
    ----------
    array : array-like
        As :func:`as_row_source` returns them; object arrays come of data frames with missing values, and of lists.
    what : str
        What the caller calls it, for messages.

    Raises
    ------
    InputError
        If an entry is missing or no number; the message names its row.
    """
    if array.dtype.kind != "O":
        return array
    values = np.asarray(array)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        lines = values.reshape(values.shape[0] if values.ndim else 1, -1)
        row, entry = next((row, entry) for row, line in enumerate(lines) for entry in line if not _is_number(entry))
        raise InputError(
            f"{what} must be real numbers, but row {row} holds {entry!r}. Remove the row, or a column that is no score."
        ) from None


def _is_number(entry: Any) -> bool:
    try:
        float(entry)
    except (TypeError, ValueError):
        return False
    return True


def column_names(frame: Any) -> tuple[Any, ...] | None:
    """Return the names of the columns of a data frame (pandas, polars) or an Arrow table; None for anything else.

    Columns that pandas has numbered from 0 have no names.

    Examples
    --------
    >>> column_names([[1.0, 2.0]]) is None
    True
    """
    names = getattr(frame, "column_names", None) if hasattr(frame, "schema") else None
    if names is None and len(getattr(frame, "shape", ())) == 2:
        names = getattr(frame, "columns", None)
    if names is None or callable(names):
        return None
    found = tuple(name.item() if isinstance(name, np.generic) else name for name in names)
    return None if found == tuple(range(len(found))) else found


def to_values(array: Any) -> NDArray[Any]:
    """Return a whole array of any library, or a series, as NumPy's; text and mixed values stay what they are.

    Parameters
    ----------
    array : array-like
        Lists, arrays, series of pandas, polars or Arrow, categorical and nullable ones among them.

    Returns
    -------
    ndarray
    """
    array = to_numpy(array)
    if hasattr(array, "null_count") and hasattr(array, "to_list") and _any_null(array):
        # What NumPy would make of them: NaN in a column of floats.
        array = array.to_list()
    if isinstance(array, list | tuple):
        return _from_list(array)
    values = np.asarray(array)
    return values if values.dtype.kind != "T" else values.astype(str)


def _any_null(series: Any) -> bool:
    return bool(series.null_count() if callable(series.null_count) else series.null_count)


def _from_list(values: Any) -> NDArray[Any]:
    """Return a list as an array; NumPy would turn numbers beside text into text, and cannot take ragged rows."""
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise InputError(f"y_true is not one rectangular array: {error}.") from None
    mixed = found.ndim == 1 and found.dtype.kind in "US" and not all(isinstance(value, str | bytes) for value in values)
    return np.array(values, dtype=object) if mixed else found


def to_numpy(array: Any) -> Any:
    """Return a whole array as NumPy's, from whatever device; what is no array of another library is returned unchanged.

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
    if isinstance(array, np.ndarray | np.generic):
        return False
    return hasattr(array, "__dlpack__") or hasattr(array, "combine_chunks")


def _shares_memory(array: Any) -> bool:
    """Return whether NumPy can look at an array without a copy."""
    return _is_in_memory(array) and not ("torch" in _libraries(array) and _is_unknown_to_numpy(array))


def _is_in_memory(array: Any) -> bool:
    if "torch" in _libraries(array):
        return bool(array.device.type == "cpu")
    if not hasattr(array, "__dlpack_device__"):
        return True  # chunks of Arrow
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
    if tensor.device.type == "meta":
        raise InputError("a tensor on the meta device has a shape and no numbers; compute it on a real device.")
    tensor = tensor.detach().cpu()
    # Every bfloat16 number is a float32 number, so widening is exact.
    return np.asarray((tensor.float() if _is_unknown_to_numpy(tensor) else tensor.resolve_conj().resolve_neg()).numpy())


def _from_arrow(array: Any) -> Any:
    # What NumPy would make of nulls: NaN in a column of floats.
    if getattr(array, "null_count", 0):
        return _from_list(array.to_pylist())
    dictionary = hasattr(array, "type") and hasattr(array.type, "index_type")
    return np.asarray(array.cast(array.type.value_type) if dictionary else array)


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
_CONVERTERS: dict[str, Callable[[Any], NDArray[Any]]] = {
    "torch": _from_torch,
    "cupy": _from_cupy,
    "pyarrow": _from_arrow,
}


def check_no_missing(what: str, array: Any) -> None:
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
