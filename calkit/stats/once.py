"""A property that is computed once, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["once"]

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """A property that is computed when it is first asked for, and kept.

    Python's ``functools.cached_property`` does the same, but before Python 3.12 it holds a lock while it computes, one
    for all instances: threads that work on blocks of their own would wait for each other.

    Parameters
    ----------
    compute : callable
        Takes the instance, returns the value.

    Examples
    --------
    >>> class Block:
    ...     @once
    ...     def total(self) -> int:
    ...         print("computed")
    ...         return 3
    >>> block = Block()
    >>> block.total + block.total
    computed
    6
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        """Return the value; the instance keeps it under the same name, where Python finds it from then on."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
