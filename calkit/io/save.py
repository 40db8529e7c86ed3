"""save_predictions: a file that appears whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from calkit.atomic import atomic_write, is_stream
from calkit.containers.container import printable
from calkit.errors import CalibrationWarning, CalkitError, FileFormatError, UsageError
from calkit.io.formats import FORMATS, Format, WritableFormat, check_libraries, format_of_suffix
from calkit.io.load import load_unread
from calkit.predictions import Predictions

__all__ = ["save_predictions"]

# What a file must give back; scores are written as they are.
_COMPARED = ("kind", "n_classes", "class_names", "y_true", "votes", "sample_weight")
_SHOWN = 100


def save_predictions(predictions: Predictions, path: str | Path, *, file_format: str | None = None) -> None:
    """Write predictions to a file whose suffix tells the format; :func:`load_predictions` reads it back.

    Scores are read and written a block of rows at a time, so they may be larger than memory. They keep their type;
    bfloat16 is written as float32. Text has no type: a number is written in as few digits as give it back in its own
    type, and ``load_predictions(path, dtype="float16")`` reads it as that.

    Parameters
    ----------
    predictions : Predictions
    path : str or Path
        Ending in .npz, .csv, .tsv (or .csv.gz and so on), .parquet or .safetensors. It is written under a temporary
        name and renamed, so it appears whole or not at all. ``"-"`` writes to standard output.
    file_format : str, optional
        Name of the format, where the suffix does not tell; for standard output, devices and pipes ``"csv"`` by default.

    Raises
    ------
    FileFormatError
        If the suffix is unknown or the file cannot be written.
    UsageError
        If the format cannot hold predictions, or these would not be read back as they are (the file is read again
        before it gets its name).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from calkit import load_predictions, save_predictions
    >>> from calkit.datasets import load_digits_logits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "test.npz"
    ...     save_predictions(load_digits_logits("test"), path)
    ...     load_predictions(path).kind
    'logits'
    """
    form = format_of_suffix(path) if file_format is None else FORMATS[file_format]
    if form is None and is_stream(path):
        form = FORMATS["csv"]
    if form is None:
        raise FileFormatError(f"{path}: no format is known by that suffix. Writable: {_writable_suffixes()}.")
    form = _writable(path, form)
    # Most formats cannot be written without going back, so what cannot be replaced gets a copy.
    named = format_of_suffix(path) is form
    with atomic_write(path, suffix=None if named else form.what) as temporary:
        form.write(temporary, predictions)
        _check_read_back(temporary, form, predictions, path)


def _check_read_back(written: Path, form: Format, predictions: Predictions, path: str | Path) -> None:
    """Refuse a file from which other names, labels or weights would be read than were written."""
    try:
        with warnings.catch_warnings():
            # That columns are left out is seen from what is read.
            warnings.simplefilter("ignore", CalibrationWarning)
            found = load_unread(written, file_format=form.name, labelled=predictions.y_true is not None)
        what = next((what for what in _COMPARED if not _alike(what, found, predictions)), None)
        why = "" if what is None else f"{what} would be {_shown(what, found)} instead of {_shown(what, predictions)}"
    except CalkitError as error:
        why = printable(str(error).removeprefix(f"{written}: ").replace(str(written), "the file").rstrip("."))
    if why:
        raise UsageError(
            f"{path}: these predictions cannot be written as {form.what} and read back as they are: {why}. Rename the "
            "classes (words without blanks around them, or whole numbers), or write .npz."
        )


def _alike(what: str, found: Predictions, predictions: Predictions) -> bool:
    after, before = getattr(found, what), getattr(predictions, what)
    if what == "class_names" and before is not None:
        # Classes without names are 0, 1, … K-1.
        after = range(len(before)) if after is None else after
        return len(after) == len(before) and all(map(_same_name, after, before))
    if before is None or after is None or what in ("kind", "n_classes"):
        return bool(after is before or after == before)
    return np.array_equal(after, before)


def _same_name(after: Any, before: Any) -> bool:
    """Tell whether a name was read unchanged; a text of digits may become that number, which is the same label."""
    if isinstance(before, str) and not isinstance(after, str):
        return str(after) == before
    return type(after) is type(before) and bool(after == before)


def _shown(what: str, predictions: Predictions) -> str:
    value = getattr(predictions, what)
    text = repr(value.tolist()[:10] if isinstance(value, np.ndarray) else value)
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _writable(path: str | Path, form: Format) -> WritableFormat:
    if not isinstance(form, WritableFormat):
        raise UsageError(f"{path}: predictions cannot be written as .{form.name}. Writable: {_writable_suffixes()}.")
    check_libraries(form, path)
    return form


def _writable_suffixes() -> str:
    return ", ".join(form.suffixes[0] for form in FORMATS.values() if isinstance(form, WritableFormat))
