"""Predictions in many files, each read where it is worked on: here, or on the workers of a cluster."""

from __future__ import annotations

import contextlib
import glob
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calkit.errors import CalkitError, FileFormatError, InputError, UsageError
from calkit.executors import Executor, SerialExecutor, open_executor
from calkit.hardening.unchanged import Stamp
from calkit.io import load_predictions
from calkit.io.address import is_address, shard_paths, split_address
from calkit.io.opening import open_container
from calkit.predictions import Kind, Predictions
from calkit.roles.row_ids import row_ids

__all__ = ["Layout", "Shard", "Shards"]

# Options that name an array with a value per row, perhaps in another file.
_PER_ROW = ("labels", "sample_weight", "confidence", "correct", "predicted", "ids", "groups")


@dataclass(frozen=True)
class Layout:
    """What all shards have in common.

    Attributes
    ----------
    kind : {"logits", "probs", "confidence"}
    n_classes : int or None
        None for (confidence, correct) pairs.
    class_names : tuple, or None
    one_column : bool
        Whether the scores are one column, P(y = 1).
    multilabel : bool
        Whether each column is a forecast of an event of its own.
    weighted : bool or None
        Whether rows have weights; None if these are 0 and 1, as rows that are left out have.
    """

    kind: Kind
    n_classes: int | None
    class_names: tuple[Any, ...] | None
    one_column: bool = False
    multilabel: bool = False
    weighted: bool | None = field(default=None, compare=False)

    @classmethod
    def of(cls, predictions: Predictions) -> Layout:
        """Return the layout of some predictions."""
        names = predictions.class_names
        names = None if names is None else tuple(names)
        weight = predictions.sample_weight
        weighted = None if weight is not None and np.isin(weight, (0, 1)).all() else weight is not None
        one_column = bool(predictions.one_column)
        return cls(predictions.kind, predictions.n_classes, names, one_column, predictions.multilabel, weighted)

    def fits(self, other: Layout) -> bool:
        """Tell whether rows of this layout can be counted together with those of another."""
        return self == other and (None in (self.weighted, other.weighted) or self.weighted == other.weighted)

    def __str__(self) -> str:
        classes = "" if self.n_classes is None else f" of {self.n_classes} classes"
        names = "" if self.class_names is None else f" ({', '.join(map(str, self.class_names[:10]))})"
        columns = " in one column" * self.one_column + " (multi-label)" * self.multilabel
        return f"{self.kind}{classes}{names}{columns}{' with weights' * bool(self.weighted)}"


@dataclass(frozen=True)
class Shard:
    """One of the files of :class:`Shards`: a path until it is loaded.

    Attributes
    ----------
    name : str
        The path.
    read : callable
        Turns the path into predictions.
    functions : tuple of callable
        Applied to the predictions, one after the other.
    expected : tuple of (Layout, str), optional
        What the predictions must look like, and the shard that does.
    stamp : Stamp, optional
        The file as it was when the shards were named, where it could be seen.
    """

    name: str
    read: Callable[[str], Predictions]
    functions: tuple[Callable[[Predictions], Predictions], ...] = ()
    expected: tuple[Layout, str] | None = None
    stamp: Stamp | None = None

    def load(self) -> Predictions:
        """Read the file.

        Raises
        ------
        CalkitError
            If the file cannot be read, or differs from the other shards; the message names it.
        """
        try:
            with contextlib.nullcontext() if self.stamp is None else self.stamp.kept():
                predictions = self.read(self.name)
            for function in self.functions:
                predictions = function(predictions)
        except CalkitError as error:
            if self.name in str(error):
                raise
            raise type(error)(f"{self.name}: {error}") from None
        except Exception as error:
            raise FileFormatError(f"{self.name} cannot be read: {type(error).__name__}: {error}") from error
        layout = Layout.of(predictions)
        if self.expected is not None and not layout.fits(self.expected[0]):
            raise InputError(
                f"all shards must be alike, but {self.name} holds {layout}, and {self.expected[1]} {self.expected[0]}."
            )
        if "file" in predictions.meta:
            return predictions
        return predictions.replace(meta={**predictions.meta, "file": self.name})

    def layout(self) -> Layout:
        """Read the file and return its layout."""
        return Layout.of(self.load())


