"""Calibrators as JSON files: readable, diffable, typed, and free of code."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit._version import __version__
from calkit.atomic import atomic_write
from calkit.calibrators.registration import CALIBRATORS
from calkit.calibrators.state import Store, decode, digest, encode, inline
from calkit.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from calkit.calibrators.base import Calibrator

__all__ = ["fingerprint", "from_document", "load_calibrator", "save_calibrator", "to_document"]

_FORMAT = "calkit-calibrator"
_VERSION = 2
# Version 1 (calkit 0.1) had neither types nor a fingerprint.
_READABLE = (1, 2)

# Arrays of more numbers than this go to a file of their own.
_MOST_INSIDE = 20_000
# No document without its large arrays is larger than this.
_MOST_BYTES = 1 << 28


def to_document(calibrator: Calibrator, store: Store = inline) -> dict[str, Any]:
    """Return parameters and fitted state of a calibrator as plain data.

    A calibrator that is not fitted has parameters only, as those inside composed ones have.

    Raises
    ------
    InputError
        If its class is not the registered one of its name, or it holds what cannot be stored.
    """
    name = getattr(calibrator, "name", None)
    if name is None or name not in CALIBRATORS or CALIBRATORS[name] is not type(calibrator):
        raise InputError(
            f"a {type(calibrator).__name__} cannot be saved, since no name is registered for that class; decorate it "
            "with calkit.calibrators.register_calibrator."
        )
    try:
        document = {
            "calibrator": name,
            "parameters": {key: encode(value, store) for key, value in calibrator.get_params(deep=False).items()},
        }
        if hasattr(calibrator, "classes_"):
            document["classes"] = encode(calibrator.classes_, store)
            if hasattr(calibrator, "feature_names_in_"):
                document["features"] = encode(calibrator.feature_names_in_, store)
            if calibrator.fitted_on_pairs_:
                document["pairs"] = True
            document["state"] = {key: encode(getattr(calibrator, key), store) for key in calibrator._state}
    except ValueError as error:
        raise InputError(f"the calibrator {name!r} cannot be saved: {error}.") from None
    return document


def _no_array(name: str) -> NDArray[Any]:
    raise ValueError(f"the array {name} is not in the document")


def from_document(document: dict[str, Any], arrays: Callable[[str], NDArray[Any]] = _no_array) -> Calibrator:
    """Return the calibrator a document of :func:`to_document` stands for.

    Parameters
    ----------
    document : dict
    arrays : callable, optional
        Returns an array that is not in the document by its key.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is damaged.
    """

    def plain(value: Any) -> Any:
        return decode(value, arrays, lambda inner: from_document(inner, arrays))

    calibrator = CALIBRATORS[document["calibrator"]](
        **{name: plain(value) for name, value in document["parameters"].items()}
    )
    if "classes" not in document:
        return calibrator
    state = document["state"]
    if set(state) != set(calibrator._state):
        wrong = sorted(set(state) ^ set(calibrator._state))
        raise ValueError(f"its state should not differ in {', '.join(wrong[:5])}")
    classes, features = np.asarray(plain(document["classes"])), plain(document.get("features"))
    calibrator._restore(
        {name: plain(value) for name, value in state.items()}, classes, features, bool(document.get("pairs", False))
    )
    return calibrator


def fingerprint(calibrator: Calibrator) -> str:
    """Return a hash of parameters, classes and fitted state, equal for equal calibrators.

    Parameters
    ----------
    calibrator : Calibrator

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    text = json.dumps(to_document(calibrator, digest), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def save_calibrator(calibrator: Calibrator, path: str | Path) -> None:
    """Write a fitted calibrator to a JSON file, which appears whole or not at all.

    Parameters
    ----------
    calibrator : Calibrator
        A fitted one.
    path : str or Path
        Arrays of more than 20,000 numbers are stored in a file beside it, ``<path>.npz``.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the calibrator is not fitted.
    InputError
        If its class is not registered, or it holds what cannot be stored.
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
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(calibrator)
    arrays: dict[str, NDArray[Any]] = {}

    def beside(array: NDArray[Any]) -> dict[str, Any]:
        if array.size <= _MOST_INSIDE or array.dtype.kind == "O":
            return inline(array)
        arrays[f"array_{len(arrays)}"] = array
        return {"array": f"array_{len(arrays) - 1}"}

    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "calkit": __version__,
        "fingerprint": fingerprint(calibrator),
        **to_document(calibrator, beside),
    }
    if arrays:
        with atomic_write(_beside(path)) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
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
        Fitted, ready to predict, equal to the saved one to the bit.

    Raises
    ------
    FileFormatError
        If the file is missing, is not a calibrator of a version this calkit reads, or was changed or damaged.
    """
    path = Path(path)
    document = _read(path)
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is not a calibrator: write one with 'calkit fit' or save_calibrator.")
    if type(document.get("version")) is not int or document["version"] not in _READABLE:
        raise FileFormatError(
            f"{path} has version {document.get('version')!r:.40} of the calibrator format, but this calkit "
            f"({__version__}) reads versions {', '.join(map(str, _READABLE))}; fit it again, or update calkit."
        )
    try:
        calibrator = from_document(document, partial(_read_array, _beside(path)))
        calibrator._check_restored()
        if document["version"] > 1 and fingerprint(calibrator) != document["fingerprint"]:
            raise ValueError("its fingerprint does not match its content, so it was changed")
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, RecursionError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) and not hasattr(error, "exit_code") else error
        raise FileFormatError(f"{path} is a damaged calibrator: {said}; fit it again.") from None
    return calibrator


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FileFormatError(f"{path} is not a calibrator: it is larger than {_MOST_BYTES >> 20} MiB.")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"cannot read the calibrator {path}: {error.strerror or error}.") from None
    except RecursionError:
        raise FileFormatError(f"{path} is not a calibrator: its brackets are nested too deeply.") from None
    except ValueError as error:
        raise FileFormatError(
            f"{path} is not a calibrator: it is not JSON ({error}); copy the whole file, or fit it again."
        ) from None


def _beside(path: str | Path) -> Path:
    return Path(f"{path}.npz")


def _read_array(path: Path, name: str) -> NDArray[Any]:
    """Return an array stored beside a document; a compressed one, which could be of any size, is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"{path} is compressed")
            with archive.open(member) as stream:
                return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except (OSError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}, which holds its arrays, cannot be read ({error})") from None
