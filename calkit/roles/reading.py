"""Named arrays, of which it is known what they are, as predictions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from calkit.containers.container import Container, Field, printable
from calkit.containers.words import as_numbers, first_word
from calkit.errors import CalibrationWarning, InputError, UsageError
from calkit.hardening.limits import WHOLE_BYTES, check
from calkit.lazy import Converted, LazyArray
from calkit.names import Role
from calkit.predictions import Predictions
from calkit.roles.families import Classes
from calkit.roles.resolve import Resolved, score_candidates
from calkit.roles.splits import apart_from_split
from calkit.roles.truth import Truth, file_classes, pairs, read_column, truth_of
from calkit.score_rows import ClassAxis

__all__ = ["Reading", "upright"]

_FLOATS = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))


@dataclass(frozen=True)
class Reading:
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
    dtype: Any = None
    whole: bool = True

    def predictions(self, meta: dict[str, Any], columns: str | Sequence[str] | None, *, labelled: bool) -> Predictions:
        """Read labels, weights and other columns, and the scores if they are small."""
        sign = "%" * self.percent
        found = replace(self.found, scores=as_numbers(self.found.scores, sign))
        _check_scores(self.container, found.scores, self.class_axis, sign)
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
        if self.dtype is None:
            return values
        stored = _as_float(self.dtype)
        return Converted(values, lambda rows: rows.astype(stored), values.shape, stored)

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


def upright(item: Field, class_axis: int) -> Field:
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
            f"{meta['file']}: {', '.join(meta['left_out'])} is left out, since it is none of the classes {names}. "
            "If it is one, name all classes with class_names (--class-names).",
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


def _as_float(dtype: Any) -> np.dtype[Any]:
    """Return a type of scores, or say which there are."""
    with contextlib.suppress(TypeError):
        if np.dtype(dtype) in _FLOATS:
            return np.dtype(dtype)
    raise UsageError(f"dtype (--dtype) must be one of {', '.join(map(str, _FLOATS))}, but is {dtype!r}.")
