"""Readable strings with parameters: ``ece:n_bins=25``, ``focal:3``, ``focal-scheduled:5,3,2@100,250``.

The grammar is ``name[:argument,argument,…][@number,number,…]``, an argument being either a bare
value or ``key=value``. A value may itself be a spec (``temperature:objective=ece:n_bins=25``);
if it holds commas it stands in parentheses (``objective=(ece:n_bins=25,binning=quantile)``). What
stands in parentheses is text, and so are digits after a leading 0 (``positive:class=01``).
In a list of specs, separated by commas, a piece that reads ``key=value`` continues the spec before it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from calkit.errors import UsageError

__all__ = ["Spec", "Value", "call_with_spec", "parse_spec", "split_specs"]

Value = int | float | bool | str | None
T = TypeVar("T")

_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None}
_KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)")
# Names of classes, not numbers.
_PADDED = re.compile(r"[+-]?0\d+")


@dataclass(frozen=True)
class Spec:
    """A parsed spec string.

    Attributes
    ----------
    name : str
        The word before the first colon.
    args : tuple
        The bare values, in order.
    kwargs : dict
        The ``key=value`` arguments.
    at : tuple of float, or None
        The numbers after ``@``; None where there is no ``@``.
    """

    name: str
    args: tuple[Value, ...] = ()
    kwargs: dict[str, Value] = field(default_factory=dict)
    at: tuple[int | float, ...] | None = None

    @property
    def is_bare(self) -> bool:
        """Whether it is a name alone."""
        return not self.args and not self.kwargs and self.at is None

    def __str__(self) -> str:
        parts = [_format_value(v) for v in self.args]
        parts += [f"{k}={_format_value(v)}" for k, v in self.kwargs.items()]
        text = self.name + (":" + ",".join(parts) if parts else "")
        if self.at is not None:
            text += "@" + ",".join(_format_value(v) for v in self.at)
        return text


def parse_spec(text: str) -> Spec:
    """Parse one spec string.

    Parameters
    ----------
    text : str
        For example ``"temperature:objective=ece"``.

    Returns
    -------
    Spec

    Raises
    ------
    UsageError
        If it is no string, the name is empty, an argument is empty, or a key appears twice.

    Examples
    --------
    >>> parse_spec("ece:n_bins=25")
    Spec(name='ece', args=(), kwargs={'n_bins': 25}, at=None)
    >>> str(parse_spec("focal-scheduled:5,3,2@100,250"))
    'focal-scheduled:5,3,2@100,250'
    """
    if not isinstance(text, str):
        raise UsageError(f"a specification is a string, 'ece:n_bins=25' for instance, but got {text!r:.60}.")
    head, *tails = _split(text, "@")
    name, colon, rest = head.partition(":")
    name = name.strip()
    if not name:
        raise UsageError(f"a specification starts with a name, but {text!r} does not; write e.g. 'ece:n_bins=25'.")
    if len(tails) > 1:
        raise UsageError(f"{text!r} holds more than one '@'; put an inner specification in parentheses.")
    at = tuple(_number(piece, text) for piece in tails[0].split(",")) if tails else None
    args: list[Value] = []
    kwargs: dict[str, Value] = {}
    for piece in _split(rest) if colon else ():
        match = _KEY.match(piece)
        key = match.group(1) if match else None
        value = _value(piece[match.end() :] if match else piece, text)
        if key is None:
            args.append(value)
        elif key in kwargs:
            raise UsageError(f"{key!r} is given twice in {text!r}; give it once.")
        else:
            kwargs[key] = value
    return Spec(name, tuple(args), kwargs, at)


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list of specs: ``key=value`` pieces stay with the spec before them.

    Examples
    --------
    >>> split_specs("error,ece:n_bins=25,binning=quantile,mce")
    ['error', 'ece:n_bins=25,binning=quantile', 'mce']
    """
    specs: list[str] = []
    for piece in _split(text):
        if specs and _KEY.match(piece):
            specs[-1] += "," + piece
        else:
            specs.append(piece.strip())
    return [s for s in specs if s]


def call_with_spec(function: Callable[..., T], spec: Spec, what: str) -> T:
    """Call ``function`` with the arguments of ``spec``; say which parameters exist where they do not fit.

    Raises
    ------
    UsageError
        If an argument is unknown or one is missing, or there are numbers after ``@``.
    """
    if spec.at is not None:
        raise UsageError(f"{what} {str(spec)!r}: {spec.name} takes nothing after '@'; leave it out.")
    signature = inspect.signature(function)
    try:
        signature.bind(*spec.args, **spec.kwargs)
    except TypeError as error:
        names = ", ".join(
            p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in signature.parameters.values()
        )
        raise UsageError(f"{what} {str(spec)!r}: {error}. Parameters: {names or 'none'}.") from None
    return function(*spec.args, **spec.kwargs)


def _split(text: str, separator: str = ",") -> list[str]:
    """Split at the separators that stand outside parentheses."""
    pieces, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == separator and depth == 0:
            pieces.append(text[start:i])
            start = i + 1
    pieces.append(text[start:])
    return pieces


def _value(piece: str, text: str) -> Value:
    piece = piece.strip()
    if not piece:
        raise UsageError(f"an argument of {text!r} is empty; remove the comma or fill it in.")
    if piece.startswith("(") and piece.endswith(")"):
        return piece[1:-1]
    if piece.lower() in _WORDS:
        return _WORDS[piece.lower()]
    for kind in () if _PADDED.fullmatch(piece) else (int, float):
        try:
            return kind(piece)
        except ValueError:
            continue
    return piece


def _number(piece: str, text: str) -> int | float:
    value = _value(piece, text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"after '@' {text!r} needs numbers, but holds {piece.strip()!r}.")
    return value


def _format_value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = str(value)
    changed = isinstance(value, str) and not _is_plain(value)
    return f"({text})" if "," in text or "@" in text or changed else text


def _is_plain(text: str) -> bool:
    """Return whether text comes back from parsing unchanged: 7 does, 1e3 is a number that is written 1000."""
    parsed = _value(text, text) if text.strip() else text
    return (parsed if isinstance(parsed, str) else _format_value(parsed)) == text
