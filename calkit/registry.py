"""Names that stand for things: the same word in Python, on the command line and in JSON."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from calkit.errors import NotFoundError

__all__ = ["Registry", "unknown_name"]

T = TypeVar("T")


# Of a list that is to be had elsewhere, an error shows the first names.
_SHOWN = 8


def unknown_name(what: str, name: str, known: Iterable[str], *, of: object = "", listed_by: str = "") -> NotFoundError:
    """Build the error for an unknown name, with the nearest known one and the list.

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
    listed_by : str, optional
        What lists the names: ``"'calkit metrics'"``. A long list is then cut short, with a pointer to it.

    Returns
    -------
    NotFoundError
        To be raised by the caller.
    """
    known = list(known)
    lowered = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    hint = f" Did you mean {lowered[near[0]]!r}?" if near else ""
    cut = bool(listed_by) and len(known) > _SHOWN
    listing = ", ".join(known[:_SHOWN] if cut else known) if known else "none"
    rest = f", …; {listed_by} lists all {len(known)}" if cut else ""
    owner = f" of {of}" if str(of) else ""
    return NotFoundError(f"unknown {what} {name!r}{owner}.{hint} Known: {listing}{rest}.")


class Registry(Generic[T]):
    """A mapping from names (and aliases) to things, filled by a decorator.

    Parameters
    ----------
    what : str
        What is registered, in the singular, for error messages.
    entry_points : str, optional
        Group of entry points by which other packages add to it: each names a module whose import registers. They are
        loaded when a name is not found, or the registry is listed to its end.
    listed_by : str, optional
        What lists the names, for error messages, which then show the first ones only.

    Warns
    -----
    UserWarning
        If such a module cannot be imported.

    Examples
    --------
    >>> colours = Registry("colour")
    >>> @colours.register("red", aliases=("crimson",))
    ... def red():
    ...     return "#f00"
    >>> colours["Crimson"]()
    '#f00'
    >>> colours["rde"]
    Traceback (most recent call last):
    calkit.errors.NotFoundError: unknown colour 'rde'. Did you mean 'red'? Known: red.
    """

    def __init__(self, what: str, *, entry_points: str | None = None, listed_by: str = "") -> None:
        self.what = what
        self._listed_by = listed_by
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
                if word in self._items or word in self._aliases:
                    raise ValueError(f"{self.what} {word!r} is registered already")
            self._items[name] = item
            self._aliases.update(dict.fromkeys(aliases, name))
            return item

        return store

    def canonical(self, name: str) -> str:
        """Return the name an alias stands for; a name stands for itself, in capitals or not.

        Raises
        ------
        NotFoundError
            If nothing is registered under ``name``.
        """
        if name not in self:
            raise unknown_name(self.what, name, self._items, listed_by=self._listed_by)
        return self._find(name) or name

    def _find(self, name: object) -> str | None:
        for word in (name, name.lower()) if isinstance(name, str) else ():
            if word in self._items:
                return word
            if word in self._aliases:
                return self._aliases[word]
        return None

    def _load_plugins(self) -> None:
        """Import what other packages have announced, once."""
        group, self._group = self._group, None
        if group is None:
            return
        from importlib.metadata import entry_points

        for entry in entry_points(group=group):
            try:
                entry.load()
            except Exception as error:
                warnings.warn(
                    f"the {self.what} {entry.name!r} of another package ({entry.value}) cannot be loaded: "
                    f"{type(error).__name__}: {error}",
                    UserWarning,
                    stacklevel=3,
                )

    def __getitem__(self, name: str) -> T:
        return self._items[self.canonical(name)]

    def __contains__(self, name: object) -> bool:
        if self._find(name) is None:
            self._load_plugins()
        return self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        own = list(self._items)
        yield from own
        self._load_plugins()
        yield from [name for name in self._items if name not in own]

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._items)

    def values(self) -> Iterator[T]:
        """Yield what is registered, in the order of the names."""
        return (self._items[name] for name in self)

    def aliases(self) -> dict[str, str]:
        """Return a copy of the map from each alias to its name."""
        self._load_plugins()
        return dict(self._aliases)
