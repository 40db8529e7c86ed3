"""What all losses have in common: a readable specification, an epoch, class weights and a reduction."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypedDict, Unpack

from torch import Tensor, nn

from calkit.parameters import check_choice
from calkit.registry import Registry, unknown_name
from calkit.specs import Spec, call_with_spec, parse_spec
from calkit_torch.losses._batch import Targets, read_batch, reduce_values

__all__ = ["LOSSES", "PAPER_NAMES", "Loss", "LossOptions", "available_losses", "get_loss", "register_loss"]

REDUCTIONS = ("mean", "sum", "none")

LOSSES: Registry[type[Loss]] = Registry("loss", entry_points="calkit.losses")

# The names of the paper's tables, and those of its later version, whose text cuts at 0.2, [0, 0.2) and [0.2, 1],
# as its published code does.
PAPER_NAMES = {
    "CE": "ce",
    "Brier": "brier",
    "MMCE": "mmce:2",
    "FL-1": "focal:1",
    "FL-2": "focal:2",
    "FL-3": "focal:3",
    "FLS-531": "focal-scheduled:5,3,1@100,250",
    "FLS-532": "focal-scheduled:5,3,2@100,250",
    "FLA-532": "focal-adaptive:5,3,2@0.19,0.5",
    "FLA-53": "focal-adaptive:5,3@0.19",
    "FLSD-53": "focal-adaptive:5,3,closed=left@0.2",
    "FLSD-52": "focal-adaptive:5,3,2,closed=left@0.2,0.5",
    "LS-0.05": "label-smoothing:0.05,spread=others",
}


class LossOptions(TypedDict, total=False):
    """The keyword arguments all losses take; see :class:`Loss`."""

    weight: Tensor | None
    ignore_index: int
    reduction: str


class Loss(nn.Module):
    """Base of all losses: ``loss(logits, y)`` of any of the shapes of ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    weight : Tensor of shape (K,), optional
        How much the samples of each class count. A mean divides by the weights of its samples.
    ignore_index : int, default=-100
        Label of the samples that do not count.
    reduction : {"mean", "sum", "none"}, default="mean"
        What becomes of the losses of the samples; ``"none"`` returns them in the shape of ``y``.

    Notes
    -----
    A subclass implements :meth:`values` and takes its own parameters before these three; each must be kept as an
    attribute of the same name, which is what the specification is printed from. Half precision is widened: the
    loss is computed and returned in float32.
    """

    name: ClassVar[str]
    formula: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    def __init__(self, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, REDUCTIONS)
        self.weight: Tensor | None
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def values(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the weighted losses of the samples, 0 for ignored ones."""
        raise NotImplementedError

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        logits : Tensor
            Scores before softmax, ``(n, K)``, ``(n, K, ...)`` for pixels, or ``(K,)`` for one sample.
        y : Tensor
            Integer labels ``(n,)``, ``(n, ...)`` or ``()``; or class probabilities of the shape of ``logits``.

        Returns
        -------
        Tensor
            A scalar, or with ``reduction="none"`` one value a label.

        Raises
        ------
        InputError
            If shapes or dtypes do not fit, or (on the CPU) a label is not a class.
        UsageError
            If ``y`` holds probabilities and the loss has no meaning for them.
        """
        logits, targets = read_batch(logits, y, self.weight, self.ignore_index)
        return self.reduced(logits, targets)

    def reduced(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return :meth:`values`, reduced; a loss that can do both at once overrides it."""
        return reduce_values(self.values(logits, targets), targets, self.reduction)

    def for_epoch(self, epoch: int) -> Loss:  # noqa: ARG002 (schedules use it)
        """Return the loss of an epoch, counted from 0: itself, unless its parameters follow a schedule."""
        return self

    def scaled(self, factor: float) -> Loss:  # noqa: ARG002 (schedules use it)
        """Return the loss for a run that is ``factor`` times as long: itself, unless it has a schedule.

        Examples
        --------
        >>> str(get_loss("FLS-531").scaled(0.1)), str(get_loss("focal:3").scaled(0.1))
        ('focal-scheduled:5,3,1@10,25', 'focal:3')
        """
        return self

    @property
    def spec(self) -> str:
        """The string that :func:`get_loss` turns into this loss again (options and learnt state apart)."""
        given = [(p, getattr(self, p.name)) for p in self._signature().parameters.values()]
        given = [(p, str(value) if isinstance(value, Loss) else value) for p, value in given]
        return str(
            Spec(
                self.name,
                args=tuple(value for _, value in given[:1]),
                kwargs={p.name: value for p, value in given[1:] if value != p.default},
            )
        )

    def __str__(self) -> str:
        return self.spec

    def extra_repr(self) -> str:
        """Return what ``repr`` shows between the parentheses."""
        return f"{self.spec!r}, reduction={self.reduction!r}"

    @classmethod
    def from_spec(cls, spec: Spec, **options: Unpack[LossOptions]) -> Loss:
        """Build the loss from a parsed specification and the options of :class:`Loss`.

        Raises
        ------
        UsageError
            If the specification does not fit the parameters of the loss.
        """

        def build(*args: Any, **kwargs: Any) -> Loss:
            return cls(*args, **kwargs, **options)

        build.__signature__ = cls._signature()  # type: ignore[attr-defined]
        return call_with_spec(build, spec, "loss")

    @classmethod
    def _signature(cls) -> inspect.Signature:
        """The loss's own parameters, which a specification may give."""
        parameters = inspect.signature(cls).parameters.values()
        return inspect.Signature([p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD])

    def _options(self) -> LossOptions:
        return {"weight": self.weight, "ignore_index": self.ignore_index, "reduction": self.reduction}


