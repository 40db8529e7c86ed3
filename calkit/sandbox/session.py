"""Reading untrusted files in a process of its own, within limits of memory and time.

The process (:mod:`calkit.sandbox.child`) opens the file and describes its arrays; each array that is wanted it
writes to a file without a name, which this process maps into memory. What comes back is checked and never unpickled. No
reader has to know what its library does with a file that lies: whatever it does, it does there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from calkit import errors
from calkit.containers.container import Container, Field
from calkit.containers.sources import mapped
from calkit.errors import CalkitError, FileFormatError, UsageError
from calkit.hardening.limits import MAX_LINE_BYTES, check, format_bytes
from calkit.lazy import Converted

__all__ = ["Sandbox", "as_sandbox", "open_isolated", "open_sandboxed"]

# What reads files stands above this module, and is imported by the process alone.
_PROGRAM = "from calkit.io import open_container; from calkit.sandbox.child import serve; serve(open_container)"

_MARK = "CALKIT_SANDBOXED"

# Threads would each take memory of their own; the allocator of Arrow reserves a gigabyte at once.
_FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", _MARK: "1"}

# Long files take longer.
_BYTES_PER_SECOND = 4_000_000

# What the description of the largest file takes: names of arrays and of the classes.
_MAX_ANSWER_BYTES = 8 * MAX_LINE_BYTES

# Bytes for a file that is merely isolated, and for each of its own.
_AMPLE, _AMPLE_SHARE = 2 << 30, 32

# Types of the arrays that come back: numbers, dates and text.
_KINDS = frozenset("biufcMmSU")


@dataclass(frozen=True)
class Sandbox:
    """Limits of the process that reads a file.

    Attributes
    ----------
    memory : int
        Bytes it may set aside beyond what Python and NumPy take.
    seconds : float
        How long it may take to open the file, and to read each array; one more for every 4 MB of the file.

    Examples
    --------
    >>> from calkit.io import Sandbox
    >>> Sandbox(memory=500_000_000).seconds
    60.0
    """

    memory: int = 2 << 30
    seconds: float = 60.0

    def __str__(self) -> str:
        return f"{format_bytes(self.memory)} and {self.seconds:g} s"


def as_sandbox(sandbox: bool | Sandbox, *, trust_pickle: bool = False) -> Sandbox | None:
    """Return the limits that an argument stands for, or None; refuse what they would not make safe."""
    if not sandbox:
        return None
    if trust_pickle:
        raise UsageError(
            "sandbox and trust_pickle exclude each other (--sandbox, --trust-pickle): the sandbox bounds memory and "
            "time, but code in a pickle could still read and write your files. Choose one."
        )
    if not _is_possible():
        raise UsageError(
            f"the sandbox needs limits of memory, which this platform ({sys.platform}) does not have. Read the file in "
            "a virtual machine or a container, or without sandbox=True (--sandbox) if you trust it."
        )
    return Sandbox() if sandbox is True else sandbox


def _is_possible() -> bool:
    """Tell whether this platform may have limits of memory; the process that reads finds out whether they are kept."""
    return importlib.util.find_spec("resource") is not None


def _inside() -> bool:
    """Tell whether this process is one that reads in a sandbox."""
    return _MARK in os.environ


def open_isolated(path: Path, file_format: str) -> Container | None:
    """Open a file whose library is known to end the process, or never to end, where a file is damaged.

    Its limits leave room for any honest file. None if this process reads in a sandbox already, or there can be none.
    """
    if _inside() or not _is_possible():
        return None
    return open_sandboxed(path, Sandbox(memory=_AMPLE + _AMPLE_SHARE * path.stat().st_size), file_format)


def open_sandboxed(path: Path, sandbox: Sandbox, file_format: str | None = None) -> Container:
    """Open a file in a process of its own, as :func:`calkit.io.open_container` does in this one."""
    session = _Session(path, sandbox)
    found = session.ask({"open": str(path), "format": file_format})
    fields = [session.field(item) for item in found["fields"]]
    check(path, arrays=len(fields))
    stack = session.stack if found["stack"] else None
    return Container(path, str(found["format"]), {f.name: f for f in fields}, named=bool(found["named"]), stack=stack)


class _Session:
    """The process that reads a file, for as long as anything may be asked of it."""

    def __init__(self, path: Path, sandbox: Sandbox) -> None:
        self._path = path
        size = path.stat().st_size if path.is_file() else 0
        self._sandbox = sandbox = replace(sandbox, seconds=round(sandbox.seconds + size / _BYTES_PER_SECOND, 1))
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the session
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno())]
        command += [str(sandbox.memory), str(sandbox.seconds)]
        # Its own group of processes: Ctrl-C ends this process, which ends that one.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **_FRUGAL, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)},
            start_new_session=True,
        )
        theirs.close()
        ours.settimeout(sandbox.seconds)
        self._channel = ours
        self._answers = ours.makefile("rb")
        self._end = weakref.finalize(self, _end, self._process, ours, self._answers, self._said)

    def ask(self, request: dict[str, Any], file: IO[bytes] | None = None) -> dict[str, Any]:
        """Return the answer to a request; a file that is passed with it is written there."""
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            answer = self._exchange(line, file)
        if "error" in answer:
            kind, message = answer["error"]
            found = getattr(errors, str(kind), None)
            known = isinstance(found, type) and issubclass(found, CalkitError)
            raise (found if known else FileFormatError)(str(message))  # type: ignore[misc]
        return answer

    def _exchange(self, line: bytes, file: IO[bytes] | None) -> dict[str, Any]:
        try:
            socket.send_fds(self._channel, [line[:1]], [] if file is None else [file.fileno()])
            self._channel.sendall(line[1:])
            said = self._answers.readline(_MAX_ANSWER_BYTES)
            answer: dict[str, Any] = json.loads(said) if said.endswith(b"\n") else {}
        except TimeoutError:
            raise self._stopped(f"took more than {self._sandbox.seconds:g} s") from None
        except (OSError, ValueError):
            answer = {}
        if not answer:
            raise self._stopped(self._death())
        return answer

    def _death(self) -> str:
        """Return how the process ended."""
        try:
            code = self._process.wait(self._sandbox.seconds)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        if code == -signal.SIGXCPU:
            return f"took more than {self._sandbox.seconds:g} s"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"failed: {' '.join(lines[-1].split())[:200]}" if lines else f"ended with code {code}"

    def _stopped(self, why: str) -> FileFormatError:
        self._end()
        return FileFormatError(
            f"{self._path} is not read: in the sandbox of {self._sandbox}, the process that read it {why}. It is "
            "damaged or hostile. A file of your own can be read without sandbox=True (--sandbox), or with "
            "higher limits: sandbox=calkit.io.Sandbox(memory=…, seconds=…)."
        )

    def field(self, said: dict[str, Any]) -> Field:
        """Return the field that the process describes."""
        shape, dtype = tuple(map(int, said["shape"])), np.dtype(str(said["dtype"]))
        check(self._path, name=said["name"], columns=len(said["columns"]))
        columns, members = tuple(map(str, said["columns"])), tuple(map(str, said["members"]))
        load = partial(self.load, int(said["number"]))
        return Field(str(said["name"]), shape, dtype, load, columns, str(said["note"]), said["itemsize"], members)

    def stack(self, names: Sequence[str]) -> Field:
        """Return the matrix that columns make."""
        return self.field(self.ask({"stack": list(names)}))

    def load(self, number: int) -> Any:
        """Return an array, mapped from a file that the process wrote."""
        with tempfile.TemporaryFile() as file:
            said = self.ask({"load": number}, file)
            shape, dtype = tuple(map(int, said["shape"])), np.dtype(str(said["dtype"]))
            if dtype.kind not in _KINDS:
                raise FileFormatError(f"the sandbox gave back values of type {dtype}, which is not expected.")
            # The file has no name: it is gone when nothing refers to the map any more.
            values = mapped(file, shape, dtype)
        itemsize = int(said["itemsize"])
        if itemsize == dtype.itemsize or not shape:
            return values
        return Converted(values, np.asarray, shape, dtype, itemsize)


def _end(process: subprocess.Popen[bytes], *open_files: Any) -> None:
    process.kill()
    process.wait()
    for item in open_files:
        item.close()
