"""load_predictions: from a file to checked predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import CalkitError, InputError, UsageError
from calkit.io.address import is_address, split_address
from calkit.io.container import Container, Field
from calkit.io.formats import format_of_suffix
from calkit.io.hardening.limits import WHOLE_BYTES, check
from calkit.io.hardening.sandbox import Sandbox
from calkit.io.names import Role, read_name
from calkit.io.opening import open_container
from calkit.io.resolve import Resolved, resolve
from calkit.labels import TrueColumns, encode_labels
from calkit.lazy import LazyArray, block_rows
from calkit.predictions import Predictions, as_kind
from calkit.registry import unknown_name

__all__ = ["load_predictions", "split_address"]


def load_predictions(
    path: str | Path,
    *,
    kind: str | None = None,
    split: str | None = None,
    scores: str | None = None,
    labels: str | Path | None = None,
    sample_weight: str | Path | None = None,
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
        Which split (``"validation"``, ``"test"``, …) of a file that holds several, as ``val_logits`` and
        ``test_logits`` do.
    scores : str, optional
        Name of the array that holds the scores, where it cannot be told; of a table, the columns of the classes:
        ``"cat,dog,bird"`` or ``"class_*"``.
    labels : str or Path, optional
        Name of the array that holds the labels, or another file, or ``"file.npz:name"``.
    sample_weight : str or Path, optional
        The same for weights.
    file_format : str, optional
        Name of the format, where neither the suffix nor the first bytes of the file tell.
    trust_pickle : bool, default=False
        Read pickles too. They can run any code: only for files of your own.
    sandbox : bool or calkit.io.Sandbox, default=False
        Read in a process of its own with limits of memory and time, for files of strangers.

    Returns
    -------
    Predictions
        With the path and the split in `meta`.

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
    if member is not None and member not in container.fields:
        group = container.group(member)
        container, member = (container, member) if group is None else (group, None)
    found = resolve(container, kind=None if kind is None else as_kind(kind), split=split, scores=member or scores)
    others: dict[Role, Field] = {}
    if labels is not None:
        others["labels"] = _named(container, labels, "labels", **how)
    if sample_weight is not None:
        others["sample_weight"] = _named(container, sample_weight, "sample_weight", **how)
    meta: dict[str, Any] = {"file": str(path)}
    if found.split:
        meta["split"] = found.split
    try:
        return _build(container, found, others, meta)
    except CalkitError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def _build(container: Container, found: Resolved, named: dict[Role, Field], meta: dict[str, Any]) -> Predictions:
    _check_scores(container, found.scores)
    n_rows = found.scores.shape[0]
    weight = named.get("sample_weight") or found.get("sample_weight")
    y_true = _truth(container, found, named, n_rows)
    return Predictions(
        _load_scores(found.scores),
        y_true,
        kind=found.kind,
        sample_weight=None if weight is None else _column(weight, n_rows, "sample_weight", found.scores),
        class_names=None if found.kind == "confidence" else _class_names(found),
        meta=meta,
    )


def _check_scores(container: Container, item: Field) -> None:
    if item.dtype.kind == "O":
        # Says why it cannot be read, if it cannot.
        item.load()
    if item.dtype.kind not in "biuf" and str(item.dtype) != "bfloat16":
        raise InputError(
            f"{container.path}: the scores must be numbers, but {item.name!r} is of type {item.type_name}. Choose "
            f"another array with scores='NAME' (--scores NAME); the file holds {container.listing()}."
        )
    if len(item.shape) not in (1, 2):
        shape = "×".join(map(str, item.shape)) or "no axis"
        raise InputError(
            f"{container.path}: the scores must have shape (n, K), or (n,) for two classes or confidences, but "
            f"{item.name!r} has {shape}. For pixels, move the classes last and flatten the other axes."
        )
    if len(item.shape) == 2:
        check(f"{container.path}:{item.name}", columns=item.shape[1])


def _load_scores(item: Field) -> Any:
    source = item.load()
    # An array could not tell that its numbers were widened from something coarser.
    once = isinstance(source, LazyArray) and source.nbytes <= WHOLE_BYTES and source.itemsize == source.dtype.itemsize
    return np.asarray(source) if once else source


def _truth(container: Container, found: Resolved, named: dict[Role, Field], n_rows: int) -> Any:
    if found.kind != "confidence":
        labels = named.get("labels") or found.get("labels")
        if labels is None:
            pairs = len(found.scores.shape) == 1 and found.candidates.get("correct")
            hint = " If the scores are confidences in answers, say kind='confidence' (--kind confidence)."
            raise UsageError(
                f"{container.path}: no array is named like labels (labels, y_true, targets). It holds "
                f"{container.listing()}. Say where they are with labels='NAME or FILE' (--labels NAME or FILE)."
                f"{hint if pairs else ''}"
            )
        return _labels(labels, n_rows, found.scores)
    correct = found.get("correct")
    if "labels" in named:
        meaning = read_name(named["labels"].name)
        correct = named["labels"] if meaning is not None and meaning.role == "correct" else None
    if correct is not None:
        return _column(correct, n_rows, "correct", found.scores)
    labels, predicted = named.get("labels") or found.get("labels"), found.get("predicted")
    if labels is not None and predicted is not None:
        truth = _column(labels, n_rows, "labels", found.scores)
        return np.asarray(truth == _column(predicted, n_rows, "predicted", found.scores))
    raise UsageError(
        f"{container.path}: confidences need to know which answers were right: an array named 'correct', or "
        f"'labels' and 'predicted'. The file holds {container.listing()}."
    )


def _labels(item: Field, n_rows: int, scores: Field) -> Any:
    """Return labels; one-hot rows, which may be as large as the scores, become columns block by block."""
    _check_length(item, n_rows, "y_true", scores)
    source = item.load()
    if len(item.shape) != 2 or item.shape[1] == 1 or len(scores.shape) != 2:
        return _narrow(source, scores.shape[1] if len(scores.shape) == 2 else 2)
    step = block_rows(item.shape, item.dtype)
    starts = range(0, n_rows, step)
    parts = [encode_labels(source[start : start + step], scores.shape[1]) for start in starts]
    return TrueColumns.concatenate(parts, scores.shape[1])


def _narrow(source: Any, n_classes: int) -> NDArray[Any]:
    """Return labels; those that are not mapped are kept in the smallest type that holds them."""
    if not isinstance(source, LazyArray) or source.dtype.kind not in "iu":
        return np.asarray(source)
    narrow = np.min_scalar_type(n_classes)
    step = block_rows(source.shape, source.dtype)
    blocks = (np.asarray(source[start : start + step]) for start in range(0, len(source), step))
    # Labels that are no classes stay as they are, to be told of.
    parts = [block.astype(narrow) if block.min() >= 0 and block.max() < n_classes else block for block in blocks]
    return np.concatenate(parts) if parts else np.empty(source.shape, source.dtype)


def _column(item: Field, n_rows: int, what: str, scores: Field) -> NDArray[Any]:
    _check_length(item, n_rows, what, scores)
    values = item.read()
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _check_length(item: Field, n_rows: int, what: str, scores: Field) -> None:
    """Compare lengths before anything is read, so that a header alone cannot exhaust memory."""
    if item.dtype.kind == "O":
        item.load()
    if not item.shape or item.shape[0] != n_rows:
        rows = f"{item.shape[0]} rows" if item.shape else "no rows"
        raise InputError(
            f"{what} has {rows}, but the scores have {n_rows}: {item} and {scores} do not belong together. Choose "
            "arrays of the same split."
        )


def _class_names(found: Resolved) -> Any:
    if found.scores.columns:
        return found.scores.columns
    n_classes = found.scores.shape[1] if len(found.scores.shape) == 2 else 2
    names = found.get("class_names")
    return names.read() if names is not None and names.shape == (n_classes,) else None


def _named(container: Container, name: str | Path, role: Role, **how: Any) -> Field:
    """Return the array that the user named: one of the same file, of another one, or a whole file."""
    text = str(name)
    if text in container.fields:
        return container.fields[text]
    path, member = split_address(text)
    if not is_address(path) and format_of_suffix(path) is None:
        raise unknown_name("array", text, container.fields, of=container.path)
    other = open_container(path, **how)
    if member is not None:
        return other.find(member)
    if len(other.fields) == 1:
        return next(iter(other.fields.values()))
    fitting = [item for item in other.fields.values() if (m := read_name(item.name)) and m.role == role]
    if len(fitting) != 1:
        raise UsageError(f"{path} holds {other.listing()}. Say which one is meant: '{path}:NAME'.")
    return fitting[0]
