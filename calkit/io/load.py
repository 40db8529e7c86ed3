"""load_predictions: from a file to checked predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from calkit.containers.container import Container, Field, printable
from calkit.containers.memory import MEMORY, are_records, container_in_memory, is_in_memory
from calkit.errors import CalkitError, UsageError
from calkit.io.address import is_address, split_address
from calkit.io.formats import format_of_suffix
from calkit.io.formats.json_file import container_of_records
from calkit.io.opening import open_container
from calkit.names import Role, read_name
from calkit.predictions import Predictions, as_kind
from calkit.registry import unknown_name
from calkit.roles.families import as_name, grouped
from calkit.roles.reading import Reading, upright
from calkit.roles.resolve import resolve
from calkit.roles.row_ids import in_order_of_ids
from calkit.roles.splits import choose_split
from calkit.roles.truth import EVERY
from calkit.sandbox.session import Sandbox

__all__ = ["load_predictions", "load_unread"]


def load_predictions(
    path: Any,
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
    """Read predictions from a file, or take them from a data frame or arrays by name.

    Labels and weights are read at once. Scores are mapped into memory where the format allows it; else they are read
    at once up to 128 MiB, and block by block in every pass above that.

    Parameters
    ----------
    path : str, Path, data frame, mapping or list of dict
        A file in any format of :func:`calkit.io.available_formats`; a folder or a pattern (``"logits-*.npz"``), whose
        files are joined in the order of their numbers; ``"-"`` for standard input. ``"file.npz:name"`` addresses an
        array or a group of arrays in it. Or what is in memory already: a data frame of pandas, polars or Arrow, a data
        set of Hugging Face, arrays by name, records. Their names are read as those in files are.
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
    >>> load_predictions({"prob_cat": [0.9, 0.2], "prob_dog": [0.1, 0.8], "label": ["cat", "cat"]}).class_names
    ('cat', 'dog')
    """
    how: dict[str, Any] = {"trust_pickle": trust_pickle, "sandbox": sandbox}
    meta: dict[str, Any] = {}
    if is_in_memory(path):
        container = container_of_records(MEMORY, list(path)) if are_records(path) else container_in_memory(path)
        path, member, container = MEMORY, None, grouped(container)
    else:
        path, member = split_address(path)
        container = open_container(path, file_format=file_format, **how)
        meta["file"] = str(path)
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
    if class_axis is not None and len(found.scores.shape) == 2:
        found, class_axis = replace(found, scores=upright(found.scores, class_axis)), None
    names = None if class_names is None else _said_names(container, class_names, how)
    reading = Reading(
        container, found, names, labels_from, ignore_label, class_axis, positive, percent, normalize, dtype
    )
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
    reading = Reading(container, found, whole=False)
    return reading.predictions({"file": str(path)}, None, labelled=labelled)


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
