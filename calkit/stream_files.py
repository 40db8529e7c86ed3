"""The file of a stream: a header of options, and the arrays of its sums."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from calkit.atomic import atomic_write
from calkit.errors import FileFormatError
from calkit.predictions import Kind, Predictions
from calkit.stats.stored import from_arrays, read_arrays, to_arrays

__all__ = ["INTERVAL_OPTIONS", "one_row", "read_stream", "reading_stream", "rebuilt", "write_stream"]

S = TypeVar("S")

_FORMAT = "calkit-stream"
_VERSION = 1
_HEADER = "header"

#: Options that say how intervals are found.
INTERVAL_OPTIONS = ("confidence_level", "n_resamples", "random_state")


def write_stream(path: str | Path, header: Mapping[str, Any], summaries: Sequence[Any]) -> None:
    """Write a header and the summaries there are to a file in NumPy's .npz format, whole or not at all."""
    text = json.dumps({"format": _FORMAT, "version": _VERSION, **header})
    counted = [(number, summary) for number, summary in enumerate(summaries) if summary is not None]
    arrays = {f"{n}.{name}": value for n, summary in counted for name, value in to_arrays(summary).items()}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_HEADER: np.array(text), **arrays})


def read_stream(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the header and the arrays of a file; headers of earlier releases are completed.

    Raises
    ------
    ValueError
        If the file does not say that it is one of a stream.
    """
    arrays = dict(read_arrays(Path(path)))
    header = json.loads(str(arrays.pop(_HEADER, "{}")))
    if (header.get("format"), header.get("version")) != (_FORMAT, _VERSION):
        raise ValueError(f"it does not say that it is a {_FORMAT} of version {_VERSION}")
    if "intervals" in header:
        # Files of before targets: their sums, also those of one column, are of the top label.
        header |= zip(INTERVAL_OPTIONS, header["intervals"], strict=True)
        header.setdefault("one_column", False if arrays else None)
    # Files of before floors have none, but with intervals.
    header.setdefault("floors", header.get("confidence_level") is not None)
    return header, arrays


def one_row(kind: Kind, n_classes: int, by: str | None, *, multilabel: bool) -> Predictions:
    """Return a single row such as a stream has, whose summaries are the pattern of those of the stream."""
    row: Any = [1.0] if kind == "confidence" else [[1.0] + [0.0] * (n_classes - 1)]
    labels: Any = [[0] * n_classes] if multilabel else [0]
    return Predictions(row, labels, kind=kind, columns={} if by is None else {by: [""]}, multilabel=multilabel)


def rebuilt(arrays: Mapping[str, NDArray[Any]], patterns: Mapping[S, Any]) -> dict[S, Any]:
    """Return the summaries that arrays of a file stand for, by statistic, each after a pattern."""
    return {
        statistic: from_arrays(pattern, arrays, f"{number}.")
        for number, (statistic, pattern) in enumerate(patterns.items())
    }


@contextmanager
def reading_stream(path: str | Path) -> Iterator[None]:
    """Turn the errors of a missing or damaged file into one that names it."""
    try:
        yield
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is no file of a StreamingEvaluation, or is damaged: {error}.") from None
