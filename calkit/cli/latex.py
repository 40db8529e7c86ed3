"""Tables for LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["latex_table"]

# Of OT1, LaTeX's first font encoding, the places of < > and | hold other characters.
_ESCAPES = {
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "–": "--",
}
# The sign of a number, and not a hyphen in a name.
_MINUS = re.compile(r"(?<![^\s\[(,])-(?=\d)")
_SPECIAL = re.compile("|".join([_MINUS.pattern, *map(re.escape, _ESCAPES)]))


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_texts: int = 1) -> str:
    r"""Return a table; its first columns are texts, and the others, to the right, numbers.

    Examples
    --------
    >>> print(latex_table(["model", "ECE %"], [["a_b-1", "-0.2, p < .001"]]), end="")
    \begin{tabular}{lr}
    \toprule
    model & ECE \% \\
    \midrule
    a\_b-1 & $-$0.2, p \textless{} .001 \\
    \bottomrule
    \end{tabular}
    """
    head, *body = (" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows))
    columns = "l" * n_texts + "r" * (len(header) - n_texts)
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    found = _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "$-$"), text)
    # After the end of a line, a bracket would be an option of it.
    return f"{{}}{found}" if found.startswith("[") else found
