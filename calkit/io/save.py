"""save_predictions: a file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from calkit.atomic import atomic_write, is_stream
from calkit.errors import FileFormatError, UsageError
from calkit.io.formats import FORMATS, Format, WritableFormat, check_libraries, format_of_suffix
from calkit.predictions import Predictions

__all__ = ["save_predictions"]


def save_predictions(predictions: Predictions, path: str | Path, *, file_format: str | None = None) -> None:
    """Write predictions to a file whose suffix tells the format; :func:`load_predictions` reads it back.

    Scores are read and written a block of rows at a time, so they may be larger than memory. They keep their type;
    bfloat16 is written as float32.

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
        If the format cannot hold predictions.

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


def _writable(path: str | Path, form: Format) -> WritableFormat:
    if not isinstance(form, WritableFormat):
        raise UsageError(f"{path}: predictions cannot be written as .{form.name}. Writable: {_writable_suffixes()}.")
    check_libraries(form, path)
    return form


def _writable_suffixes() -> str:
    return ", ".join(FORMATS[word].suffixes[0] for word in FORMATS if isinstance(FORMATS[word], WritableFormat))
