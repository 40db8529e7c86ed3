"""How displays show themselves in notebooks."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from calkit.notebook import html_picture
from calkit.printing import summary_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Showing"]


class Showing(ABC):
    """A display that a notebook shows as a picture while it has not been drawn; a drawn one is there already."""

    @abstractmethod
    def _new_figure(self) -> Figure:
        """Draw the display in a figure that is not registered with pyplot."""

    def _repr_html_(self) -> str | None:
        """Return the picture of a display that is not drawn yet, which it stays; None once it is."""
        if hasattr(self, "figure_"):
            return None
        return html_picture(copy.copy(self)._new_figure(), summary_of(type(self)))
