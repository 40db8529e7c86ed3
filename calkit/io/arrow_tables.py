"""What Parquet, Arrow and Feather files have in common: tables of record batches."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import printable
from calkit.containers.words import text_array
from calkit.errors import FileFormatError
from calkit.hardening.limits import check
from calkit.io.tables import Column, Table, repeated
from calkit.lazy import BLOCK_BYTES

__all__ = ["ArrowTable"]


class ArrowTable(Table):
    """Record batches of typed columns, in parts at which reading can begin; :meth:`_describe` is called first."""

    def _describe(self, schema: Any, first: Any, lengths: Sequence[int]) -> None:
        """Note the columns, of whose lists the first rows tell the length, and the number of rows of each part."""
        import pyarrow as pa

        self._pa = pa
        twice = repeated(schema.names)
        if twice is not None:
            raise FileFormatError(
                f"{self.path} names the column {printable(twice)!r} more than once; rename one of them."
            )
        self.columns = {
            item.name: self._column(item.name, item.type, None if first is None else first.column(index))
            for index, item in enumerate(schema)
        }
        self.n_rows, self.starts = sum(lengths), [0, *accumulate(lengths[:-1])]

    @abstractmethod
    def _batches(self, part: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield batches of at most `rows` rows of some columns, from a part on."""

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield columns of pieces of record batches."""
        part = max(index for index, row in enumerate(self.starts) if row == start)
        sizes = (self.columns[name].dtype.itemsize * math.prod(self.columns[name].shape) for name in names)
        row = start
        for batch in self._batches(part, names, max(1, BLOCK_BYTES // max(8, sum(sizes)))):
            yield self._arrays(batch, names, row)
            row += batch.num_rows

    def _column(self, name: str, kind: Any, first: Any) -> Column:
        types = self._pa.types
        if isinstance(kind, self._pa.BaseExtensionType):
            kind = kind.storage_type
            first = None if first is None else first.storage
        dtype = self._dtype(kind)
        if dtype is not None:
            return Column(name, dtype)
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            dtype = self._dtype(kind.value_type)
            if dtype is not None and dtype.kind in "biuf":
                return Column(name, dtype, (_list_length(types, kind, first),))
        return Column(name, np.dtype(object), note=f"values of type {str(kind)[:80]}")

    def _dtype(self, kind: Any) -> np.dtype[Any] | None:
        types = self._pa.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
            return np.dtype(kind.to_pandas_dtype())
        if types.is_decimal(kind):
            return np.dtype(np.float64)
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            return np.dtype(str)
        return None

    def _arrays(self, batch: Any, names: Sequence[str], row: int) -> dict[str, NDArray[Any]]:
        """Return columns of a batch, of which `row` is the number of the first row."""
        # Offsets and indices of a damaged file may point anywhere; only this keeps what follows inside the file.
        batch = batch.select(list(names))
        batch.validate(full=True)
        return {name: self._array(name, batch.column(index), row) for index, name in enumerate(names)}

    def _array(self, name: str, values: Any, row: int) -> NDArray[Any]:
        pa = self._pa
        column = self.columns[name]
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
        if values.null_count and (column.shape or column.dtype.kind not in "biufU"):
            missing = row + values.is_null().index(True).as_py()
            raise FileFormatError(f"{self.path}: row {missing} of the column {printable(name)!r} is missing (null).")
        if values.null_count:
            values = self._without_nulls(values, column)
        if column.shape:
            return self._lists(name, values, column, row)
        if column.dtype.kind == "U":
            return self._words(name, values)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_decimal(values.type):
            values = values.cast(pa.float64())
        return np.asarray(values.to_numpy(zero_copy_only=False))

    def _without_nulls(self, values: Any, column: Column) -> Any:
        """Return a column with NaN or empty text for what is missing: whoever needs a value refuses these."""
        pa = self._pa
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if column.dtype.kind == "U":
            return values.fill_null("")
        number = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
        return number.cast(pa.float64()).fill_null(float("nan"))

    def _words(self, name: str, values: Any) -> NDArray[Any]:
        where = f"{self.path}:{printable(name)}"
        if self._pa.types.is_dictionary(values.type):
            words = self._words(name, values.dictionary)
            check(where, words=(len(values), words.dtype.itemsize // 4))
            return words[values.indices.to_numpy(zero_copy_only=False)] if len(words) else np.empty(0, str)
        from pyarrow import compute

        if self._pa.types.is_string_view(values.type):
            values = values.cast(self._pa.large_string())
        # Before they become Python's strings, which take more.
        check(where, words=(len(values), compute.max(compute.utf8_length(values)).as_py() or 0))
        return text_array(values.to_pylist(), where)

    def _lists(self, name: str, values: Any, column: Column, row: int) -> NDArray[Any]:
        width = column.shape[0]
        if not self._pa.types.is_fixed_size_list(values.type):
            lengths = np.diff(values.offsets.to_numpy())
            odd = np.flatnonzero(lengths != width)
            if odd.size:
                raise FileFormatError(
                    f"{self.path}: the lists of the column {printable(name)!r} must be of one length, but row "
                    f"{row + int(odd[0])} has {int(lengths[odd[0]])} values and the first has {width}."
                )
        flat = values.flatten()
        if flat.null_count:
            missing = row + flat.is_null().index(True).as_py() // max(width, 1)
            raise FileFormatError(f"{self.path}: row {missing} of the column {printable(name)!r} has a missing value.")
        return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(values), width)


def _list_length(types: Any, kind: Any, first: Any) -> int:
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    if first is None or not len(first) or not first[0].is_valid:
        return 0
    return len(first[0])
