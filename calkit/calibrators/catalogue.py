"""The table of all registered calibrators, made of what they say of themselves."""

from __future__ import annotations

import inspect

from calkit.calibrators.registration import CALIBRATORS
from calkit.printing import markdown_table, summary_of

__all__ = ["about", "markdown"]

_HEADER = ("name", "what it does", "parameters", "takes", "order of classes")
_TAKES = {"weights": "weights", "shards": "files out of core", "pairs": "pairs", "soft": "soft labels"}


def about(name: str) -> dict[str, str]:
    """Return what is to be known of a calibrator before it is fitted.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of str
        ``name``, ``aliases``, ``class``, ``summary``, ``parameters``, ``takes`` and ``order``.

    Examples
    --------
    >>> about("temperature")["summary"]
    'Divide the logits by a temperature.'
    """
    calibrator = CALIBRATORS[name]
    unfitted = calibrator()
    parameters = inspect.signature(calibrator).parameters.values()
    takes = ["two classes only"] * calibrator.binary_only
    takes += [words for feature, words in _TAKES.items() if feature in unfitted.supports]
    return {
        "name": calibrator.name,
        "aliases": ", ".join(word for word, own in CALIBRATORS.aliases().items() if own == calibrator.name),
        "class": calibrator.__name__,
        "summary": summary_of(calibrator),
        "parameters": ", ".join(f"{p.name}={p.default!r}" for p in parameters),
        "takes": ", ".join(takes),
        "order": "kept" if unfitted.keeps_order else "may change",
    }


def markdown() -> str:
    """Return the table, as the user guide has it."""
    lines = []
    for row in map(about, CALIBRATORS):
        words = f"`{row['name']}`" + (f" (`{row['aliases']}`)" if row["aliases"] else "")
        parameters = f"`{row['parameters']}`" if row["parameters"] else ""
        summary = f"{row['summary']} {{py:obj}}`calkit.calibrators.{row['class']}`"
        lines.append((words, summary, parameters, row["takes"], row["order"]))
    return markdown_table(_HEADER, lines)
