"""The plots of predictions as people read them: in the documentation and on the command line."""

from __future__ import annotations

import inspect

from calkit.plotting.base import OTHER_PLOTS, PLOTS
from calkit.plotting.shared import DISPLAY_ARGUMENTS
from calkit.printing import markdown_table, summary_of

__all__ = ["about", "markdown"]

# Arguments that all displays have, and Axes, which a spec cannot name.
_NOT_SHOWN = frozenset((*DISPLAY_ARGUMENTS, "share_ax"))


def about(name: str) -> dict[str, str]:
    """Return what is to be known of a plot, each item as text.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of str
        ``name``, ``class`` (with its module), ``summary`` and ``parameters``.

    Examples
    --------
    >>> about("confidence")["parameters"]
    'n_bins=25, target=None'
    """
    display = PLOTS[name]
    parameters = inspect.signature(display.from_predictions).parameters.values()
    own = [p for p in parameters if p.name not in _NOT_SHOWN and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return {
        "name": name,
        "class": f"{display.__module__}.{display.__qualname__}",
        "summary": summary_of(display),
        "parameters": ", ".join(f"{p.name}={p.default}" for p in own),
    }


def markdown() -> str:
    """Return the table of all plots, as the user guide has it."""
    rows = map(about, PLOTS)
    shown = [(f"`{row['name']}`", row["summary"], f"`{row['parameters']}`") for row in rows]
    others = [(f"`{name}`", summary_of(OTHER_PLOTS[name]), "") for name in OTHER_PLOTS]
    return markdown_table(("`--what`", "what it shows", "parameters"), [*shown, *others])
