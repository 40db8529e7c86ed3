"""safetensors: named tensors mapped into memory; a header in JSON, then their bytes, and nothing to execute.

The format is simple enough to be read and written without its library.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.containers.sources import mapped
from calkit.hardening.guard import damaged
from calkit.hardening.limits import MAX_HEADER_BYTES, check
from calkit.io.bfloat16 import bfloat16_field
from calkit.io.formats.base import FORMATS, WritableFormat
from calkit.lazy import row_blocks
from calkit.predictions import Predictions
from calkit.roles.writing import fields_of

__all__ = ["Safetensors"]

_WHAT = ".safetensors"
_ALIGNMENT = 8
_BFLOAT16 = "BF16"
_CLASS_NAMES = "class_names"

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}


class Safetensors(WritableFormat):
    """Named tensors, bfloat16 too."""

    name = "safetensors"
    suffixes = (".safetensors",)

    def matches(self, head: bytes) -> bool:
        """Tell by the length of the header, which comes first, and the brace that opens it."""
        return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES

    def read(self, path: Path) -> Container:
        """Read the header; tensors are mapped when loaded."""
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise damaged(path, _WHAT, f"its header should have {length} bytes")
            header = json.loads(stream.read(length))
        if not isinstance(header, dict):
            raise damaged(path, _WHAT, "its header is no table")
        metadata = header.pop("__metadata__", {})
        check(path, arrays=len(header))
        fields = [_field(path, name, entry, 8 + length, size) for name, entry in header.items()]
        if _CLASS_NAMES in metadata and _CLASS_NAMES not in header:
            words = json.loads(metadata[_CLASS_NAMES])
            numbers = all(type(word) is int for word in words)
            names = np.array(words if numbers else list(map(str, words)))
            fields.append(Field.of(_CLASS_NAMES, names))
        return Container(path, self.name, by_name(path, fields))

    def write(self, path: Path, predictions: Predictions) -> None:
        """Write tensors named after what they are; names of classes, being text, go to the header."""
        fields = fields_of(predictions, text=False)
        classes = fields.pop(_CLASS_NAMES, None)
        header: dict[str, Any] = {}
        if classes is not None:
            header["__metadata__"] = {_CLASS_NAMES: json.dumps(classes.tolist())}
        end = 0
        for name, values in fields.items():
            start, end = end, end + math.prod(values.shape) * values.dtype.itemsize
            kind = _NAMES[np.dtype(values.dtype).newbyteorder("<")]
            header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        with path.open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for values in fields.values():
                for block in row_blocks(values):
                    little = block.astype(block.dtype.newbyteorder("<"), copy=False)
                    stream.write(np.ascontiguousarray(little).data)


def _field(path: Path, name: str, entry: Any, offset: int, size: int) -> Field:
    kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, start, end)) or offset + end > size or start > end:
        raise damaged(path, _WHAT, f"the tensor {name[:80]!r} lies outside the file")
    if kind == _BFLOAT16:
        dtype = np.dtype("<u2")
    elif kind in _TYPES:
        dtype = np.dtype(_TYPES[kind])
    else:
        return unreadable(path, name, shape, f"values of type {str(kind)[:20]}", "Convert them to float32.")
    if math.prod(shape) * dtype.itemsize != end - start:
        raise damaged(path, _WHAT, f"the tensor {name[:80]!r} has {end - start} bytes, which its shape does not fit")
    load = partial(mapped, path, shape, dtype, offset + start)
    return bfloat16_field(name, shape, load) if kind == _BFLOAT16 else Field(name, shape, dtype, load)


FORMATS.register("safetensors")(Safetensors())
