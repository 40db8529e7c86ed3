"""What is said where names leave open what the scores are, or say that they cannot be."""

from __future__ import annotations

import re
from collections.abc import Sequence

from calkit.containers.container import Container, Field, printable
from calkit.errors import UsageError
from calkit.names import LOGARITHMS, SEPARATORS, read_class_column
from calkit.predictions import Kind

__all__ = ["check_is_logit", "column_hint", "columns_example", "length_advice"]

# Columns that an example lists in full.
_LISTED = 10


def check_is_logit(container: Container, scores: Field) -> None:
    """Raise for the logarithms of the probabilities of one event: an event that is sure has 0, but an infinite logit.

    Raises
    ------
    UsageError
    """
    if scores.dtype.kind in "biuf" and scores.shape[1:] in ((), (1,)) and _is_log_probability(scores.name):
        raise UsageError(
            f"{container.path}: {printable(scores.name)!r} is one column of log-probabilities, which are no logits: "
            "log(p), not log(p / (1 - p)). Write their exponentials, under the name 'prob', or 'confidence' if each is "
            "that of the answer given; if they are log(p / (1 - p)), say kind='logits' (--kind logits)."
        )


def _is_log_probability(name: str) -> bool:
    """Tell whether an array is named as one of logarithms of probabilities, of one class or of all."""
    column = read_class_column(name)
    words = re.split(f"[{re.escape(SEPARATORS)}]", (name if column is None else column.array).lower())
    return any("_".join(words[start:end]) in LOGARITHMS for end in range(len(words) + 1) for start in range(end))


def column_hint(container: Container, kind: Kind | None) -> str:
    """Return how to say that several columns are the scores, if there are several that could be."""
    table = container.stack is not None
    single = (item for item in container.fields.values() if len(item.shape) == 1 and item.dtype.kind in "fU")
    columns = [item for item in single if item.is_of_numbers(table=table)]
    if len(columns) < 2:
        return ""
    said = "" if kind else ", and what they hold with kind='logits' or kind='probs' (--kind)"
    return f", or the columns of the classes: --scores '{columns_example(columns)}'{said}"


def length_advice(item: Field, scores: Field) -> str:
    """Return what to do about an array that has not as many rows as the scores."""
    if len(scores.shape) == 2 and item.shape[:1] == scores.shape[1:]:
        return (
            "If each column of the scores is a sample, say so: class_axis=0 (--class-axis 0). "
            "If not, choose arrays of the same split."
        )
    return "Choose arrays of the same split."


def columns_example(columns: Sequence[Field]) -> str:
    """Return how columns are listed, all of them where that is short."""
    names = [printable(item.name) for item in columns]
    return ",".join(names if len(names) <= _LISTED else [*names[:3], "..."])
