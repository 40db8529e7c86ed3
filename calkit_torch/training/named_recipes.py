"""Recipes by name: those that ship, and those in files, with their exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from calkit.errors import FileFormatError, InputError, UsageError
from calkit.registry import Registry, unknown_name
from calkit.specs import parse_spec
from calkit_torch.data import DATASETS
from calkit_torch.losses import PAPER_NAMES, get_loss
from calkit_torch.models import MODELS
from calkit_torch.training.recipe import Recipe, check_keys, parse_toml, scaled_loss

__all__ = ["available_recipes", "get_recipe"]

#: The recipes taken for data sets of these names where none is chosen.
_DEFAULTS = {
    "cifar10": "focal-calibration",
    "cifar100": "focal-calibration",
    "20newsgroups": "paper-documents",
    "sst": "paper-trees",
    "digits": "digits",
}
_OTHERWISE = "plain"
#: The epochs of the paper's image experiments, which its names of scheduled losses (FLS-532) refer to.
_PAPER_EPOCHS = 350
#: Where a recipe says what is otherwise for some data set, network and loss.
_EXCEPTIONS = "exceptions"
#: Where a recipe says what it means by the paper's name of a loss.
_LOSSES = "losses"
_WHAT = ("dataset", "model", "loss")
#: Keys that speak of epochs of the whole run.
_TIMED = ("epochs", "lr_schedule", "save_epochs")


def get_recipe(source: str | Path | None = None, **given: Any) -> Recipe:
    """Return a recipe that ships, or one from a file, with some of its values given.

    Parameters
    ----------
    source : str or Path, optional
        A name of :func:`available_recipes`, or a TOML file; by default the recipe for the data set. Beside the keys of
        a recipe it may hold ``[[exceptions]]``: tables with ``dataset``, ``model`` or ``loss``, and what is otherwise
        for these; and ``[losses]``: what it means by a name, such as ``MMCE = "mmce-w:2,scaling=code"``. The recipe
        returned has the meaning.
    **given
        Fields of :class:`Recipe` that count instead of those of the source; one that is None does not.

    Returns
    -------
    Recipe

    Raises
    ------
    NotFoundError
        If there is no such recipe, or no such key.
    UsageError
        If data set, model or loss are missing.
    FileFormatError
        If the file cannot be read.

    Notes
    -----
    With another number of epochs than the source's, its schedules are scaled in proportion (:meth:`Recipe.shortened`).
    What is given is used unchanged: ``lr_schedule="step:0.1@150,250"`` steps at these epochs, however many there are.
    But the paper's names of scheduled losses, such as FLS-532, which switch at the epochs 100 and 250 of 350, switch in
    proportion in every recipe.

    Examples
    --------
    >>> recipe = get_recipe(dataset="cifar10", model="resnet50", loss="FLA-53")
    >>> recipe.reduction, recipe.clip_norm, recipe.epochs
    ('focal-calibration', 2.0, 350)
    >>> get_recipe(dataset="cifar10", model="resnet50", loss="FLS-532", epochs=70).lr_schedule
    'step:0.1@30,50'
    """
    check_keys(given)
    chosen = {key: value for key, value in given.items() if value is not None}
    if source is None and "dataset" not in chosen:
        raise UsageError("name a data set (--dataset digits) or a recipe file that does (--recipe FILE).")
    values, exceptions, losses = _named(source if source is not None else _default_name(chosen["dataset"]))
    for part in (values, chosen):
        if part.get("loss") in losses:
            part["loss"] = losses[part["loss"]]
    timed = {key: chosen.pop(key) for key in _TIMED if key in chosen}
    recipe = Recipe.from_dict({**values, **chosen})
    for exception in exceptions:
        recipe = _with_exception(recipe, exception, chosen)
    recipe = _with_schedule_of_name(recipe, recipe.loss)
    changed = recipe.shortened(timed.get("epochs", recipe.epochs))
    if "loss" in chosen:
        changed = _with_schedule_of_name(changed, chosen["loss"])
    return replace(changed, **timed)


def available_recipes() -> list[str]:
    """Return the names of the recipes that ship.

    Examples
    --------
    >>> available_recipes()
    ['digits', 'focal-calibration', 'paper-documents', 'paper-images', 'paper-trees', 'plain']
    """
    return sorted(item.name.removesuffix(".toml") for item in _folder().iterdir() if item.name.endswith(".toml"))


def _with_schedule_of_name(recipe: Recipe, loss: str) -> Recipe:
    """Return a recipe with a loss as it was given; one that the paper named, with its schedule in proportion."""
    if loss in PAPER_NAMES and recipe.epochs != _PAPER_EPOCHS:
        loss = scaled_loss(loss, recipe.epochs / _PAPER_EPOCHS)
    return replace(recipe, loss=loss)


def _with_exception(recipe: Recipe, exception: Mapping[str, Any], chosen: Mapping[str, Any]) -> Recipe:
    """Return what an exception makes of a recipe that it is meant for, but for what was chosen otherwise."""
    meant = all(
        _word(key, value) == _word(key, getattr(recipe, key)) for key, value in exception.items() if key in _WHAT
    )
    return (
        replace(recipe, **{k: v for k, v in exception.items() if k not in _WHAT and k not in chosen})
        if meant
        else recipe
    )


def _word(key: str, spec: str) -> str:
    """Return the name in a specification, without parameters and in its one spelling: "brier" for "Brier"."""
    if key == "loss":
        return get_loss(spec).name
    name = parse_spec(spec).name
    registry: Registry[Any] = MODELS if key == "model" else DATASETS
    return registry.canonical(name) if name in registry else name


def _default_name(dataset: str) -> str:
    return _DEFAULTS.get(_word("dataset", dataset), _OTHERWISE)


def _folder() -> Any:
    return resources.files("calkit_torch.training") / "recipes"


def _named(source: str | Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, str]]:
    """Return the keys of a recipe that ships or of a file, its exceptions, and what it means by names of losses."""
    values = parse_toml(_text(source), str(source))
    exceptions, losses = values.pop(_EXCEPTIONS, []), values.pop(_LOSSES, {})
    check_keys(values)
    if not isinstance(losses, dict) or not all(isinstance(meant, str) for meant in losses.values()):
        raise InputError(f'the losses of {source} must be a table of text, [losses] with MMCE = "mmce:8".')
    if not isinstance(exceptions, list) or not all(isinstance(e, dict) and e.keys() & set(_WHAT) for e in exceptions):
        raise InputError(
            f"the exceptions of {source} must be tables, [[exceptions]], each with dataset, model or loss."
        )
    for exception in exceptions:
        check_keys(exception)
    return values, exceptions, losses


def _text(source: str | Path) -> str:
    if isinstance(source, str) and source in available_recipes():
        found: str = (_folder() / f"{source}.toml").read_text(encoding="utf-8")
        return found
    path = Path(source)
    if path.suffix != ".toml" and not path.is_file():
        raise unknown_name("recipe", str(source), available_recipes())
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"the recipe {path} cannot be read: {getattr(error, 'strerror', error)}.") from None
