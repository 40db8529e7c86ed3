"""Calibrators as JSON files: readable, diffable, and free of code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from calkit._version import __version__
from calkit.atomic import atomic_write
from calkit.calibrators.base import CALIBRATORS, Calibrator
from calkit.errors import FileFormatError

__all__ = ["load_calibrator", "save_calibrator"]

_FORMAT = "calkit-calibrator"
_VERSION = 1


def save_calibrator(calibrator: Calibrator, path: str | Path) -> None:
    """Write a fitted calibrator to a JSON file, which appears whole or not at all.

    Parameters
    ----------
    calibrator : Calibrator
        A fitted one.
    path : str or Path

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the calibrator is not fitted.
    FileFormatError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from calkit import TemperatureScaling, load_calibrator, save_calibrator
    >>> from calkit.datasets import load_digits_logits
    >>> calibrator = TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "calibrator.json"
    ...     save_calibrator(calibrator, path)
    ...     load_calibrator(path).temperature_ == calibrator.temperature_
    True
    """
    document = {"format": _FORMAT, "version": _VERSION, "calkit": __version__, **calibrator.to_dict()}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load_calibrator(path: str | Path) -> Calibrator:
    """Read a calibrator that :func:`save_calibrator` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Calibrator
        Fitted, ready to predict.

    Raises
    ------
    FileFormatError
        If the file is missing or is not a calibrator of a version this calkit reads.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileFormatError(f"cannot read the calibrator {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise FileFormatError(f"{path} is not a calibrator: it is not JSON ({error}).") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is not a calibrator: write one with 'calkit fit' or save_calibrator.")
    if document.get("version") != _VERSION:
        raise FileFormatError(
            f"{path} has version {document.get('version')!r} of the calibrator format, but this calkit "
            f"({__version__}) reads version {_VERSION}; fit it again."
        )
    try:
        return _restore(document)
    except (KeyError, TypeError, ValueError, LookupError) as error:
        raise FileFormatError(f"{path} is a damaged calibrator: {error}; fit it again.") from None


def _restore(document: dict[str, Any]) -> Calibrator:
    calibrator = CALIBRATORS[document["calibrator"]](**document["parameters"])
    for name, value in document["state"].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    calibrator._set_state(document["classes"], document["state"])
    return calibrator
