"""Pictures that commands write: their formats are checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calkit.atomic import atomic_write
from calkit.errors import UsageError
from calkit.printing import escape_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_size", "check_picture", "picture_style", "save_picture"]


def check_picture(path: Path) -> None:
    """Raise if pictures are not written in the format that the suffix names."""
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in formats:
        known = ", ".join(f".{name}" for name in sorted(formats))
        raise UsageError(f"{path}: a picture needs a suffix that names its format: {known}.")


def as_size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Return width and height of ``6x4``; a callback of the option."""
    if value is None:
        return None
    try:
        width, height = (float(side) for side in value.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 6x4", ctx, param) from None
    if not (0.5 <= width <= 100 and 0.5 <= height <= 100):
        raise click.BadParameter(f"{value!r}: both sides must lie in 0.5 to 100 inches", ctx, param)
    return width, height


@contextmanager
def picture_style(*, dark: bool = False) -> Iterator[None]:
    """Set matplotlib's style while a command draws: text in vector files stays text, and dark if asked."""
    from matplotlib import rc_context, style

    with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}):
        if dark:
            with style.context("dark_background"):
                yield
        else:
            yield


def save_picture(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a figure, which appears whole or not at all."""
    escape_texts(figure)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
