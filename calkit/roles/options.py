"""The options of a question in logs of language models: which there are, in which order, and which one is right.

A record says so beside its scores: the LM evaluation harness under ``arguments``, ``doc_to_choice`` or ``doc/choices``,
others under ``choices`` or ``options``. Questions may have options of their own, and differ in how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import printable
from calkit.errors import FileFormatError

__all__ = ["lists_tokens", "option_names", "right_options", "with_alternatives"]

_LISTS = ("doc_to_choice", "choices", "options")


def lists_tokens(value: Any) -> bool:
    """Tell a list of ``{"token": ..., "logprob": ...}``, as OpenAI's interface and its like return."""
    return isinstance(value, list) and bool(value) and all(map(_is_token, value))


def _is_token(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("token"), str) and "logprob" in entry


def with_alternatives(value: Any) -> Any:
    """Return the log-probabilities of the tokens that might have stood in one place by token, where they are listed.

    They are a list of ``{"token": ..., "logprob": ...}``, or stand as ``top_logprobs`` beside the only token of an
    answer, maybe under ``content``. Any other value is returned unchanged, answers of several tokens among them.

    Examples
    --------
    >>> with_alternatives([{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}])
    {'A': -0.1, 'B': -2.5}
    """
    listed = value["content"] if isinstance(value, dict) and lists_tokens(value.get("content")) else value
    if not lists_tokens(listed):
        return value
    if any("top_logprobs" in entry for entry in listed):
        listed = listed[0]["top_logprobs"] if len(listed) == 1 else None
    if not lists_tokens(listed):
        return value
    found = {entry["token"]: entry["logprob"] for entry in listed}
    return found if len(found) == len(listed) else value


def option_names(record: Mapping[str, Any], n_options: int) -> list[list[str]]:
    """Return what a record calls its options: lists of different words, one for each score.

    Examples
    --------
    >>> record = {"arguments": [["Is it?", " True"], ["Is it?", " False"]], "doc": {"choices": ["yes", "no"]}}
    >>> option_names(record, 2)
    [['True', 'False'], ['yes', 'no']]
    """
    found = []
    for words in _named_options(record):
        stripped = [str(word).strip() for word in words]
        if len(stripped) == n_options == len(set(stripped)) and stripped not in found:
            found.append(stripped)
    return found


def _named_options(record: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    arguments = record.get("arguments")
    if isinstance(arguments, Mapping):
        # As later versions write them: {"gen_args_0": {"arg_0": "Is it?", "arg_1": " True"}, ...}.
        arguments = [list(entry.values()) for entry in arguments.values() if isinstance(entry, Mapping)]
    if isinstance(arguments, list) and all(isinstance(entry, list) and entry for entry in arguments):
        yield [entry[-1] for entry in arguments]
    document = record.get("doc")
    for place in (record, document if isinstance(document, Mapping) else {}):
        for key in _LISTS:
            value = place.get(key)
            for words in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(words, list) and all(isinstance(word, str | int | float) for word in words):
                    yield words


def right_options(
    path: object,
    records: Sequence[Mapping[str, Any]],
    scores: Sequence[Any],
    targets: Sequence[Any],
    row: int,
    *,
    places: bool = False,
) -> NDArray[np.int64]:
    """Return the place of the right option in each record, of which the first has the number `row`.

    A target is one of the options, by any of their names, or its place; always a place if they are `places`.
    """
    rows = zip(records, scores, targets, strict=True)
    found = [_right(record, len(own), target, places=places) for record, own, target in rows]
    for index, own in enumerate(found):
        if len(own) != 1:
            names = option_names(records[index], len(scores[index]))
            which = "which could be several of" if own else "which is none of"
            raise FileFormatError(
                f"{path}: row {row + index} has {printable(str(targets[index]))[:60]!r} for the right answer, "
                f"{which} its options: {printable(str(names or len(scores[index])))[:200]}. Write its place among "
                "them, counted from 0, under the key 'gold_index'."
            )
    return np.array([next(iter(own)) for own in found], dtype=np.int64)


def _right(record: Mapping[str, Any], n_options: int, target: Any, *, places: bool) -> set[int]:
    """Return the places that a target can mean."""
    word = str(target).strip()
    found = {words.index(word) for words in option_names(record, n_options) if word in words and not places}
    if word.isdecimal() and int(word) < n_options and isinstance(target, int | str) and not isinstance(target, bool):
        found.add(int(word))
    return found
