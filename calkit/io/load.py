"""load_predictions: from a file to checked predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.errors import CalkitError, FileFormatError, InputError, UsageError
from calkit.io.container import Container, Field
from calkit.io.formats import find_format, open_container
from calkit.io.names import Role, read_name
from calkit.io.resolve import Resolved, resolve
from calkit.predictions import Kind, Predictions, as_kind
from calkit.registry import unknown_name

__all__ = ["load_predictions"]


def load_predictions(
    path: str | Path,
    *,
    kind: str | None = None,
    split: str | None = None,
    scores: str | None = None,
    labels: str | Path | None = None,
    sample_weight: str | Path | None = None,
) -> Predictions:
    """Read predictions from a file.

    Parameters
    ----------
    path : str or Path
        A .npz, .npy, .csv or .tsv file. ``"file.npz:name"`` addresses one array of it.
    kind : {"logits", "probs", "confidence"}, optional
        What the scores are. Needed where the name of the array does not tell; values are never looked at.
    split : str, optional
        Which split (``"validation"``, ``"test"``, …) of a file that holds several, as ``val_logits`` and
        ``test_logits`` do.
    scores : str, optional
        Name of the array that holds the scores, where it cannot be told.
    labels : str or Path, optional
        Name of the array that holds the labels, or another file, or ``"file.npz:name"``.
    sample_weight : str or Path, optional
        The same for weights.

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
    container = open_container(path)
    found = resolve(container, kind=None if kind is None else as_kind(kind), split=split, scores=member or scores)
    others = dict(found.others)
    if labels is not None:
        others["labels"] = _named(container, labels, "labels")
        others.pop("correct", None)
        others.pop("predicted", None)
    if sample_weight is not None:
        others["sample_weight"] = _named(container, sample_weight, "sample_weight")
    meta: dict[str, Any] = {"file": str(path)}
    if found.split:
        meta["split"] = found.split
    try:
        return _build(container, found, others, meta)
    except CalkitError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def split_address(address: str | Path) -> tuple[Path, str | None]:
    """Split ``file.npz:name`` into the file and the name; a path that exists is never split."""
    text = str(address)
    head, colon, name = text.rpartition(":")
    if colon and head and name and not Path(text).exists() and Path(head).exists():
        return Path(head), name
    return Path(text), None


def _build(container: Container, found: Resolved, others: dict[Role, Field], meta: dict[str, Any]) -> Predictions:
    scores = found.scores.load()
    y_true = _truth(container, found.kind, others)
    weight = np.asarray(others["sample_weight"].load()) if "sample_weight" in others else None
    names = None
    if found.kind != "confidence":
        names = _class_names(found.scores, others)
    return Predictions(scores, y_true, kind=found.kind, sample_weight=weight, class_names=names, meta=meta)


def _truth(container: Container, kind: Kind, others: dict[Role, Field]) -> NDArray[Any]:
    if kind != "confidence":
        if "labels" not in others:
            raise UsageError(
                f"{container.path}: no array is named like labels (labels, y_true, targets). It holds "
                f"{container.listing()}. Say where they are with labels='NAME or FILE' (--labels NAME or FILE)."
            )
        return np.asarray(others["labels"].load())
    if "correct" in others:
        return np.asarray(others["correct"].load())
    if "labels" in others and "predicted" in others:
        truth, predicted = (np.asarray(others[role].load()) for role in ("labels", "predicted"))
        if truth.shape != predicted.shape:
            raise InputError(f"the labels have shape {truth.shape}, but the predicted classes {predicted.shape}.")
        return np.asarray(truth == predicted)
    raise UsageError(
        f"{container.path}: confidences need to know which answers were right: an array named 'correct', or "
        f"'labels' and 'predicted'. The file holds {container.listing()}."
    )


def _class_names(scores: Field, others: dict[Role, Field]) -> Any:
    if scores.columns:
        return scores.columns
    n_classes = scores.shape[1] if len(scores.shape) == 2 else 2
    names = others.get("class_names")
    return names.load() if names is not None and names.shape == (n_classes,) else None


def _named(container: Container, name: str | Path, role: Role) -> Field:
    """Return the array that the user named: one of the same file, of another one, or a whole file."""
    text = str(name)
    if text in container.fields:
        return container.fields[text]
    path, member = split_address(text)
    if not path.exists():
        try:
            find_format(path)
        except FileFormatError:
            raise unknown_name(f"array of {container.path}", text, container.fields) from None
    other = open_container(path)
    if member is not None:
        if member not in other.fields:
            raise unknown_name(f"array of {path}", member, other.fields)
        return other.fields[member]
    if len(other.fields) == 1:
        return next(iter(other.fields.values()))
    fitting = [item for item in other.fields.values() if (m := read_name(item.name)) and m.role == role]
    if len(fitting) != 1:
        raise UsageError(f"{path} holds {other.listing()}. Say which one is meant: '{path}:NAME'.")
    return fitting[0]
