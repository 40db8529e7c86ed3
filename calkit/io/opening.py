"""open_container: whatever the user names, as named arrays."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from calkit.containers.container import Container, Field
from calkit.errors import CalkitError, FileFormatError
from calkit.hardening.guard import reading
from calkit.hardening.limits import check, format_bytes
from calkit.hardening.unchanged import Stamp
from calkit.io.address import STDIN, shard_paths, spool
from calkit.io.formats import FORMATS, Format, check_libraries, format_of_file, format_of_stream
from calkit.io.joined import files_of_folder, join_files
from calkit.roles.families import grouped
from calkit.runs import RunFolder, is_run_folder
from calkit.sandbox.session import Sandbox, as_sandbox, open_sandboxed

__all__ = ["open_container"]

_LFS_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?size (\d{1,18})\s*$")
_LFS_BYTES = 1024


def open_container(
    path: str | Path,
    *,
    file_format: str | None = None,
    trust_pickle: bool = False,
    sandbox: bool | Sandbox = False,
) -> Container:
    """Open a file as far as to know which arrays it holds.

    Parameters
    ----------
    path : str or Path
        A file; a folder of files, or one that is a format itself (Zarr, Hugging Face datasets); the folder of a
        training run, which stands for the logits of its final network; a pattern
        (``logits-*.npz``); the common name of numbered files; ``-`` for standard input.
    file_format : str, optional
        Name of the format, where neither suffix nor first bytes tell.
    trust_pickle : bool, default=False
        Read pickles too. They can run any code: only for files of your own.
    sandbox : bool or Sandbox, default=False
        Read in a process of its own with limits of memory and time, for untrusted files.

    Returns
    -------
    Container

    Raises
    ------
    FileFormatError
        If the file is missing, cannot be read, or is not what its suffix says.
    UsageError
        If there can be no sandbox on this platform, or pickles are to be trusted in it.
    MissingDependencyError
        If reading it needs a library that is not installed.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from calkit.io import open_container
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "run.npz"
    ...     np.savez(path, logits=np.eye(3), labels=np.arange(3))
    ...     open_container(path).listing()
    'logits (3×3 float64), labels (3 int64)'
    """
    return grouped(_opened(Path(path), file_format, as_sandbox(sandbox, trust_pickle=trust_pickle), trust_pickle))


def _opened(path: Path, file_format: str | None, limits: Sandbox | None, trust_pickle: bool) -> Container:
    with reading(path, ""):
        if str(path) != STDIN and is_run_folder(path):
            path = RunFolder(path).logits()
        is_stream = str(path) == STDIN or path.is_fifo()
    form = None if file_format is None else FORMATS[file_format]
    if is_stream:
        return _from_stream(path, form, limits, trust_pickle=trust_pickle)
    if limits is not None:
        return open_sandboxed(path, limits, file_format)
    return _open_files(path, form, trust_pickle=trust_pickle)


def _open_files(path: Path, form: Format | None, *, trust_pickle: bool) -> Container:
    def read(one: Path) -> Container:
        return _read(one, form, trust_pickle=trust_pickle)

    shards = shard_paths(path)
    if shards:
        return join_files(path, shards, read)
    with reading(path, ""):
        is_folder = stat.S_ISDIR(_mode(path))
    if not is_folder:
        return read(path)
    folder_form = form or next((known for known in FORMATS.values() if known.matches_folder(path)), None)
    if folder_form is not None and folder_form.matches_folder(path):
        return _open(path, folder_form, Stamp.of(path), trust_pickle=trust_pickle)
    return join_files(path, files_of_folder(path), read)


def _mode(path: Path) -> int:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        why = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise FileFormatError(f"{path} {why}. Check the name.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileFormatError(f"{path} is neither a file nor a folder but a device.")
    return mode


def _read(path: Path, form: Format | None, *, trust_pickle: bool) -> Container:
    with reading(path, ""):
        stamp = Stamp.of(path)
        with stamp.kept():
            _check_holds_data(path)
            form = form or format_of_file(path)
    return _open(path, form, stamp, trust_pickle=trust_pickle)


def _check_holds_data(path: Path) -> None:
    if not path.stat().st_size:
        raise FileFormatError(f"{path} is empty. Write it again.")
    with path.open("rb") as stream:
        pointer = _LFS_POINTER.match(stream.read(_LFS_BYTES))
    if pointer:
        raise FileFormatError(
            f"{path} is a pointer of Git LFS, which stands for data ({format_bytes(int(pointer[1]))}) that are kept "
            f"elsewhere. Fetch them: git lfs pull --include {path.name!r}."
        )


def _open(path: Path, form: Format, stamp: Stamp, *, trust_pickle: bool) -> Container:
    check_libraries(form, path)
    with stamp.kept(), reading(path, form.what):
        container = form.read_trusted(path) if trust_pickle else form.read(path)
        if not form.is_text and not trust_pickle:
            check(path, stored=_stored(path), nbytes=sum(item.nbytes for item in container.fields.values()))
    return container.guarded(form.what, stamp)


def _stored(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _from_stream(path: Path, form: Format | None, limits: Sandbox | None, *, trust_pickle: bool) -> Container:
    copy = spool(path, form.what if form else "")
    with _named_as(path, copy):
        with reading(path, ""):
            _check_holds_data(copy)
            form = form or format_of_stream(copy)
        if limits is None:
            container = _read(copy, form, trust_pickle=trust_pickle)
        else:
            container = open_sandboxed(copy, limits, form.name)
    fields = {name: replace(item, load=partial(_load, path, copy, item)) for name, item in container.fields.items()}
    return replace(container, path=path, fields=fields)


def _load(path: Path, copy: Path, item: Field) -> Any:
    with _named_as(path, copy):
        return item.load()


@contextmanager
def _named_as(path: Path, copy: Path) -> Iterator[None]:
    """Name the stream that the user knows of in errors, not its copy."""
    try:
        yield
    except CalkitError as error:
        name = "standard input" if str(path) == STDIN else str(path)
        raise type(error)(str(error).replace(str(copy), name)) from None
