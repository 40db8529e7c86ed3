"""What the panels of a training history show: which values of the records, under which title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from calkit.registry import Registry, unknown_name

__all__ = ["COMPARISON", "ONE_RUN", "PANELS", "Curve", "Panel", "available_panels", "get_panel"]

Group = Literal["all", "correct", "misclassified", "train", "gap", "adaptive gap"]

#: Panels of one run: the paper's Figure 1 (a), (b), (c), then what else a history holds.
ONE_RUN = ("train", "test", "errors", "mce", "confidence", "p_true", "norm", "loss", "lr")
#: Panels of several runs: the paper's Figure 3 (a) to (h), then the error, other calibration errors, the confidence.
COMPARISON = (
    "nll",
    "nll_correct",
    "nll_misclassified",
    "entropy_misclassified",
    "p_true_correct",
    "p_true_misclassified",
    "ece",
    "norm",
    "error",
    "adaece",
    "mce",
    "confidence_misclassified",
)


@dataclass(frozen=True)
class Curve:
    """One value of the records, over the epochs.

    Attributes
    ----------
    key : str
        Its name in the record: ``"nll_correct"``.
    label : str
        For the legend.
    part : str or None
        Where in the record: ``"train"``; None for the part that the display shows, ``""`` for the record itself.
    group : {"all", "correct", "misclassified", "train", "gap", "adaptive gap"}
        What it is about: samples, or calibration errors over bins of equal width ("gap") or mass. Those of one group
        share a colour and a marker.
    dash : int
        Which of the line styles.
    """

    key: str
    label: str
    part: str | None = None
    group: Group = "all"
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    """Curves that are drawn together.

    Attributes
    ----------
    title : str
        ``{part}`` stands for the part that is shown.
    curves : tuple of Curve
    unit : str
        Label of the axis.
    percent : bool
        Whether the values, which are fractions, are shown times 100.
    from_zero : bool
        Whether the axis starts at 0.
    """

    title: str
    curves: tuple[Curve, ...]
    unit: str = ""
    percent: bool = False
    from_zero: bool = True


#: Panels by name.
PANELS: Registry[Panel] = Registry("panel")


def available_panels() -> list[str]:
    """Return the names of all panels.

    Examples
    --------
    >>> from calkit.plotting import available_panels
    >>> "nll_misclassified" in available_panels()
    True
    """
    return list(PANELS)


def get_panel(name: str) -> Panel:
    """Return the panel a name stands for.

    Parameters
    ----------
    name : str
        A name of :func:`available_panels`, or ``"PART.KEY"`` for one value of the records: ``"test.adaece"``,
        ``"train.confidence"``; ``".lr"`` for one outside the parts.

    Returns
    -------
    Panel

    Raises
    ------
    NotFoundError
        If there is no such panel.
    """
    if name in PANELS:
        return PANELS[name]
    part, dot, key = name.partition(".")
    if dot and key and part in ("", "train", "validation", "test"):
        title = f"{key}, {part}" if part else key
        return Panel(title.replace("_", " "), (Curve(key, key, part),), from_zero=False)
    raise unknown_name("panel", name, [*PANELS, "PART.KEY"])


def _losses(part: str | None) -> tuple[Curve, ...]:
    return (
        Curve("nll", "NLL", part),
        Curve("nll_correct", "NLL, correct", part, "correct"),
        Curve("nll_misclassified", "NLL, misclassified", part, "misclassified"),
        Curve("entropy_correct", "entropy, correct", part, "correct", 1),
        Curve("entropy_misclassified", "entropy, misclassified", part, "misclassified", 1),
    )


def _by_outcome(key: str) -> tuple[Curve, ...]:
    return (
        Curve(key, "all"),
        Curve(f"{key}_correct", "correct", group="correct"),
        Curve(f"{key}_misclassified", "misclassified", group="misclassified"),
    )


def _single(key: str, title: str, unit: str = "nats", *, from_zero: bool = True) -> Panel:
    return Panel(f"{title}, {{part}}", (Curve(key, title),), unit, unit == "%", from_zero)


_ERRORS = (
    Curve("error", "error, train", "train", "train"),
    Curve("error", "error", None),
    Curve("ece", "ECE", None, "gap"),
    Curve("adaece", "AdaECE", None, "adaptive gap", 1),
)
_NORM = (Curve("last_layer_norm", "norm", ""),)

for _name, _panel in {
    "train": Panel("NLL and entropy, train", _losses("train"), "nats"),
    "test": Panel("NLL and entropy, {part}", _losses(None), "nats"),
    "errors": Panel("Error, ECE and AdaECE, {part}", _ERRORS, "%", percent=True),
    "confidence": Panel("Mean confidence, {part}", _by_outcome("confidence"), "%", percent=True, from_zero=False),
    "p_true": Panel("Mean p of the true class, {part}", _by_outcome("p_true"), "%", percent=True),
    "norm": Panel("Norm of the last layer's weights", _NORM, "L2 norm", from_zero=False),
    "loss": Panel("Training loss", (Curve("train_loss", "loss", "", "train"),), from_zero=False),
    "lr": Panel("Learning rate", (Curve("lr", "learning rate", "", "train"),)),
    "nll": _single("nll", "NLL"),
    "nll_correct": _single("nll_correct", "NLL of the correct"),
    "nll_misclassified": _single("nll_misclassified", "NLL of the misclassified"),
    "entropy_correct": _single("entropy_correct", "Entropy of the correct"),
    "entropy_misclassified": _single("entropy_misclassified", "Entropy of the misclassified"),
    "confidence_correct": _single("confidence_correct", "Confidence in the correct", "%", from_zero=False),
    "confidence_misclassified": _single(
        "confidence_misclassified", "Confidence in the misclassified", "%", from_zero=False
    ),
    "p_true_correct": _single("p_true_correct", "p of the true class, correct", "%", from_zero=False),
    "p_true_misclassified": _single("p_true_misclassified", "p of the true class, misclassified", "%"),
    "ece": _single("ece", "ECE", "%"),
    "adaece": _single("adaece", "AdaECE", "%"),
    "mce": _single("mce", "MCE", "%"),
    "error": _single("error", "Error", "%"),
}.items():
    PANELS.register(_name)(_panel)
