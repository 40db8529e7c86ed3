"""Laws that every reader of files obeys, and every writer."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calkit.errors import CalkitError, UsageError
from calkit.io import FORMATS, Container, Field, load_predictions, open_container, save_predictions
from calkit.io.formats import WritableFormat, format_of_suffix
from calkit.predictions import Predictions
from calkit.testing.laws import law_of

__all__ = ["FORMAT_LAWS", "check_format"]

Open = Callable[[Path], Container]
Law = Callable[[Path, Open], None]

#: Laws by name; each takes a file (or folder) and what opens one, and raises AssertionError.
FORMAT_LAWS: dict[str, Law] = {}
_law = law_of(FORMAT_LAWS)

# Damaged copies that are tried.
_COPIES = 12


def check_format(name: str, sample: str | Path | None = None, *, trust_pickle: bool = False) -> None:
    """Check a format against every law.

    Parameters
    ----------
    name : str
        A registered name.
    sample : str or Path, optional
        A file or folder of this format with a few rows; needed unless the format can be written.
    trust_pickle : bool, default=False
        Read pickles too; damaged copies are not tried then, since they could run any code.

    Raises
    ------
    AssertionError
        For the first law that is broken.
    UsageError
        If a sample is needed.

    Examples
    --------
    >>> from calkit.testing import check_format
    >>> check_format("npz")
    """
    form = FORMATS[name]
    writable = isinstance(form, WritableFormat)
    if sample is None and not writable:
        raise UsageError(f"the format {name!r} cannot be written, so its check needs a file: sample='FILE'.")
    with tempfile.TemporaryDirectory() as folder:
        if writable:
            what_is_written_is_read(name, Path(folder))
        path = Path(folder, f"sample{form.suffixes[0]}") if sample is None else Path(sample)
        if sample is None:
            save_predictions(_predictions(), path)
        opened = partial(open_container, file_format=name, trust_pickle=trust_pickle)
        for law, check in FORMAT_LAWS.items():
            if not (trust_pickle and law == "damage_is_one_clear_error"):
                check(path, opened)


def _predictions() -> Predictions:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(23, 3)) * 3, rng.integers(0, 3, 23)
    return Predictions(logits, y, kind="logits", sample_weight=rng.random(23) + 0.5)


def _readable(path: Path, opened: Open) -> list[Field]:
    fields = [item for item in opened(path).fields.values() if item.dtype.kind != "O"]
    assert fields, f"{path} holds nothing that can be read"
    return fields


@_law
def arrays_are_as_described(path: Path, opened: Open) -> None:
    """An array has the shape and the type that were announced, and is the same when it is read again."""
    for item in _readable(path, opened):
        values = np.asarray(item.load())
        assert values.shape == item.shape, f"{item} has shape {values.shape}"
        assert values.dtype.kind in ("US" if item.dtype.kind in "US" else item.dtype.kind), f"{item} is {values.dtype}"
        np.testing.assert_array_equal(np.asarray(item.load()), values, f"{item}, read again")


@_law
def rows_are_slices(path: Path, opened: Open) -> None:
    """Some rows are those rows of the whole, in whatever order they are asked for."""
    for item in _readable(path, opened):
        if item.shape:
            whole, source = np.asarray(item.load()), item.load()
            n = item.shape[0]
            for start, stop in ((n // 2, n), (0, n // 2), (n // 3, n // 3 + 1), (0, n), (n, n)):
                rows = np.asarray(source[start:stop])
                np.testing.assert_array_equal(rows, whole[start:stop], f"{item}, rows {start} to {stop}")


@_law
def nothing_is_changed(path: Path, opened: Open) -> None:
    """Reading writes nothing, neither into the file nor beside it."""
    before = _contents(path)
    for item in _readable(path, opened):
        np.asarray(item.load())
    assert _contents(path) == before, f"reading changed {path}"


@_law
def the_format_is_told_by_the_name(path: Path, opened: Open) -> None:
    """A file with a suffix of the format is found to be of it."""
    name = opened(path).format
    if path.is_file() and path.name.lower().endswith(FORMATS[name].suffixes):
        found = format_of_suffix(path)
        assert found is not None, f"no format is known by the suffix of {path}"
        assert found.name == name, f"{path} is taken for {found.name}"


@_law
def damage_is_one_clear_error(path: Path, opened: Open) -> None:
    """Of a damaged copy either arrays are read or one error of calkit's is raised, which names the copy."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(_COPIES):
            copy = Path(folder, f"{number}-{path.name}")
            _damaged(path, copy, number, rng)
            try:
                with warnings.catch_warnings():
                    # Libraries may warn of what they find.
                    warnings.simplefilter("ignore")
                    for item in opened(copy).fields.values():
                        np.asarray(item.load())
            except CalkitError as error:
                assert copy.name in str(error), f"the error does not name the file: {error}"


def _damaged(path: Path, copy: Path, number: int, rng: np.random.Generator) -> None:
    """Copy a file, or a folder, and cut one of its files short, or change some of its bytes."""
    if path.is_dir():
        shutil.copytree(path, copy)
        files = sorted(item for item in copy.rglob("*") if item.is_file())
        target = files[int(rng.integers(len(files)))]
    else:
        target = Path(shutil.copyfile(path, copy))
    data = bytearray(target.read_bytes())
    if number % 2:
        data = data[: int(rng.integers(len(data)))]
    else:
        for place in rng.integers(len(data), size=3):
            data[place] ^= 1 << int(rng.integers(8))
    target.write_bytes(data)


def _contents(path: Path) -> dict[str, bytes | None]:
    """Return the bytes of a file, or of all in a folder; of what stands beside it, the names."""
    own = [path, *(path.rglob("*") if path.is_dir() else ())]
    beside: dict[str, bytes | None] = dict.fromkeys(map(str, path.parent.iterdir()))
    return beside | {str(item): item.read_bytes() if item.is_file() else None for item in own}


def what_is_written_is_read(name: str, folder: Path) -> None:
    """Check that predictions which a format writes come back: scores, labels, weights and names of classes."""
    form = FORMATS[name]
    path = folder / f"written{form.suffixes[0]}"
    plain = _predictions()
    cases: list[dict[str, Any]] = [
        {},
        {"kind": "probs", "scores": np.exp(plain.scores) / np.exp(plain.scores).sum(axis=1, keepdims=True)},
        {"class_names": ("ant", "bee", "cow")},
        {"sample_weight": None},
    ]
    for changes in cases:
        predictions = plain.replace(**changes)
        save_predictions(predictions, path)
        found = load_predictions(path)
        for what in ("kind", "scores", "y_true", "sample_weight", "class_names"):
            before, after = getattr(predictions, what), getattr(found, what)
            if isinstance(before, np.ndarray):
                np.testing.assert_array_equal(np.asarray(after), before, f"{what} of {name}")
            else:
                assert after == before, f"{what} of {name}: {after!r} instead of {before!r}"
