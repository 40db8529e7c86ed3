"""Parquet: a column per class or one column of lists; read a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container
from calkit.hardening.limits import BLOCK_BYTES, MAX_COLUMNS, check
from calkit.io.arrow_tables import ArrowColumns
from calkit.io.fields import column_blocks, column_names
from calkit.io.formats.base import FORMATS, WritableFormat
from calkit.io.tables import Table, stack_columns, table_fields
from calkit.predictions import Predictions

__all__ = ["Parquet"]

_WHAT = ".parquet"

_MAX_HEADER_BYTES = 64 << 20


class Parquet(WritableFormat):
    """A column per class, or a column of lists."""

    name = "parquet"
    suffixes = (".parquet", ".pq")
    requires = ("pyarrow", "pyarrow.parquet")
    magic: ClassVar[tuple[bytes, ...]] = (b"PAR1",)

    def read(self, path: Path) -> Container:
        """Read the schema and the sizes of the row groups."""
        table = _ParquetTable(path)
        return Container(path, self.name, table_fields(table), stack=partial(stack_columns, table))

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write a column per class, named after the classes, then the labels, in row groups of a few megabytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = column_names(predictions)
        with ExitStack() as stack:
            writer = None
            for columns in column_blocks(predictions):
                batch = pa.record_batch([pa.array(np.ascontiguousarray(column)) for column in columns], names=names)
                writer = writer or stack.enter_context(pq.ParquetWriter(path, batch.schema))
                writer.write_batch(batch)


class _ParquetTable(Table):
    what = _WHAT

    def __init__(self, path: Path) -> None:
        self.path = path
        self._texts: list[str] = []
        with self._open() as file:
            metadata = file.metadata
            check(path, columns=len(file.schema_arrow))
            self._texts = [item.name for item in file.schema_arrow if str(item.type) in ("string", "large_string")]
        with self._open() as file:
            lengths = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
            if min(lengths, default=0) < 0 or sum(lengths) != metadata.num_rows:
                raise ValueError("the row groups do not add up to the rows announced")
            self.n_rows = metadata.num_rows
            self._arrow = ArrowColumns(path, file.schema_arrow, self._first(file) if self.n_rows else None)
        self.columns = self._arrow.columns
        self.starts = [0, *np.cumsum(lengths).tolist()[:-1]] if lengths else [0]

    def blocks(self, start: int, names: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield batches of the row groups from ``start`` on."""
        with self._open() as file:
            group = max(index for index, row in enumerate(self.starts) if row == start)
            rows = max(1, BLOCK_BYTES // self._row_bytes(names))
            groups = range(group, file.metadata.num_row_groups)
            batches = file.iter_batches(rows, row_groups=groups, columns=list(names), use_threads=False)
            row = start
            for batch in batches:
                yield self._arrow.arrays(batch, names, row)
                row += batch.num_rows

    def _open(self) -> Any:
        from pyarrow.parquet import ParquetFile

        return ParquetFile(
            self.path,
            # Mapped, a page that claims to be larger than the file is found out before memory is set aside for it.
            memory_map=True,
            pre_buffer=False,
            thrift_string_size_limit=_MAX_HEADER_BYTES,
            thrift_container_size_limit=MAX_COLUMNS * 8,
            arrow_extensions_enabled=False,
            # A text that is stored once and meant many times stays so.
            read_dictionary=self._texts,
        )

    def _first(self, file: Any) -> Any:
        return next(file.iter_batches(1, use_threads=False), None)

    def _row_bytes(self, names: Sequence[str]) -> int:
        columns = [self.columns[name] for name in names]
        return sum(column.dtype.itemsize * int(np.prod(column.shape)) or 8 for column in columns) or 8


FORMATS.register("parquet")(Parquet())