class Shards:
    """Predictions in many files.

    Stands for :class:`~calkit.Predictions` in :func:`~calkit.evaluate`. No file is opened until its rows are counted:
    with a Dask executor by the worker that counts them, otherwise here, one at a time.

    Parameters
    ----------
    paths : str, or iterable of str or Path
        The files, or a pattern such as ``"s*/part-*.npz"``, whose matches are taken in the order of their numbers.
    load : callable, default=load_predictions
        Turns a path, and the options, into Predictions. Workers must be able to import it.
    **options
        For `load`: `kind`, `split`, `scores`, `labels`, `sample_weight`.

    Attributes
    ----------
    paths : tuple of str

    Raises
    ------
    FileFormatError
        If nothing matches the pattern.
        Or if files say how many they are (``part-0-of-8.npz``) and some are missing.
    UsageError
        If there is no path, a path is given twice, or `load` does not know an option.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from calkit import evaluate, save_predictions
    >>> from calkit.datasets import load_digits_logits
    >>> from calkit.shards import Shards
    >>> test = load_digits_logits("test")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(3):
    ...         save_predictions(test.take(slice(i, None, 3)), pathlib.Path(folder) / f"part-{i}.npz")
    ...     evaluation = evaluate(Shards(f"{folder}/part-*.npz"), ["error"])
    >>> dict(evaluation) == dict(evaluate(test, ["error"]))
    True
    """

    def __init__(
        self, paths: str | Iterable[str | Path], *, load: Callable[..., Predictions] = load_predictions, **options: Any
    ) -> None:
        self.paths = _as_paths(paths)
        try:
            inspect.signature(load).bind(self.paths[0], **options)
        except TypeError as error:
            raise UsageError(
                f"{getattr(load, '__name__', load)} cannot be called with these options: {error}."
            ) from None
        self._stamps = _stamps(self.paths)
        others = [str(options[word]) for word in _PER_ROW if isinstance(options.get(word), str | Path)]
        if load is load_predictions and len(self.paths) > 1 and any(is_address(split_address(w)[0]) for w in others):
            self._read = partial(_load_part, tuple(others), options)
        else:
            self._read = partial(load, **options)
        self._functions: tuple[Callable[[Predictions], Predictions], ...] = ()
        self._layout: Layout | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Shards({self.paths[0]!r}{', …' if len(self) > 1 else ''}, {len(self)} files)"

    @property
    def kind(self) -> Kind:
        """Kind of the scores, as the first shard has it."""
        return self.layout().kind

    @property
    def n_classes(self) -> int | None:
        """Number of classes, as the first shard has it; None for (confidence, correct) pairs."""
        return self.layout().n_classes

    @property
    def class_names(self) -> tuple[Any, ...] | None:
        """Names of the classes, as the first shard has them."""
        return self.layout().class_names

    @property
    def one_column(self) -> bool:
        """Whether the scores are one column, P(y = 1)."""
        return self.layout().one_column

    @property
    def multilabel(self) -> bool:
        """Whether each column is a forecast of an event of its own."""
        return self.layout().multilabel

    @property
    def meta(self) -> dict[str, Any]:
        """The first file and the number of files."""
        return {"file": self.paths[0], "n_files": len(self)}

    def layout(self, executor: Executor | None = None) -> Layout:
        """Return what the first shard looks like; it is read once, where the executor (or the current one) reads."""
        if self._layout is None:
            with open_executor(executor) as opened:
                reader = opened if opened is not None and opened.is_remote else SerialExecutor()
                self._layout = reader.sum(Shard.layout, [self._shard(self.paths[0])])
        return self._layout  # type: ignore[return-value]

    def parts(self, executor: Executor | None = None) -> tuple[Shard, ...]:
        """Return the shards, each of which is compared with the first when it is loaded."""
        expected = self.layout(executor), self.paths[0]
        return tuple(self._shard(path, expected) for path in self.paths)

    def map(self, function: Callable[[Predictions], Predictions]) -> Shards:
        """Return shards that apply a function to their predictions when they are loaded.

        Parameters
        ----------
        function : callable
            For instance the `apply` method of a fitted calibrator.

        Returns
        -------
        Shards
        """
        mapped = Shards(self.paths, load=self._read)
        mapped._stamps = self._stamps
        mapped._functions = (*self._functions, function)
        return mapped

    def logits(self) -> Shards:
        """Return these shards with logits for scores; see :meth:`calkit.Predictions.logits`."""
        return self if self.kind == "logits" else self.map(Predictions.logits)

    def _shard(self, path: str, expected: tuple[Layout, str] | None = None) -> Shard:
        return Shard(path, self._read, self._functions, expected, self._stamps.get(path))


def _load_part(others: tuple[str, ...], options: dict[str, Any], path: str) -> Predictions:
    """Read one of several files, some of whose arrays may stand in another file, with those of all the others."""
    how = {word: options[word] for word in ("file_format", "trust_pickle", "sandbox") if word in options}
    for other in others:
        _check_ids(path, other, **how)
    return load_predictions(path, **options)


def _check_ids(path: str, other: str, *, file_format: str | None = None, **how: Any) -> None:
    """Refuse arrays of another file for one of several files, unless ids tell which of its rows are meant."""
    container = open_container(split_address(path)[0], file_format=file_format, **how)
    if other in container.columns():
        return
    if row_ids(container) is None or row_ids(open_container(split_address(other)[0], **how)) is None:
        raise UsageError(
            f"{other} would be read for each of several files, of which {path} is one, and no ids tell which of its "
            "rows are meant. Put the array into the files, or a column of ids into all of them; load_predictions (the "
            "command line without --dask) reads the files as one, in their order."
        )


def _stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    """Note the files as they are now, those that can be seen from here; every pass must find the same."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            found[path] = Stamp.of(split_address(path)[0], portable=True)
    return found


def _as_paths(paths: str | Iterable[str | Path]) -> tuple[str, ...]:
    if isinstance(paths, str | Path):
        matches = shard_paths(Path(paths))
        if not matches and glob.has_magic(str(paths)):
            raise FileFormatError(f"no file matches {str(paths)!r}.")
        return tuple(map(str, matches)) or (str(paths),)
    found = [str(path) for path in paths]
    if not found:
        raise UsageError("paths is empty: name at least one file.")
    twice = next((path for path in found if found.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; its rows would be counted twice.")
    return tuple(found)
