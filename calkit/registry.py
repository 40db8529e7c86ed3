"""Names that stand for things: the same word in Python, on the command line and in JSON."""

from __future__ import annotations

import difflib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from calkit.errors import NotFoundError

__all__ = ["Registry", "unknown_name"]

T = TypeVar("T")


def unknown_name(what: str, name: str, known: Iterable[str], *, of: object = "") -> NotFoundError:
    """Build the error for an unknown name, with the nearest known one and the whole list.

    Parameters
    ----------
    what : str
        What is being looked up, in the singular: ``"metric"``, ``"array"``.
    name : str
        The name that was not found.
    known : iterable of str
        The names that exist.
    of : object, optional
        To what they belong: the path of a file, say.

    Returns
    -------
    NotFoundError
        To be raised by the caller.
    """
    known = list(known)
    lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    hint = f" Did you mean {lowered[near[0]]!r}?" if near else ""
    listing = ", ".join(known) if known else "none"
    owner = f" of {of}" if str(of) else ""
    return NotFoundError(f"unknown {what} {name!r}{owner}.{hint} Known: {listing}.")


class Registry(Generic[T]):
    """A mapping from names (and aliases) to things, filled by a decorator.

    Parameters
    ----------
    what : str
        What is registered, in the singular, for error messages.
    entry_points : str, optional
        Group of the entry points by which other packages register things: ``"calkit.metrics"``. They are loaded when a
        name is not known, or all names are asked for. What an entry point names is imported, and registers itself.

    Notes
    -----
    Names ignore case.

    Examples
    --------
    >>> colours = Registry("colour")
    >>> @colours.register("red", aliases=("crimson",))
    ... def red():
    ...     return "#f00"
    >>> colours["crimson"]()
    '#f00'
    >>> colours["rde"]
    Traceback (most recent call last):
    calkit.errors.NotFoundError: unknown colour 'rde'. Did you mean 'red'? Known: red.
    """

    def __init__(self, what: str, *, entry_points: str | None = None) -> None:
        self.what = what
        self._group = entry_points
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def register(self, name: str, *, aliases: Iterable[str] = ()) -> Callable[[T], T]:
        """Return a decorator that stores its argument under ``name`` and ``aliases``.

        Raises
        ------
        ValueError
            If a name is taken already.
        """

        def store(item: T) -> T:
            for word in (name, *aliases):
                if self._known(word) is not None:
                    raise ValueError(f"{self.what} {word!r} is registered already")
            self._items[name] = item
            self._aliases.update(dict.fromkeys(aliases, name))
            return item

        return store

    def canonical(self, name: str) -> str:
        """Return the name an alias stands for; a name stands for itself.

        Raises
        ------
        NotFoundError
            If nothing is registered under ``name``.
        """
        known = self._known(name)
        if known is None:
            self._load()
            known = self._known(name)
        if known is None:
            raise unknown_name(self.what, name, self._items)
        return known

    def __getitem__(self, name: str) -> T:
        return self._items[self.canonical(name)]

    def __contains__(self, name: object) -> bool:
        if self._known(name) is None:
            self._load()
        return self._known(name) is not None

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._items)

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def _known(self, name: object) -> str | None:
        """Return the name that a word stands for, whatever its case; None if it stands for none."""
        if not isinstance(name, str):
            return None
        for word in (name, name.lower()):
            found = self._aliases.get(word, word)
            if found in self._items:
                return found
        return None

    def _load(self) -> None:
        """Load what other packages register by entry points, once; one that fails is left out with a warning."""
        group, self._group = self._group, None
        for entry in importlib.metadata.entry_points(group=group) if group else ():
            problem = ""
            try:
                entry.load()
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if self._known(entry.name) is None:
                problem = problem or f"{entry.value} registers no {self.what} of that name"
                warnings.warn(f"{self.what} {entry.name!r} of another package is left out: {problem}", stacklevel=3)

    def aliases(self) -> dict[str, str]:
        """Return a copy of the map from each alias to its name."""
        return dict(self._aliases)