def register_loss(name: str, *, formula: str = "", reference: str = "") -> Callable[[type[Loss]], type[Loss]]:
    """Return a class decorator that makes a loss known to :func:`get_loss`.

    Parameters
    ----------
    name : str
    formula : str, optional
        The loss of a sample, or the penalty, in Markdown, for the table of losses.
    reference : str, optional
        Who proposed it, and where.
    """

    def store(cls: type[Loss]) -> type[Loss]:
        cls.name, cls.formula, cls.reference = name, formula, reference
        return LOSSES.register(name)(cls)

    return store


def get_loss(spec: str, **options: Unpack[LossOptions]) -> Loss:
    """Build a loss from its specification, or from its name in the paper.

    Parameters
    ----------
    spec : str
        For example ``"focal:3"``, ``"focal-adaptive:5,3@0.19"``, ``"mmce:2,base=focal:3"``, or ``"FLA-53"``.
    weight : Tensor of shape (K,), optional
        How much the samples of each class count.
    ignore_index : int, default=-100
        Label of the samples that do not count.
    reduction : {"mean", "sum", "none"}, default="mean"
        What becomes of the losses of the samples.

    Returns
    -------
    Loss
        A module; ``str()`` of it is the specification again.

    Raises
    ------
    NotFoundError
        If there is no such loss; the message lists those there are.
    UsageError, InputError
        If the parameters do not fit the loss.

    See Also
    --------
    available_losses : the names.

    Examples
    --------
    >>> import torch
    >>> loss = get_loss("FLS-532")
    >>> str(loss), str(loss.for_epoch(0)), str(loss.for_epoch(100))
    ('focal-scheduled:5,3,2@100,250', 'focal:5', 'focal:3')
    >>> round(loss.for_epoch(0)(torch.zeros(2, 2), torch.tensor([0, 1])).item(), 6)
    0.021661
    """
    parsed = parse_spec(PAPER_NAMES.get(spec, spec))
    if parsed.name not in LOSSES:
        raise unknown_name("loss", parsed.name, [*LOSSES, *PAPER_NAMES])
    return LOSSES[parsed.name].from_spec(parsed, **options)


def available_losses() -> list[str]:
    """Return the names :func:`get_loss` knows; :data:`PAPER_NAMES` holds the paper's.

    Examples
    --------
    >>> available_losses()[:3]
    ['ce', 'label-smoothing', 'logit-norm']
    """
    return list(LOSSES)
