"""load_predictions: from a file to checked predictions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from calkit.containers.container import Container, Field, printable
from calkit.errors import CalibrationWarning, CalkitError, InputError, UsageError
from calkit.hardening.limits import WHOLE_BYTES, check
from calkit.io.address import is_address, split_address
from calkit.io.formats import format_of_suffix
from calkit.io.number_texts import as_numbers, first_word
from calkit.io.opening import open_container
from calkit.io.row_ids import in_order_of_ids
from calkit.io.sandbox import Sandbox
from calkit.lazy import Converted, LazyArray
from calkit.names import Role, read_name
from calkit.predictions import Predictions, as_kind
from calkit.registry import unknown_name
from calkit.roles.families import Classes, as_name
from calkit.roles.resolve import Resolved, resolve, score_candidates
from calkit.roles.splits import apart_from_split, choose_split
from calkit.roles.truth import EVERY, Truth, file_classes, pairs, read_column, truth_of
from calkit.score_rows import ClassAxis

__all__ = ["load_predictions", "load_unread"]

_FLOATS = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))


def load_predictions(
    path: str | Path,
    *,
    kind: str | None = None,
    split: str | None = None,
    scores: str | None = None,
    labels: str | Path | None = None,
    sample_weight: str | Path | None = None,
    confidence: str | Path | None = None,
    correct: str | Path | None = None,
    predicted: str | Path | None = None,
    class_names: str | Path | Sequence[Any] | None = None,
    ids: str | Path | None = None,
    groups: str | Path | None = None,
    split_column: str | None = None,
    columns: str | Sequence[str] | None = None,
    labels_from: int = 0,
    ignore_label: Any = None,
    class_axis: int | None = None,
    positive: Any = None,
    percent: bool = False,
    normalize: bool = False,
    dtype: Any = None,
    labelled: bool = True,
    file_format: str | None = None,
    trust_pickle: bool = False,
    sandbox: bool | Sandbox = False,
) -> Predictions:
    """Read predictions from a file.

    Labels and weights are read at once. Scores are mapped into memory where the format allows it; else they are read
    at once up to 128 MiB, and block by block in every pass above that.

    Parameters
    ----------
    path : str or Path
        A file in any format of :func:`calkit.io.available_formats`; a folder or a pattern (``"logits-*.npz"``), whose
        files are joined in the order of their numbers; ``"-"`` for standard input. ``"file.npz:name"`` addresses an
        array or a group of arrays in it.
    kind : {"logits", "probs", "confidence"}, optional
        What the scores are. Needed where the name of the array does not tell; values are never looked at.
    split : str, optional
        Which split (``"validation"``, ``"test"``, …) of a file that holds several: by the names of its arrays, as
        ``val_logits`` and ``test_logits``, or by a column that names the split of each row.
    scores : str, optional
        Name of the array that holds the scores, where it cannot be told; or the columns of the classes:
        ``"cat,dog,bird"`` or ``"class_*"``.
    labels : str or Path, optional
        Name of the array that holds the labels, or another file, or ``"file.npz:name"``.
    sample_weight, confidence, correct, predicted : str or Path, optional
        The same for weights, for confidences in the answers given, for whether these were right, and for the answers.
    class_names : sequence, str or Path, optional
        Names of the classes, or of the array or file (a name a line) that holds them, or names separated by commas. Of
        columns that carry the names of classes, these are taken; else they are the names of the columns in order.
        ``"*"`` says that every column that is named like the scores is a class.
    ids, groups : str or Path, optional
        Arrays that are to be columns ``"id"`` and ``"group"`` of the predictions.
    split_column : str, optional
        Name of the column that names the split of each row, if neither its name nor its values are words for that.
    columns : {"all"} or sequence of str, optional
        Other columns to read; they travel with the rows. None by default.
    labels_from : int, default=0
        What the first class is called where labels are positions: 1 if they count from 1.
    ignore_label : value or sequence of values, optional
        Labels (-100, 255, NaN) of rows to be left out.
    class_axis : int, optional
        The axis of the classes, of scores with more than two axes.
    positive : value, optional
        The label that a single column of scores is the forecast of.
    percent : bool, default=False
        Whether probabilities or confidences are given in percent.
    normalize : bool, default=False
        Divide each row of probabilities by its sum, where they were rounded.
    dtype : {"float16", "float32", "float64"}, optional
        Type that the scores were stored in before they became text, which has none and is read as float64. It decides
        where edges of bins lie and how far a row of probabilities may be from 1.
    labelled : bool, default=True
        Whether labels are needed. Without, a file may have none: its predictions can be calibrated, not evaluated.
    file_format : str, optional
        Name of the format, where neither the suffix nor the first bytes of the file tell.
    trust_pickle : bool, default=False
        Read pickles too. They can run any code: only for files of your own.
    sandbox : bool or calkit.io.Sandbox, default=False
        Read in a process of its own with limits of memory and time, for untrusted files.

    Returns
    -------
    Predictions
        With the path and the split in `meta`; where columns of the file are the classes, ``meta["class_columns"]`` says
        which is which, and ``meta["left_out"]`` names those that are called like scores but are no class.

    Raises
    ------
    FileFormatError
        If a file is missing, damaged, or of an unknown format.
    UsageError
        If a choice is left open, or a name does not exist; the message lists the arrays found.
    InputError
        If the arrays do not fit each other.
    MissingDependencyError
        If the format needs a library that is not installed.

    Warns
    -----
    CalibrationWarning
        If columns were left out.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from calkit import load_predictions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "run.npz"
    ...     np.savez(path, val_logits=np.eye(3), val_labels=[0, 1, 2], test_logits=np.eye(3), test_labels=[0, 1, 1])
    ...     load_predictions(path, split="test")
    Predictions(n_samples=3, n_classes=3, kind='logits')
    """
    path, member = split_address(path)
    how: dict[str, Any] = {"trust_pickle": trust_pickle, "sandbox": sandbox}
    container = open_container(path, file_format=file_format, **how)
    if member is not None and member not in container.columns():
        group = container.group(member)
        container, member = (container, member) if group is None else (group, None)
    container, of_rows = choose_split(container, split, split_column)
    named: dict[Role, Any] = {
        "labels": labels,
        "sample_weight": sample_weight,
        "confidence": confidence,
        "correct": correct,
        "predicted": predicted,
        "id": ids,
        "group": groups,
    }
    said = {role: _named(container, name, role, how) for role, name in named.items() if name is not None}
    found = resolve(
        container,
        kind=None if kind is None else as_kind(kind),
        split=None if of_rows else split,
        scores=member or scores,
        said=said,
    )
    found = replace(found, scores=as_numbers(found.scores))
    if class_axis is not None and len(found.scores.shape) == 2:
        found, class_axis = replace(found, scores=_upright(found.scores, class_axis)), None
    names = None if class_names is None else _said_names(container, class_names, how)
    stored = None if dtype is None else _as_float(dtype)
    reading = _Reading(
        container, found, names, labels_from, ignore_label, class_axis, positive, percent, normalize, stored
    )
    meta: dict[str, Any] = {"file": str(path)}
    if of_rows or found.split:
        meta["split"] = of_rows or found.split
    try:
        return reading.predictions(meta, columns, labelled=labelled)
    except CalkitError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def load_unread(path: Path, *, file_format: str, labelled: bool) -> Predictions:
    """Return the predictions of a file, with labels and weights read, and of the scores only their shape and type."""
    container, _ = choose_split(open_container(path, file_format=file_format), None, None)
    found = resolve(container, kind=None, split=None, scores=None, said={})
    reading = _Reading(container, replace(found, scores=as_numbers(found.scores)), whole=False)
    return reading.predictions({"file": str(path)}, None, labelled=labelled)


@dataclass(frozen=True)
class _Reading:
    """The arrays of a file that were chosen, and how they are to be read."""

    container: Container
    found: Resolved
    names: tuple[Any, ...] | None = None
    labels_from: int = 0
    ignore_label: Any = None
    class_axis: int | None = None
    positive: Any = None
    percent: bool = False
    normalize: bool = False
    dtype: np.dtype[Any] | None = None
    whole: bool = True

    def predictions(self, meta: dict[str, Any], columns: str | Sequence[str] | None, *, labelled: bool) -> Predictions:
        """Read labels, weights and other columns, and the scores if they are small."""
        found = replace(self.found, scores=as_numbers(self.found.scores, "%")) if self.percent else self.found
        _check_scores(self.container, found.scores, self.class_axis, "%" * self.percent)
        classes = file_classes(found, self.names, self.labels_from)
        _note_classes(classes, meta)
        ignored = None
        if found.kind == "confidence":
            right, ignored = pairs(found, self.container, self.ignore_label)
            truth = Truth(right)
        else:
            truth = truth_of(found, classes, self.positive, self.ignore_label, self.labels_from, needed=labelled)
        weight = found.get("sample_weight")
        given = None if weight is None else self._beside(as_numbers(weight), "sample_weight")
        if ignored is not None:
            given = np.where(ignored, 0.0, 1.0 if given is None else given)
        return Predictions(
            self._scores(classes.scores),
            truth.y_true,
            kind=found.kind,
            sample_weight=given,
            class_names=truth.class_names,
            columns=self._columns(columns, classes),
            meta=meta,
            labels_from=self.labels_from,
            ignore_label=self.ignore_label if found.kind != "confidence" else None,
            class_axis=self.class_axis,
            normalize=self.normalize,
        )

    def _scores(self, item: Field) -> Any:
        source = item.load()
        # An array could not tell that its numbers were widened from something coarser.
        small = isinstance(source, LazyArray) and source.nbytes <= WHOLE_BYTES
        values = np.asarray(source) if self.whole and small and source.itemsize == source.dtype.itemsize else source
        if self.percent:
            if self.found.kind == "logits":
                raise UsageError(f"{self.found.path}: logits are not given in percent; leave percent (--percent) out.")
            wide = np.result_type(item.dtype, np.float32) if item.dtype.kind == "f" else np.dtype(np.float64)
            values = Converted(values, lambda rows: rows.astype(wide) / wide.type(100), tuple(item.shape), wide)
        stored = self.dtype
        return values if stored is None else Converted(values, lambda rows: rows.astype(stored), values.shape, stored)

    def _beside(self, item: Field, what: str) -> Any:
        return item.read() if self.class_axis is not None else read_column(item, self.found.scores, what)

    def _columns(self, wanted: str | Sequence[str] | None, classes: Classes) -> dict[str, Any]:
        roles: dict[str, Role] = {"id": "id", "group": "group"}
        chosen = {name: self.found.said[role] for name, role in roles.items() if role in self.found.said}
        n_rows = self.found.scores.shape[0]
        if wanted == "all":
            used = self.found.used() - set(classes.left_out)
            chosen |= {
                self._plain(name): item
                for name, item in self.container.columns().items()
                if item.shape == (n_rows,) and item.dtype.kind != "O" and name not in used and self._is_own(name)
            }
        else:
            chosen |= {name: self._column(name) for name in ([wanted] if isinstance(wanted, str) else wanted or ())}
        return {name: self._beside(item, name) for name, item in chosen.items()}

    def _column(self, name: str) -> Field:
        """Return a column by its name; without one of that name, the column of the split: ``test_topic``."""
        columns = self.container.columns()
        own = [] if name in columns else [each for each in columns if self._plain(each) == name]
        return self.container.find(own[0] if len(own) == 1 else name)

    def _plain(self, name: str) -> str:
        """Return the name of a column without that of the split, where this makes it no other column's."""
        split, plain = apart_from_split(name)
        return plain if split == self.found.split and split and plain not in self.container.columns() else name

    def _is_own(self, name: str) -> bool:
        """Tell whether a column is none of another split that has scores."""
        split, _ = apart_from_split(name)
        return not self.found.split or split in ("", self.found.split) or split not in self._score_splits

    @cached_property
    def _score_splits(self) -> set[str]:
        return {candidate.meaning.split for candidate in score_candidates(self.container)}


