"""The formats of files as people read them: in the documentation and on the command line."""

from __future__ import annotations

from calkit.hardening.guard import extra_of
from calkit.io.formats import FORMATS, WritableFormat
from calkit.io.text import COMPRESSIONS
from calkit.printing import markdown_table, summary_of

__all__ = ["about", "markdown"]


def about(name: str) -> dict[str, str]:
    """Return what is to be known of a format, each item as text.

    Examples
    --------
    >>> about("npy")["expected"]
    'One array, named after its file; mapped into memory.'
    """
    form = FORMATS[name]
    library = form.requires[0].split(".")[0] if form.requires else ""
    return {
        "name": name,
        "suffixes": " ".join(s for s in form.suffixes if not s.endswith(COMPRESSIONS)) or "(folders)",
        "expected": summary_of(form),
        "use": "read, write" if isinstance(form, WritableFormat) else "read",
        "library": library,
        "extra": extra_of(library),
    }


def markdown() -> str:
    """Return the table of all formats, as the user guide has it."""
    lines = []
    for row in map(about, FORMATS):
        suffixes = " ".join(f"`{suffix}`" if suffix.startswith(".") else suffix for suffix in row["suffixes"].split())
        packed = ", also compressed" if FORMATS[row["name"]].is_text else ""
        needs = f"`[{row['extra']}]`" if row["extra"] else row["library"]
        lines.append((f"`{row['name']}`", suffixes + packed, row["expected"].replace("``", "`"), row["use"], needs))
    return markdown_table(("format", "files", "what is expected", "can be", "needs"), lines)
