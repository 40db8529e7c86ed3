"""What focal loss does, by the formulas of the paper: curves that need no predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from calkit.errors import InputError, UsageError
from calkit.plotting.base import OTHER_PLOTS, OtherDisplay
from calkit.plotting.style import COLOURS, DASHES, draw_legend, foreground

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FocalMinimiserDisplay", "GradientRatioDisplay", "TheoryDisplay"]

_POINTS = 501


class TheoryDisplay(OtherDisplay):
    """A function of a probability, one curve for each focusing parameter γ of focal loss.

    Made by :meth:`from_gamma`.

    Parameters
    ----------
    gamma : sequence of float
        Focusing parameters, not negative; 0 is cross-entropy.

    Attributes
    ----------
    gamma : tuple of float
    p : ndarray of shape (m,)
        Probabilities, from 0 to 1.
    values : ndarray of shape (n_gamma, m)
    ax_, figure_, lines_, legend_
        After :meth:`plot`.

    Raises
    ------
    InputError
        If there is no γ, or one is negative.
    """

    size: ClassVar[tuple[float, float]] = (4.8, 4.2)
    #: The γ of the paper's figure.
    default: ClassVar[tuple[float, ...]]
    labels: ClassVar[tuple[str, str]]

    def __init__(self, gamma: Sequence[float]) -> None:
        if not gamma:
            raise InputError("gamma is empty: name at least one focusing parameter.")
        self.gamma = tuple(gamma)
        self.p = np.linspace(0, 1, _POINTS)
        self.values = np.stack([self.value(self.p, one) for one in self.gamma])

    @staticmethod
    @abstractmethod
    def value(p: NDArray[np.float64], gamma: float) -> Any:
        """Return the function at probabilities."""

    @classmethod
    def from_words(cls, words: Sequence[str], *arguments: Any) -> Self:
        """Compute the curves of some γ; there must be no files."""
        if words:
            raise UsageError(f"this plot is one of formulas: leave {words[0]} out, or name another plot with --what.")
        return cls.from_gamma(*arguments, plot=False)

    @classmethod
    def from_gamma(cls, *gamma: float, ax: Axes | None = None, plot: bool = True) -> Self:
        """Compute the curves and draw them.

        Parameters
        ----------
        *gamma : float
            Focusing parameters; by default those of the paper's figure.
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.
        plot : bool, default=True
            Whether to draw now.

        Returns
        -------
        display
        """
        display = cls(gamma or cls.default)
        return display.plot(ax) if plot else display

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what is drawn as columns: gamma, p and value."""
        m = len(self.p)
        return {
            "gamma": np.repeat(np.array(self.gamma, dtype=np.float64), m),
            "p": np.tile(self.p, len(self.gamma)),
            "value": self.values.ravel(),
        }

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        display
            Itself, with the artists set.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=self.size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self._ground(ax)
        self.lines_ = [
            ax.plot(
                self.p,
                values,
                label="γ = 0 (CE)" if gamma == 0 else f"γ = {gamma:g}",
                color=COLOURS[i % len(COLOURS)],
                linestyle=DASHES[i % len(DASHES)],
            )[0]
            for i, (gamma, values) in enumerate(zip(self.gamma, self.values, strict=True))
        ]
        ax.set(xlim=(0, 1), xlabel=self.labels[0], ylabel=self.labels[1])
        ax.set_ylim(bottom=0)
        self.legend_ = draw_legend(ax)
        return self

    def _ground(self, ax: Axes) -> None:
        """Draw what lies behind the curves."""

    def figure(self, *, title: str | None = None, size: tuple[float, float] | None = None) -> Figure:
        """Return a figure that is not registered with pyplot, drawn.

        Parameters
        ----------
        title : str, optional
        size : tuple of float, optional
            Width and height in inches.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=size or self.size, layout="constrained")
        self.plot(figure.subplots())
        if title:
            figure.suptitle(title)
        return figure


@OTHER_PLOTS.register("gradient-ratio")
class GradientRatioDisplay(TheoryDisplay):
    """g(p, γ), the gradient of focal loss over that of cross-entropy (the paper's Figure 4a).

    Where a curve crosses 1, marked by a dot, focal loss changes from the larger gradient to the smaller one.

    Attributes
    ----------
    crossings : ndarray of shape (n_gamma,)
        Probabilities at which g is 1.

    Examples
    --------
    >>> from calkit.plotting import GradientRatioDisplay
    >>> display = GradientRatioDisplay.from_gamma(1, 3, plot=False)
    >>> display.crossings.round(3).tolist()
    [0.368, 0.253]
    """

    default = (0, 1, 2, 3, 5, 7, 10)
    labels = ("p of the true class", "g(p, γ)")

    @staticmethod
    def value(p: NDArray[np.float64], gamma: float) -> Any:
        """Return g(p, γ); see :func:`calkit.theory.gradient_ratio`."""
        from calkit.theory import gradient_ratio

        return gradient_ratio(p, gamma)

    @property
    def crossings(self) -> NDArray[np.float64]:
        """Probabilities at which g is 1, one for each γ; see :func:`calkit.theory.threshold`."""
        from calkit.theory import threshold

        return np.asarray(threshold(self.gamma), dtype=np.float64)

    def _ground(self, ax: Axes) -> None:
        marked = np.array(self.gamma) > 0
        p0 = self.crossings[marked]
        colours = [COLOURS[i % len(COLOURS)] for i in np.flatnonzero(marked)]
        self.marks_ = ax.scatter(p0, np.ones_like(p0), s=22, c=colours, zorder=5)


@OTHER_PLOTS.register("focal-minimiser")
class FocalMinimiserDisplay(TheoryDisplay):
    """The prediction that minimises the expected focal loss of two classes (the paper's Figure 7).

    Examples
    --------
    >>> from calkit.plotting import FocalMinimiserDisplay
    >>> display = FocalMinimiserDisplay.from_gamma(3, plot=False)
    >>> round(float(display.values[0, 450]), 3)  # of p = 0.9
    0.647
    """

    default = (0, 1, 2, 3, 5)
    labels = ("True probability p", "Minimiser of the loss")

    @staticmethod
    def value(p: NDArray[np.float64], gamma: float) -> Any:
        """Return the minimiser; see :func:`calkit.theory.focal_minimiser`."""
        from calkit.theory import focal_minimiser

        return focal_minimiser(p, gamma)

    def _ground(self, ax: Axes) -> None:
        self.reference_line_ = ax.plot([0, 1], [0, 1], color=foreground(0.4), linewidth=1)[0]