def _as_float(dtype: Any) -> np.dtype[Any]:
    """Return a type of scores, or say which there are."""
    with contextlib.suppress(TypeError):
        if np.dtype(dtype) in _FLOATS:
            return np.dtype(dtype)
    raise UsageError(f"dtype (--dtype) must be one of {', '.join(map(str, _FLOATS))}, but is {dtype!r}.")


def _upright(item: Field, class_axis: int) -> Field:
    """Return a matrix with its classes in the second axis."""
    source = ClassAxis(item.load(), class_axis)
    return item if class_axis in (1, -1) else Field(item.name, source.shape, item.dtype, lambda: source)


def _note_classes(classes: Classes, meta: dict[str, Any]) -> None:
    listing = classes.listing()
    if listing:
        meta["class_columns"] = listing
    if classes.left_out:
        meta["left_out"] = tuple(map(printable, classes.left_out))
        names = ", ".join(listing) or "the others"
        warnings.warn(
            f"{meta['file']}: {', '.join(meta['left_out'])} is left out, as it is none of the classes {names}. If it "
            "is one, name all classes with class_names (--class-names).",
            CalibrationWarning,
            stacklevel=5,
        )


def _check_scores(container: Container, item: Field, class_axis: int | None, sign: str = "") -> None:
    if item.dtype.kind == "O":
        # Says why it cannot be read, if it cannot.
        item.load()
    if item.dtype.kind not in "biuf" and str(item.dtype) != "bfloat16":
        raise InputError(
            f"{container.path}: the scores must be numbers, but {printable(item.name)!r} is of type "
            f"{item.type_name}{first_word(item, sign)} Choose another array with scores='NAME' (--scores NAME); the "
            f"file holds {container.listing()}."
        )
    if class_axis is None and len(item.shape) not in (1, 2):
        shape = "×".join(map(str, item.shape)) or "no axis"
        raise InputError(
            f"{container.path}: the scores must have shape (n, K), or (n,) for two classes or confidences, but "
            f"{printable(item.name)!r} has {shape}. Say which axis is that of the classes: class_axis=1 "
            "(--class-axis 1) for pixels (N, C, H, W), class_axis=-1 (--class-axis -1) for tokens (N, T, C)."
        )
    if len(item.shape) == 2:
        check(container.path, columns=item.shape[1])


