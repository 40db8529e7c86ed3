"""What a fitted calibrator says of itself, as plain data from which tables, titles and reports are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Curve", "Description", "FittedValue", "terms"]


@dataclass(frozen=True)
class FittedValue:
    """One fitted number worth showing.

    Attributes
    ----------
    name : str
        The key in JSON: ``"temperature"``.
    value : float, int or str
    symbol : str
        What tables and titles call it: ``"T"``; empty for the name itself.
    """

    name: str
    value: float | int | str
    symbol: str = ""


@dataclass(frozen=True)
class Curve:
    """A curve worth drawing: the map of a binary calibrator, for instance.

    Attributes
    ----------
    name : str
    x, y : tuple of float
        Points, of equal number, in the order in which they are connected.
    x_label, y_label : str
    is_step : bool
        Whether the curve is constant between points.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_label: str = "probability"
    y_label: str = "calibrated probability"
    is_step: bool = False


@dataclass(frozen=True)
class Description:
    """What a fitted calibrator says of itself.

    Attributes
    ----------
    title : str
        In a few words: ``"temperature scaling"``.
    values : tuple of FittedValue
        The few numbers that tell what was fitted; a map of many parameters gives their number.
    curves : tuple of Curve
    notes : tuple of str
        Whole sentences a reader of a report should see.
    temperature : float, optional
        The temperature that the map equals, where it divides the logits of every row by one number.
    equation : str
        The fitted map with its numbers, where these are few: z are logits, p probabilities, s = log(p / (1 - p)) of
        the second of two classes.

    Examples
    --------
    >>> Description("temperature scaling", (FittedValue("temperature", 2.51489, "T"),)).text()
    'T = 2.515'
    """

    title: str
    values: tuple[FittedValue, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    temperature: float | None = None
    equation: str = ""
    symbols: dict[str, str] = field(init=False)
    fitted: dict[str, float | int | str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", {item.name: item.symbol for item in self.values if item.symbol})
        object.__setattr__(self, "fitted", {item.name: item.value for item in self.values})

    def text(self, *, digits: int = 4) -> str:
        """Return the values as people read them: ``T = 2.515``."""
        from calkit.evaluation import fitted_text

        return fitted_text(self.fitted, self.symbols, digits=digits)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The notes, after the equation where `text` does not say as much."""
        return (f"The map is {self.equation}.", *self.notes) if self.equation and not self.temperature else self.notes

    def to_dict(self) -> dict[str, object]:
        """Return the values and their symbols, as the JSON of evaluations holds them."""
        return {"fitted": dict(self.fitted), **({"symbols": dict(self.symbols)} if self.symbols else {})}


def terms(coefficients: Iterable[float], symbols: Iterable[str], *, digits: int = 4) -> str:
    """Return a sum as people write it.

    Parameters
    ----------
    coefficients : iterable of float
    symbols : iterable of str
        What each is multiplied by; empty for the constant.
    digits : int, default=4

    Returns
    -------
    str

    Examples
    --------
    >>> terms([0.5, -2.0, 1.25], ["", "s", "s²"])
    '0.5 - 2 s + 1.25 s²'
    """
    found = ""
    for value, symbol in zip(coefficients, symbols, strict=True):
        sign = ("- " if found else "-") if value < 0 else "+ " if found else ""
        found += f"{sign}{abs(value):.{digits}g}{' ' if symbol else ''}{symbol} "
    return found.rstrip()
