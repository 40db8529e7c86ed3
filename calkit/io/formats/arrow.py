"""Arrow and Feather files, and folders that Hugging Face datasets saves: mapped record batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calkit.containers.container import Container, Field, by_name
from calkit.errors import FileFormatError
from calkit.hardening.guard import reading
from calkit.hardening.limits import MAX_HEADER_BYTES, check
from calkit.io.arrow_tables import ArrowTable
from calkit.io.formats.base import FORMATS, Format
from calkit.io.tables import table_container, table_fields
from calkit.names import read_name

__all__ = ["Arrow", "HuggingFace"]

_WHAT = ".arrow"
_FILE_MAGIC = b"ARROW1"
_STREAM_MAGIC = b"\xff\xff\xff\xff"


class Arrow(Format):
    """A column per class, or a column of lists, in record batches; Feather is one."""

    name = "arrow"
    suffixes = (".arrow", ".feather", ".ipc")
    requires = ("pyarrow", "pyarrow.ipc")
    magic: ClassVar[tuple[bytes, ...]] = (_FILE_MAGIC, _STREAM_MAGIC)

    def read(self, path: Path) -> Container:
        """Read the schema and the lengths of the record batches."""
        return table_container(_ArrowTable(path, [path]), self.name)


class HuggingFace(Format):
    """What ``save_to_disk`` of Hugging Face ``datasets`` writes, splits and class names too."""

    name = "datasets"
    suffixes = ()
    requires = ("pyarrow", "pyarrow.ipc")
    folder_marks = ("state.json", "dataset_dict.json")

    def read(self, path: Path) -> Container:
        """Read the schemas; the arrays of a split are ``split/column``."""
        if (path / "dataset_dict.json").is_file():
            splits = _members(path, _read_json(path / "dataset_dict.json").get("splits", []))
            fields = [item.renamed(f"{split.name}/{item.name}") for split in splits for item in self._dataset(split)]
        else:
            fields = self._dataset(path)
        return Container(path, self.name, by_name(path, fields))

    def _dataset(self, path: Path) -> list[Field]:
        files = _members(path, [entry["filename"] for entry in _read_json(path / "state.json")["_data_files"]])
        if not files:
            raise FileFormatError(f"{path} lists no data files.")
        fields = list(table_fields(_ArrowTable(path, files)).values())
        info = path / "dataset_info.json"
        features = _read_json(info).get("features") or {} if info.is_file() else {}
        for name, feature in features.items():
            meaning = read_name(name)
            if meaning and meaning.role == "labels" and feature.get("_type") == "ClassLabel":
                fields.append(Field.of("class_names", np.array(list(map(str, feature["names"])), dtype=str)))
                break
        return fields


class _ArrowTable(ArrowTable):
    what = _WHAT

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._files = files
        with reading(files[0], _WHAT):
            schema = self._reader(files[0], None).schema
            first = next(self._read(files[0], None), None)
            if first is not None:
                first.validate(full=True)
        check(path, columns=len(schema))
        self._indices = {name: index for index, name in enumerate(schema.names)}
        # The first column is enough to count rows, and in compressed files all that is unpacked for it.
        lengths = [sum(batch.num_rows for batch in self._read(file, [0])) for file in files]
        self._describe(schema, first, lengths)

    def _batches(self, part: int, names: Sequence[str], rows: int) -> Iterator[Any]:
        included = sorted(self._indices[name] for name in names)
        for file in self._files[part:]:
            for batch in self._read(file, included):
                yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))

    def _read(self, file: Path, included: list[int] | None) -> Iterator[Any]:
        with reading(file, _WHAT):
            reader = self._reader(file, included)
            if hasattr(reader, "num_record_batches"):
                yield from map(reader.get_batch, range(reader.num_record_batches))
            else:
                yield from reader

    def _reader(self, file: Path, included: list[int] | None) -> Any:
        from pyarrow import ipc, memory_map

        mapped = memory_map(str(file))
        options = ipc.IpcReadOptions(included_fields=included, use_threads=False)
        opened = ipc.open_file if mapped.read(len(_FILE_MAGIC)) == _FILE_MAGIC else ipc.open_stream
        mapped.seek(0)
        return opened(mapped, options=options)


def _members(folder: Path, names: Sequence[object]) -> list[Path]:
    """Return the files or folders that a folder's own index names; they must lie in it, and each be named once."""
    words = [str(name) for name in names]
    for word in words:
        if Path(word).name != word or word in ("", ".."):
            raise FileFormatError(f"{folder} refers to {word[:80]!r}, which is outside of it.")
    if len(set(words)) < len(words):
        raise FileFormatError(f"{folder} refers to the same file more than once. Is it damaged?")
    return [folder / word for word in words]


def _read_json(path: Path) -> Any:
    with reading(path, ".json"), path.open("rb") as stream:
        return json.loads(stream.read(MAX_HEADER_BYTES))


FORMATS.register("arrow")(Arrow())
FORMATS.register("datasets")(HuggingFace())