def _said_names(container: Container, names: str | Path | Sequence[Any], how: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the names of the classes: given one by one, or read from an array or a file."""
    if not isinstance(names, str | Path):
        return tuple(names)
    text = str(names)
    if (text,) == EVERY:
        return EVERY
    if text in container.fields:
        return tuple(container.fields[text].read().tolist())
    path, member = split_address(text)
    if is_address(path):
        if member is None and path.suffix == ".txt":
            lines = path.read_text(encoding="utf-8").splitlines()
            return tuple(as_name(line.strip()) for line in lines if line.strip())
        return tuple(_named(container, text, "class_names", how).read().tolist())
    return tuple(as_name(word.strip()) for word in text.split(","))


def _named(container: Container, name: str | Path, role: Role, how: Mapping[str, Any]) -> Field:
    """Return the array that the user named: one of the same file, of another one, or a whole file."""
    text = str(name)
    columns = container.columns()
    if text in columns:
        return columns[text]
    path, member = split_address(text)
    if not is_address(path) and format_of_suffix(path) is None:
        raise unknown_name("array", text, map(printable, columns), of=container.path)
    other = open_container(path, **how)
    if member is not None:
        return in_order_of_ids(other.find(member), other, container)
    if len(other.fields) == 1:
        return next(iter(other.fields.values()))
    fitting = [item for item in other.fields.values() if (m := read_name(item.name)) and m.role == role]
    if len(fitting) != 1:
        raise UsageError(f"{path} holds {other.listing()}. Say which one is meant: '{path}:NAME'.")
    return in_order_of_ids(fitting[0], other, container)
