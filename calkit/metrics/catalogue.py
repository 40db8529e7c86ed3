"""The catalogue of metrics as people read it: in the documentation and on the command line."""

from __future__ import annotations

from calkit.metrics.base import METRICS, MetricDefinition
from calkit.printing import markdown_table
from calkit.specs import Spec

__all__ = ["about", "markdown"]


def about(definition: MetricDefinition) -> dict[str, str]:
    """Return what the catalogue says of a metric, each item as text.

    Examples
    --------
    >>> from calkit.metrics import METRICS
    >>> from calkit.metrics.catalogue import about
    >>> about(METRICS["ece"])["parameters"]
    'n_bins=15, binning=uniform, norm=l1, convention=none'
    """
    low, high = definition.bounds
    _, _, parameters = str(Spec("", (), definition.defaults)).partition(":")
    unit = " (shown in %)" if definition.percent else ""
    best = "higher is better" if definition.higher_is_better else "lower is better"
    best = "describes the predictions; neither end is better" if definition.descriptive else best
    return {
        "name": definition.name,
        "aliases": ", ".join(definition.aliases),
        "title": definition.title,
        "summary": definition.summary,
        "formula": definition.formula,
        "parameters": parameters.replace(",", ", "),
        "targets": ", ".join(definition.supports()),
        "range": f"{low:g} to {high:g}",
        "reading": best + unit,
        "cost": definition.cost,
        "interval": _interval(definition),
        "source": definition.reference,
        "trust": definition.trust,
    }


def _interval(definition: MetricDefinition) -> str:
    """Return how the interval is found, or why there is none."""
    if definition.no_interval:
        return f"none: {definition.no_interval}"
    inference = definition.recipe({}).inference
    return "none" if inference is None else inference.interval


def markdown() -> str:
    """Return the table of all metrics, as the user guide has it."""
    rows = list(map(about, METRICS.values()))
    header = ("name", "what it is", "formula", "range", "cost", "interval", "source", "when to trust it")
    lines = []
    for row in rows:
        words = f"`{row['name']}`" + (f" ({row['aliases']})" if row["aliases"] else "")
        parameters = f" Parameters: `{row['parameters']}`." if row["parameters"] else ""
        rest = (row[item] for item in ("formula", "range", "cost", "interval", "source", "trust"))
        lines.append((words, row["summary"] + parameters, *rest))
    return markdown_table(header, lines)
