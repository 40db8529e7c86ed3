"""Calibrators by name, those of other packages included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from calkit.registry import Registry
from calkit.specs import call_with_spec, parse_spec

if TYPE_CHECKING:
    from calkit.calibrators.base import Calibrator

__all__ = ["CALIBRATORS", "available_calibrators", "get_calibrator", "register_calibrator"]

#: Calibrator classes by name. Other packages add theirs by an entry point of the group ``calkit.calibrators``.
CALIBRATORS: Registry[type[Calibrator]] = Registry(
    "calibrator", entry_points="calkit.calibrators", listed_by="'calkit calibrators'"
)

C = TypeVar("C", bound="Calibrator")


def register_calibrator(name: str, *, aliases: Iterable[str] = ()) -> Callable[[type[C]], type[C]]:
    """Return a class decorator that registers a calibrator and sets its `name`.

    Parameters
    ----------
    name : str
        The word in specs, JSON and tables: ``"temperature"``.
    aliases : iterable of str
        Other words for it.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If a name is taken.

    Notes
    -----
    A package of your own lists the module that does this in its ``pyproject.toml``::

        [project.entry-points."calkit.calibrators"]
        mine = "my_package.calibrators"

    Examples
    --------
    >>> from calkit.calibrators import CALIBRATORS
    >>> CALIBRATORS["temperature"].name
    'temperature'
    """

    def register(calibrator: type[C]) -> type[C]:
        CALIBRATORS.register(name, aliases=aliases)(calibrator)
        calibrator.name = name
        return calibrator

    return register


def available_calibrators() -> list[str]:
    """Return the names of all calibrators."""
    return list(CALIBRATORS)


def get_calibrator(spec: str) -> Calibrator:
    """Return the (not yet fitted) calibrator a string stands for.

    Parameters
    ----------
    spec : str
        A name, with parameters after a colon: ``"temperature:objective=ece"``.

    Returns
    -------
    Calibrator

    Raises
    ------
    NotFoundError
        If no calibrator has that name.
    UsageError
        If a parameter is unknown.

    Examples
    --------
    >>> from calkit.calibrators import get_calibrator
    >>> get_calibrator("temperature:objective=ece")
    TemperatureScaling(objective='ece')
    """
    parsed = parse_spec(spec)
    return call_with_spec(CALIBRATORS[parsed.name], parsed, "calibrator")
