"""The classes that columns of scores stand for, found by what labels may call them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.arrays import to_values
from calkit.errors import InputError
from calkit.labels.values import is_missing, key_of, plain

__all__ = ["ClassIndex", "as_array", "as_class_names"]


class ClassIndex:
    """The columns of the classes, by what labels may call them.

    Parameters
    ----------
    names : sequence or None
        The name of each column; None for 0, 1, … K-1.
    n_classes : int
        Number of columns.

    Attributes
    ----------
    names : tuple or None

    Raises
    ------
    InputError
        If names do not fit the columns, or two of them are one label.

    Examples
    --------
    >>> index = ClassIndex([1, 2, 3], 3)
    >>> [index.find(label) for label in (1, "2", 3.0, b"3", 0)]
    [0, 1, 2, 2, None]
    """

    def __init__(self, names: Sequence[Any] | None, n_classes: int) -> None:
        self.names = as_class_names(names, n_classes)
        self._n_classes = n_classes
        self._truth = n_classes == 2
        self._columns: dict[Hashable, int] = dict(enumerate(range(n_classes)))
        #: Whether a name is a number, and whether a number stands for the column of that place.
        self.numbered, self.by_position = True, True
        if self.names is not None:
            self._take(self.names)

    def _take(self, names: tuple[Any, ...]) -> None:
        # Two classes that are named as truth values are truth values: True is 1, and "true" as well.
        self._truth = self._truth and {key_of(name, True) for name in names} == {0, 1}
        spelled = [str(name) if isinstance(name, bool) and not self._truth else name for name in names]
        keys = [key_of(name, self._truth) for name in spelled]
        self._columns = {}
        for column, (key, name) in enumerate(zip(keys, names, strict=True)):
            if key in self._columns:
                raise InputError(
                    f"class_names must differ as labels do, but {names[self._columns[key]]!r} and {name!r} are one "
                    "label; rename one of them."
                )
            self._columns[key] = column
        self.numbered = any(isinstance(key, int | float) for key in keys)
        self.by_position = not self.numbered or keys == list(range(len(names)))

    def find(self, label: Any, *, positions: bool = True, first: int = 0) -> int | None:
        """Return the column of a label; None if there is none.

        Where no name is a number, a number can only be a position; `positions` says whether it may. Positions are
        counted from `first`.
        """
        key = key_of(label, self._truth)
        if first and isinstance(key, int) and not isinstance(key, bool):
            key -= first
        if isinstance(key, bool) and not self._truth:
            # Classes that are not all truth values may still be called so: True, Neither, False.
            named = self._columns.get(str(key), self._columns.get(str(key).lower()))
            return self._columns.get(key) if named is None and self.numbered else named
        if positions and not self.numbered and isinstance(key, int) and 0 <= key < self._n_classes:
            return key
        return self._columns.get(key)

    def refuse(self, label: Any, row: int, n_classes: int) -> InputError:
        """Return the error for a label that is none of the classes."""
        if self.names is not None:
            shown = ", ".join(repr(name) for name in self.names[:10]) + (", …" if n_classes > 10 else "")
            if isinstance(label, bool):
                return InputError(
                    f"y_true holds {label} in row {row}, which is not one of the classes {shown}. Write the labels by "
                    "these names, or as 0 for the first class and 1 for the second."
                )
            first = ""
            if not self.numbered and isinstance(key_of(label, False), int):
                first = "If labels count from 1, say labels_from=1 (--labels-from 1); else name"
            return InputError(
                f"y_true holds {label!r} in row {row}, which is not one of the classes {shown}. {first or 'Name'} all "
                f"classes in class_names (--class-names), or leave such rows out: ignore_label={label!r} "
                "(--ignore-label "
                f"{label})."
            )
        if isinstance(key_of(label, False), int | float):
            return InputError(
                f"y_true must lie in 0..{n_classes - 1} (one column of the scores per class), but row {row} is "
                f"{label}. If labels count from 1, say labels_from=1 (--labels-from 1); if columns have other names, "
                f"pass class_names (--class-names); to leave such rows out, say ignore_label={label!r} (--ignore-label "
                f"{label})."
            )
        event = " A single column needs the label that it is the forecast of: pos_label (--positive)."
        return InputError(
            f"y_true holds {label!r} in row {row}, but which column is which is unknown. Pass class_names "
            "(--class-names), one name per column of the scores, in their order; of a scikit-learn model, "
            f"class_names=model.classes_.{event if n_classes == 2 else ''}"
        )


def as_class_names(names: Any, n_classes: int | None = None) -> tuple[Any, ...] | None:
    """Return the names of the classes, one per column, as plain Python values: numbers stay numbers.

    Parameters
    ----------
    names : sequence, array, mapping or None
        A mapping is one from columns to names, or from names to columns: ``id2label`` and ``label2id`` of a model.
    n_classes : int, optional
        Number of columns, which that of the names must be.

    Returns
    -------
    tuple or None

    Raises
    ------
    InputError
        If their number is not the number of columns, one is missing, or two are equal.
    """
    if names is None:
        return None
    if isinstance(names, Mapping):
        names = _from_mapping(names)
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InputError(f"class_names must be a sequence, one name per column, but is {names!r}.")
    found = tuple(plain(name) for name in (names if isinstance(names, list | tuple) else to_values(names).tolist()))
    if n_classes is not None and len(found) != n_classes:
        raise InputError(f"class_names has {len(found)} entries, but the scores have {n_classes} columns.")
    if any(is_missing(name) for name in found):
        raise InputError("class_names has an entry that is missing (None or NaN); name every column.")
    seen: set[Any] = set()
    for name in found:
        if name in seen:
            raise InputError(f"class_names must differ, but {name!r} appears more than once.")
        seen.add(name)
    return found


def as_array(names: Sequence[Any]) -> NDArray[Any]:
    """Return names of classes as an array: of numbers or of text, if all of them are, else of objects."""
    alike = len({isinstance(name, str) for name in names}) == 1
    return np.array(names) if alike else np.array(names, dtype=object)


def _from_mapping(names: Mapping[Any, Any]) -> list[Any]:
    """Return the names in the order of the columns, of a mapping either way."""
    columns = range(len(names))
    for pairs in (names.items(), [(column, name) for name, column in names.items()]):
        keyed = {key_of(column, False): name for column, name in pairs}
        if set(keyed) == set(columns):
            return [keyed[column] for column in columns]
    raise InputError(f"class_names must map the columns 0..{len(names) - 1} to names, but is {dict(names)!r:.200}.")
