"""Parquet: a column per class or one column of lists; read a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calkit.containers.container import Container
from calkit.hardening.limits import MAX_COLUMNS, check
from calkit.io.arrow_tables import ArrowTable
from calkit.io.formats.base import FORMATS, WritableFormat
from calkit.io.tables import table_container
from calkit.predictions import Predictions
from calkit.roles.writing import column_blocks, column_names

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
        return table_container(_ParquetTable(path), self.name)

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


class _ParquetTable(ArrowTable):
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
            first = next(file.iter_batches(1, use_threads=False), None) if metadata.num_rows else None
            self._describe(file.schema_arrow, first, lengths)

    def _batches(self, part: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        with self._open() as file:
            groups = range(part, file.metadata.num_row_groups)
            yield from file.iter_batches(rows, row_groups=groups, columns=list(names), use_threads=False)

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


FORMATS.register("parquet")(Parquet())
