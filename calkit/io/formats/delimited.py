"""Text with separated columns, one row a sample, with a header that names the columns.

A file without a header is one matrix, named after it. Whatever the suffix, commas, semicolons, tabs and bars separate
if they do so in the first line; single spaces if it holds nothing but numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container
from calkit.io.csv_table import CsvTable
from calkit.io.formats.base import FORMATS, WritableFormat
from calkit.io.tables import table_container
from calkit.io.text import open_text, with_compressions
from calkit.predictions import Predictions
from calkit.roles.writing import column_blocks, column_names

__all__ = ["Csv", "Tsv"]


class _Delimited(WritableFormat):
    is_text = True
    delimiter: ClassVar[str]

    def read(self, path: Path) -> Container:
        """Read the header and count the rows."""
        table = CsvTable(path, self.name, self.delimiter)
        return table_container(table, self.name, named=table.has_header)

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write a column per class, named after the classes, then the labels."""
        # An option of NumPy prints fewer digits.
        with open_text(path) as stream, np.printoptions(legacy=False):
            writer = csv.writer(stream, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(column_names(predictions))
            for columns in column_blocks(predictions):
                writer.writerows(zip(*map(_written, columns), strict=True))


def _written(column: NDArray[Any]) -> Sequence[Any]:
    """Return numbers such that each is written in as few digits as give it back in its own type: 0.3, not 0.30005."""
    return list(map(str, column)) if column.dtype.kind == "f" and column.dtype.itemsize < 8 else column.tolist()


class Csv(_Delimited):
    """A header and a row a sample; without a header, one matrix."""

    name = "csv"
    suffixes = with_compressions(".csv", ".txt")
    delimiter = ","


class Tsv(_Delimited):
    """The same, separated by tabs."""

    name = "tsv"
    suffixes = with_compressions(".tsv")
    delimiter = "\t"


FORMATS.register("csv")(Csv())
FORMATS.register("tsv")(Tsv())
