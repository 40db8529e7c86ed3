"""Templates of pages: calkit's own, or one of the user's that may extend it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calkit.errors import FileFormatError
from calkit.printing import printable

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["assets", "environment", "template_errors"]


def assets() -> dict[str, str]:
    """Return what pages hold within themselves: `style`, `script`, and its hash, by which they allow it."""
    folder = resources.files("calkit.report").joinpath("static")
    style, script = (folder.joinpath(f"report.{kind}").read_text(encoding="utf-8").strip() for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": style, "script": script, "script_hash": digest}


def environment(
    filters: Mapping[str, Callable[..., Any]], functions: Mapping[str, Callable[..., Any]], own: Path | None = None
) -> Environment:
    """Return where templates are found, with what they can call.

    Parameters
    ----------
    filters, functions : mapping of str to callable
    own : Path, optional
        A template of the user's: its folder is looked through too, after calkit's templates.
    """
    import jinja2

    loaders: list[jinja2.BaseLoader] = [jinja2.PackageLoader("calkit.report")]
    if own is not None:
        loaders.insert(0, jinja2.FunctionLoader(lambda name: _text(own) if name == own.name else None))
        loaders.append(jinja2.FileSystemLoader(own.parent))
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(filters)
    found.globals.update(functions)
    return found


@contextmanager
def template_errors(own: Path | None) -> Iterator[None]:
    """Name the file and the line where a template of the user's is wrong."""
    import jinja2

    try:
        yield
    except jinja2.TemplateError as error:
        if own is None:
            raise
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line is not None else ""
        raise FileFormatError(f"{own}{where}: the template cannot be used: {error}.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}.") from None


def _shown(value: Any) -> Any:
    """Return what a page shows: names without control characters."""
    return printable(value, lines=True) if type(value) is str else value
