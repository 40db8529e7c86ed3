"""Pictures that commands write: their formats are checked before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from calkit.atomic import atomic_write
from calkit.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_picture", "save_picture"]


def check_picture(path: Path) -> None:
    """Raise if pictures are not written in the format that the suffix names."""
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in formats:
        known = ", ".join(f".{name}" for name in sorted(formats))
        raise UsageError(f"{path}: a picture needs a suffix that names its format: {known}.")


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure, which appears whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150)
