"""save_predictions: a file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from calkit.atomic import atomic_write
from calkit.errors import UsageError
from calkit.io.formats import FORMATS, WritableFormat, find_format
from calkit.predictions import Predictions

__all__ = ["save_predictions"]


def save_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write predictions to a file whose suffix tells the format; :func:`load_predictions` reads it back.

    Parameters
    ----------
    predictions : Predictions
    path : str or Path
        Ending in .npz, .csv or .tsv. It is written under a temporary name and renamed, so it appears whole or not at
        all.

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
    form = find_format(path)
    if not isinstance(form, WritableFormat):
        writable = ", ".join(
            suffix for word in FORMATS if isinstance(FORMATS[word], WritableFormat) for suffix in FORMATS[word].suffixes
        )
        raise UsageError(f"{path}: predictions cannot be written as .{form.name}. Writable: {writable}.")
    with atomic_write(path) as temporary:
        form.write(temporary, predictions)
