"""The losses as people read them: in the documentation."""

from __future__ import annotations

import inspect

from calkit.printing import markdown_table, summary_of
from calkit_torch.losses._base import LOSSES

__all__ = ["about", "markdown"]


def about(name: str) -> dict[str, str]:
    """Return what is to be known of a loss, each item as text.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of str
        ``name``, ``spec`` (with the first parameter's default), ``formula``, ``parameters`` and ``reference``.

    Examples
    --------
    >>> about("focal")["spec"], about("mmce")["parameters"]
    ('focal:3', 'strength=2, base=ce, scaling=paper')
    """
    loss = LOSSES[name]
    parameters = [p for p in inspect.signature(loss).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return {
        "name": name,
        "spec": str(loss()),
        "formula": loss.formula or summary_of(loss),
        "parameters": ", ".join(f"{p.name}={_shown(p.default)}" for p in parameters),
        "reference": loss.reference,
    }


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def markdown() -> str:
    """Return the table of all losses, as the user guide has it."""
    rows = map(about, LOSSES)
    return markdown_table(
        ("string", "loss of a sample, or penalty", "parameters", "reference"),
        [
            (f"`{row['spec']}`", row["formula"], f"`{row['parameters']}`" * bool(row["parameters"]), row["reference"])
            for row in rows
        ],
    )
