"""Results as tables: columns, and data frames of pandas or polars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from calkit.errors import MissingDependencyError
from calkit.registry import unknown_name

__all__ = ["Tabular"]

_LIBRARIES = ("pandas", "polars")


class Tabular(ABC):
    """What can be looked at as a table."""

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Return the table as columns of one length, by name."""

    def frame(self, library: str | None = None) -> Any:
        """Return the table as a data frame.

        Parameters
        ----------
        library : {"pandas", "polars"}, optional
            By default pandas, or polars where only that is installed.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame

        Raises
        ------
        MissingDependencyError
            If the library, or both, are not installed; ``columns()`` needs none.
        """
        if library is not None and library not in _LIBRARIES:
            raise unknown_name("library", library, _LIBRARIES)
        wanted = _LIBRARIES if library is None else (library,)
        found = next((name for name in wanted if find_spec(name) is not None), None)
        if found is None:
            raise MissingDependencyError(
                f"A data frame needs {' or '.join(wanted)}: pip install {wanted[0]}; columns() needs none."
            )
        return import_module(found).DataFrame(self.columns())
