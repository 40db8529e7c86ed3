"""The other side of :mod:`calkit.sandbox.session`: a process that reads one file under limits of memory and time.

Requests and answers are lines of JSON on a socket, whose number is the first argument; with a request for an array
comes a file, into which its bytes are written.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from calkit.containers.container import Container, Field
from calkit.errors import CalkitError, FileFormatError, UsageError
from calkit.lazy import row_blocks

__all__ = ["serve"]

_PIECE_BYTES = 1 << 16

# Bytes that may be written: bombs of which little memory is needed would fill the disk.
_MAX_SHARE = 20


def serve(open_container: Callable[..., Container]) -> None:
    """Answer requests until the other side closes the socket; files are opened by a function of path and format."""
    number, memory, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with socket.socket(fileno=number) as channel:
        server = _Server(open_container, memory)
        for request, file in _requests(channel):
            _limit_time(seconds)
            channel.sendall(json.dumps(_tried(server.answer, request, file)).encode() + b"\n")


def _requests(channel: socket.socket) -> Iterator[tuple[dict[str, Any], IO[bytes] | None]]:
    """Yield requests, each with the file that came with it."""
    held = b""
    files: list[int] = []
    while True:
        piece, came, _, _ = socket.recv_fds(channel, _PIECE_BYTES, 1)
        if not piece:
            return
        held, files = held + piece, files + came
        if held.endswith(b"\n"):
            if files:
                with os.fdopen(files[0], "wb") as file:
                    yield json.loads(held), file
            else:
                yield json.loads(held), None
            held, files = b"", []


def _tried(answer: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    try:
        return answer(*arguments)
    except CalkitError as error:
        return {"error": [type(error).__name__, str(error)]}
    except MemoryError:
        return {"error": ["FileFormatError", "reading in the sandbox takes more memory than its limit."]}


class _Server:
    """One file: opened first, then asked for its arrays."""

    def __init__(self, open_container: Callable[..., Container], memory: int) -> None:
        self._open_container, self._memory = open_container, memory
        self._container: Any = None
        self._fields: list[Field] = []

    def answer(self, request: dict[str, Any], file: Any) -> dict[str, Any]:
        """Return the answer to a request."""
        if "open" in request:
            return self._open(Path(request["open"]), request["format"])
        if "stack" in request:
            return self._described(self._container.stack(request["stack"]))
        return _written(self._fields[request["load"]], file)

    def _open(self, path: Path, file_format: str | None) -> dict[str, Any]:
        _limit_memory(self._memory)
        _limit_disk(path, self._memory)
        self._container = container = self._open_container(path, file_format=file_format)
        fields = [self._described(item) for item in container.fields.values()]
        stack = container.stack is not None
        return {"format": container.format, "named": container.named, "stack": stack, "fields": fields}

    def _described(self, item: Field) -> dict[str, Any]:
        self._fields.append(item)
        plain = {word: getattr(item, word) for word in ("name", "shape", "columns", "note", "itemsize", "members")}
        return {"number": len(self._fields) - 1, "dtype": item.dtype.str, **plain}


def _written(item: Field, file: IO[bytes]) -> dict[str, Any]:
    """Write the bytes of an array, and say what they are."""
    values = item.load()
    if values.dtype.hasobject:
        raise FileFormatError(f"{item.name} holds Python objects, which the sandbox does not hand on.")
    for block in row_blocks(values) if values.shape else [np.asarray(values)]:
        _put(file, block.tobytes(), item.name)
    itemsize = getattr(values, "itemsize", values.dtype.itemsize)
    return {"shape": values.shape, "dtype": values.dtype.str, "itemsize": itemsize}


def _put(file: IO[bytes], data: bytes, name: str) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        why = error.strerror or error
        raise FileFormatError(
            f"the array {name!r} cannot be handed out of the sandbox: {why}. Set TMPDIR to a folder that has room."
        ) from None


def _limit_memory(memory: int) -> None:
    import resource

    statm = Path("/proc/self/statm")
    # On Linux, of this process's own pages only: maps of files take no memory that others need.
    kind = resource.RLIMIT_DATA if statm.exists() else resource.RLIMIT_AS
    taken = int(statm.read_text().split()[5]) * mmap.PAGESIZE if statm.exists() else 0
    try:
        resource.setrlimit(kind, (taken + memory, taken + memory))
    except (OSError, ValueError, OverflowError) as error:
        raise _without_limits(str(error)) from None
    try:
        # Some systems know the limit and do not keep it.
        mmap.mmap(-1, taken + memory + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    else:
        raise _without_limits("they are not kept")


def _without_limits(why: str) -> UsageError:
    return UsageError(
        f"the sandbox needs limits of memory, which this platform ({sys.platform}) does not have: {why}. Read the file "
        "in a virtual machine or a container, or without sandbox=True (--sandbox) if you trust it."
    )


def _limit_time(seconds: float) -> None:
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _limit_disk(path: Path, memory: int) -> None:
    import resource

    files = [path] if path.is_file() else path.rglob("*") if path.is_dir() else path.parent.glob("*")
    most = max(memory, _MAX_SHARE * sum(file.stat().st_size for file in files if file.is_file()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
