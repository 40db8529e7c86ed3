"""What is trained and how: a frozen recipe, in TOML and back."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import partial
from typing import Any, get_type_hints

from calkit.errors import FileFormatError, InputError, MissingDependencyError, UsageError
from calkit.metrics import get_metric
from calkit.registry import unknown_name
from calkit.specs import parse_spec
from calkit_torch.epochs import scaled_epochs
from calkit_torch.losses import get_loss
from calkit_torch.models import MODELS
from calkit_torch.training.optimisers import learning_rate_of
from calkit_torch.training.schedules import get_schedule, scaled_schedule

__all__ = ["PRECISIONS", "REDUCTIONS", "Recipe", "check_keys", "parse_toml", "scaled_loss"]

PRECISIONS = ("float32", "bfloat16", "float16")
REDUCTIONS = ("mean", "sum", "per-input", "focal-calibration")

#: What torch's generators take.
_SEEDS = 2**63
#: Defaults of what came later: a recipe that does not use it keeps the hash it had.
_LATER = (("cuda_graphs", False),)


@dataclass(frozen=True)
class Recipe:
    """What is trained and how. Equal recipes give equal networks, on one machine.

    Attributes
    ----------
    dataset, model, loss : str
        Specifications: ``"cifar10"``, ``"resnet50"``, ``"FLA-53"``.
    optimiser : str
        ``"sgd:0.1,momentum=0.9,weight_decay=0.0005"``; see :func:`~calkit_torch.training.optimisers.get_optimiser`.
    lr_schedule : str
        ``"step:0.1@150,250"``, ``"constant"``, ``"cosine"``; see :func:`~calkit_torch.training.schedules.get_schedule`.
    epochs : int
    batch_size : int
        Of a step, over all devices.
    seed : int
        Of the weights, the order of the samples, their augmentation and dropout.
    split_seed : int
        Of the division into training and validation set.
    precision : {"float32", "bfloat16", "float16"}
        What the network computes in where that is safe; weights and losses are float32 always.
    embedding_optimiser : str, optional
        That of the word vectors, if it is another one: ``"sgd:0.1"``. The schedule is the same.
    reduction : {"mean", "sum", "per-input", "focal-calibration"}
        What becomes of the losses of a batch. ``"per-input"`` is the sum over all labels divided by the number of
        inputs: of trees, the sum over the nodes of a tree, averaged over the trees. ``"focal-calibration"`` is the
        published code's choice: the sum, but the mean for the Brier score. (Its MMCE, the mean times the size of the
        batch, is what a sum is here.)
    clip_norm : float, optional
        Largest norm of the gradient of all parameters; a longer one is shortened.
    select : str
        Which network is kept: ``"last"``, or that of the epoch best on the validation set by a metric (``"accuracy"``).
    pipeline : {"resident", "dataloader"}
        Whether the data are on the device at once, or come through a DataLoader.
    workers : int
        Processes of the DataLoader.
    compile : bool
        Whether to run the network through ``torch.compile``.
    cuda_graphs : bool
        Whether to record a step of the network once and replay it, which spares the processor the launch of each
        operation: faster on CUDA where batches are small or the processor is slow. For networks of one tensor, on one
        device; memory for one more batch is held.
    channels_last : bool
        Whether images and filters are stored with the channels last, which is faster on CUDA in half precision.
    save_epochs : tuple of int
        Epochs, from 1 to the last, whose logits are kept beside the final ones.

    Raises
    ------
    UsageError, InputError
        If a value is none of these.

    Examples
    --------
    >>> recipe = Recipe("digits", "mlp", "FLA-53", epochs=10)
    >>> Recipe.from_toml(recipe.to_toml()) == recipe
    True
    >>> recipe.folder_name
    'digits-mlp-FLA-53-...'
    """

    dataset: str
    model: str
    loss: str
    optimiser: str = "sgd:0.1,momentum=0.9,weight_decay=0.0005"
    lr_schedule: str = "constant"
    epochs: int = 30
    batch_size: int = 128
    seed: int = 1
    split_seed: int = 1
    precision: str = "float32"
    reduction: str = "mean"
    clip_norm: float | None = None
    select: str = "last"
    pipeline: str = "resident"
    workers: int = 0
    compile: bool = False
    cuda_graphs: bool = False
    channels_last: bool = False
    save_epochs: tuple[int, ...] = ()
    embedding_optimiser: str | None = None

    def __post_init__(self) -> None:
        for key, kind in _KINDS.items():
            object.__setattr__(self, key, _typed(key, getattr(self, key), kind))
        for key in ("epochs", "batch_size"):
            _at_least(key, getattr(self, key), 1)
        for key in ("seed", "split_seed", "workers"):
            _at_least(key, getattr(self, key), 0)
        if self.seed >= _SEEDS:
            raise InputError(f"seed must be below 2**63, but is {self.seed}.")
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("reduction", self.reduction, REDUCTIONS)
        _one_of("pipeline", self.pipeline, ("resident", "dataloader"))
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"clip_norm must be positive, but is {self.clip_norm!r}; leave it out for no clipping.")
        outside = [epoch for epoch in self.save_epochs if not 1 <= epoch <= self.epochs]
        if outside:
            raise InputError(f"save_epochs must be from 1 to epochs = {self.epochs}, but hold {outside[0]}.")
        parse_spec(self.dataset)
        MODELS.canonical(parse_spec(self.model).name)
        get_loss(self.loss)
        for spec in (self.optimiser, self.embedding_optimiser):
            if spec is not None:
                learning_rate_of(spec)
        get_schedule(self.lr_schedule, self.epochs)
        if self.select != "last":
            get_metric(self.select)

    @property
    def label(self) -> str:
        """Data set, model and loss, for titles."""
        return f"{self.dataset} {self.model} {self.loss}"

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits that differ between different recipes."""
        items = [item for item in sorted(self.to_dict().items()) if item not in _LATER]
        return hashlib.sha256(repr(items).encode()).hexdigest()[:8]

    @property
    def folder_name(self) -> str:
        """A name for the folder of the run: data set, model, loss and hash."""
        words = (re.sub(r"[^\w.=+-]+", "-", word).strip("-") for word in (self.dataset, self.model, self.loss))
        return "-".join((*words, self.hash))

    @property
    def loss_reduction(self) -> str:
        """What the losses of a batch become, ``"mean"`` or ``"sum"``."""
        if self.reduction == "focal-calibration":
            return "mean" if get_loss(self.loss).name == "brier" else "sum"
        return "sum" if self.reduction == "per-input" else self.reduction

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rates of the optimisers, before the schedule."""
        specs = (self.optimiser, self.embedding_optimiser)
        return tuple(learning_rate_of(spec) for spec in specs if spec is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys and values of the TOML; what is None is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["save_epochs"] = list(self.save_epochs)
        return {key: value for key, value in values.items() if value is not None}

    def to_toml(self) -> str:
        """Return the recipe as TOML."""
        try:
            import tomli_w
        except ImportError:
            raise MissingDependencyError(
                "writing a recipe needs tomli-w; install it with: pip install 'calkit-calibration[torch]'"
            ) from None
        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from the keys of a TOML.

        Raises
        ------
        NotFoundError
            If a key is unknown; the message names the nearest one.
        UsageError, InputError
            If a key is missing or a value is out of range.
        """
        check_keys(values)
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
        if missing:
            raise UsageError(
                f"a recipe needs {', '.join(missing)}; for example dataset = 'digits', model = 'small-resnet', "
                "loss = 'FLA-53' (--dataset, --model, --loss)."
            )
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """Read a recipe from TOML; see :meth:`from_dict`.

        Raises
        ------
        FileFormatError
            If the text is no TOML.
        """
        return cls.from_dict(parse_toml(text, "the recipe"))

    def shortened(self, epochs: int) -> Recipe:
        """Return the recipe for another number of epochs, its schedules scaled in proportion.

        The learning rate, the γ of scheduled focal losses and the epochs to save change where they would have changed
        in proportion to the whole.

        Examples
        --------
        >>> from calkit_torch.training import get_recipe
        >>> recipe = get_recipe("focal-calibration", dataset="cifar10", model="resnet50", loss="FLS-532")
        >>> short = recipe.shortened(35)
        >>> short.lr_schedule, short.loss
        ('step:0.1@15,25', 'focal-scheduled:5,3,2@10,25')
        """
        _at_least("epochs", _typed("epochs", epochs, int), 1)
        if epochs == self.epochs:
            return self
        scale = epochs / self.epochs
        return replace(
            self,
            epochs=epochs,
            lr_schedule=scaled_schedule(self.lr_schedule, scale),
            loss=scaled_loss(self.loss, scale),
            save_epochs=tuple(e for e in scaled_epochs(self.save_epochs, scale) if e <= epochs),
        )

    def differences(self, other: Recipe) -> list[str]:
        """Return the keys in which two recipes differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]


def scaled_loss(spec: str, scale: float) -> str:
    """Return the specification of a loss whose epochs are multiplied; one without a schedule unchanged.

    Examples
    --------
    >>> scaled_loss("FLS-531", 0.1), scaled_loss("FLA-53", 0.1)
    ('focal-scheduled:5,3,1@10,25', 'FLA-53')
    >>> scaled_loss("mmce:2,base=(FLS-531)", 0.1)
    'mmce:2,base=(focal-scheduled:5,3,1@10,25)'
    """
    loss = get_loss(spec)
    changed = loss.scaled(scale)
    return spec if changed is loss else str(changed)


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Read TOML, called ``what`` in the message.

    Raises
    ------
    FileFormatError
        If the text is no TOML.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{what} is not TOML: {error}.") from None
    return values


def check_keys(values: Mapping[str, Any]) -> None:
    """Check that all keys are those of a recipe.

    Raises
    ------
    NotFoundError
        If one is not; the message names the nearest.
    """
    known = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in known:
            raise unknown_name("recipe key", key, known)


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{key} must be at least {least}, but is {value}.")


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise unknown_name(key, value, choices)


def _typed(key: str, value: Any, kind: Any) -> Any:
    """Return a value as a field's type has it; a number is no text, and a truth value no number."""
    found = _CONVERSIONS[kind](value)
    if found is MISSING:
        raise InputError(f"{key} must be {_WORDS[kind]}, but is {value!r}.")
    return found


def _plain(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else MISSING


def _text_or_none(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else MISSING


def _number_or_none(value: Any) -> Any:
    if value is None:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else MISSING


def _whole_numbers(value: Any) -> Any:
    ok = isinstance(value, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    return tuple(sorted(set(value))) if ok else MISSING


_KINDS = get_type_hints(Recipe)
_CONVERSIONS: dict[Any, Any] = {
    str: partial(_plain, str),
    int: partial(_plain, int),
    bool: partial(_plain, bool),
    float | None: _number_or_none,
    str | None: _text_or_none,
    tuple[int, ...]: _whole_numbers,
}
_WORDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    float | None: "a number",
    str | None: "text",
    tuple[int, ...]: "a list of whole numbers",
}
