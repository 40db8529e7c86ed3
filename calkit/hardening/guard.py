"""Whatever a library says of a bad file, the user hears one clear error."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calkit.errors import CalkitError, FileFormatError, MissingDependencyError

__all__ = ["damaged", "extra_of", "need", "reading"]


def damaged(where: Path | str, what: str, reason: object) -> FileFormatError:
    """Return the error for a file that is truncated, altered, or not what its suffix says."""
    text = " ".join(str(reason).split())[:300] or type(reason).__name__
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    kind = f"{what} file" if what else "file"
    return FileFormatError(f"{where} is not a readable {kind}: {text.rstrip('.')}. Is it complete?")


@contextlib.contextmanager
def reading(where: Path | str, what: str) -> Iterator[None]:
    """Turn every error of the block into one that names the file; calkit's own pass as they are.

    Parameters
    ----------
    where : Path or str
        The file, or the array of it.
    what : str
        What it should be: ``".npz"``.

    Raises
    ------
    FileFormatError
        In place of any other exception (a broken pipe apart). Libraries meet damaged files with whatever comes to hand
        (KeyError, RuntimeError, UnicodeDecodeError, …), so no list of types would be complete; the original is its
        cause.
    """
    try:
        yield
    except (CalkitError, BrokenPipeError):
        # A broken pipe is no fault of a file: the reader of our output has gone.
        raise
    except MemoryError as error:
        raise FileFormatError(
            f"{where} asks for more memory than there is; it is damaged, or too large to read in this format."
        ) from error
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise damaged(where, what, error) from error
        raise FileFormatError(f"cannot read {where}: {error.strerror}.") from error
    except Exception as error:
        raise damaged(where, what, error) from error


# The extras of calkit that install libraries; formats of other packages may need others.
_EXTRAS = {"torch": "torch", "h5py": "formats", "pyarrow": "formats", "safetensors": "formats", "zarr": "formats"}


def extra_of(library: str) -> str:
    """Return the extra of calkit that installs a library; empty if none does."""
    return _EXTRAS.get(library, "")


def _requirement(library: str) -> str:
    extra = extra_of(library)
    return f"'calkit-calibration[{extra}]'" if extra else library


def need(module: str, where: Path | str, what: str) -> Any:
    """Import an optional library.

    Parameters
    ----------
    module : str
        Its import name: ``"pyarrow.parquet"``.
    where : Path or str
        The file that needs it.
    what : str
        Its format: ``".parquet"``.

    Returns
    -------
    module

    Raises
    ------
    MissingDependencyError
        If it is not installed; the message names what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.split(".")[0]
        raise MissingDependencyError(
            f"{where}: {what} files need {library}, which cannot be imported ({error}). "
            f"Install it: pip install {_requirement(library)}."
        ) from error
