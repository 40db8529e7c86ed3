"""``calkit train``: from a data set, a network and a loss to a run folder."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calkit.errors import MissingDependencyError, UsageError
from calkit.printing import printable

if TYPE_CHECKING:
    from calkit_torch.training import Recipe

__all__ = ["command", "import_module_of", "import_option"]

import_option = click.option(
    "--import", "modules", multiple=True, metavar="MODULE", help="Module or FILE.py that registers your own."
)
"""Data sets, networks and losses of the user's own; :func:`import_module_of` is called with each."""


@click.command()
@click.option("--dataset", metavar="NAME", help="Data set: digits, cifar10, cifar100, 20newsgroups, sst, …")
@click.option("--model", metavar="NAME", help="Network: small-resnet, resnet50, wide-resnet-26-10, mlp:hidden=256, …")
@click.option("--loss", metavar="NAME", help="Loss: CE, FLA-53, focal:3, mmce:2, brier, …")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run folder. Default: in runs/.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option("--seed", type=int, help="Seed of weights, order, augmentation and dropout.")
@click.option("--epochs", type=int, help="Number of epochs; the recipe's schedules are scaled in proportion.")
@click.option("--recipe", metavar="FILE|NAME", help="Recipe: a TOML file or a name. Default: that of the data set.")
@click.option("--optimiser", metavar="SPEC", help="Optimiser: sgd:0.1,momentum=0.9, adam:0.001, …")
@click.option("--lr", type=float, help="Learning rate, instead of the one in the optimiser.")
@click.option("--batch-size", type=int, help="Samples of a step, over all devices.")
@click.option("--precision", metavar="NAME", help="What the network computes in: float32, bfloat16, float16.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any other key of the recipe.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DATA", help="Where the files of the data set are.")
@click.option("--download", is_flag=True, help="Fetch the files of the data set, if they are missing.")
@click.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, auto. Default: auto.")
@click.option("--checkpoint-seconds", type=float, default=600, help="Time between checkpoints inside an epoch.")
@click.option("--checkpoint-batches", type=int, help="Batches between checkpoints inside an epoch.")
@click.option("--checkpoint-epochs", type=int, default=1, help="Epochs between checkpoints at their end. Default: 1.")
@click.option(
    "--history", default="train", metavar="train|test|none", help="Sets to measure. Default: train, all three."
)
@click.option("--history-every", type=int, default=1, metavar="N", help="Measure after every N epochs. Default: 1.")
@import_option
@click.option("--quiet", is_flag=True, help="Do not show the progress.")
def command(
    out: Path | None,
    resume: bool,
    folder: Path | None,
    download: bool,
    device: str,
    checkpoint_seconds: float,
    checkpoint_batches: int | None,
    checkpoint_epochs: int,
    history: str,
    history_every: int,
    modules: tuple[str, ...],
    quiet: bool,
    **choices: Any,
) -> None:
    """Train a network, and leave a run folder.

    The folder holds the recipe, the history of calibration over the epochs, the logits and a checkpoint; 'calkit
    evaluate', 'report' and 'plot --history' take it. A run that was stopped goes on with --resume, and ends as if it
    had not been stopped. Several GPUs: torchrun --nproc-per-node 4 -m calkit train ...

    \b
    calkit train --dataset digits --model small-resnet --loss FLA-53
    calkit train --dataset cifar10 --model resnet50 --loss FLA-53 --device cuda --precision bfloat16
    calkit train --resume --out runs/cifar10-resnet50-FLA-53-1b2c3d4e
    calkit train --import my_module --dataset mine --model my-net --loss my-loss:2
    """  # noqa: D301
    try:
        from calkit_torch.data import get_dataset
        from calkit_torch.training import TrainingInterrupted, train
        from calkit_torch.training.defaults import default_callbacks
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            "'calkit train' needs torch; install it with: pip install 'calkit-calibration[torch]'"
        ) from None
    for module in modules:
        import_module_of(module)
    recipe = _recipe(out if resume else None, **choices)
    data = get_dataset(recipe.dataset, folder=folder, split_seed=recipe.split_seed, download=download)
    try:
        run = train(
            recipe,
            data,
            out=out,
            resume=resume,
            device=device,
            callbacks=default_callbacks(progress=not quiet, history=history, every=history_every),
            checkpoint_batches=checkpoint_batches,
            checkpoint_seconds=checkpoint_seconds,
            checkpoint_epochs=checkpoint_epochs,
        )
    except TrainingInterrupted as stopped:
        _say(f"calkit: {stopped}", err=True)
        raise click.exceptions.Exit(130) from None
    _say(str(run.path))


def import_module_of(name: str) -> None:
    """Import a module by its name, looked for in the working folder as well, or a file that ends in ``.py``.

    Raises
    ------
    UsageError
        If there is none, or importing it fails.
    """
    path = Path(name)
    try:
        if path.suffix == ".py":
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None or not path.is_file():
                raise UsageError(f"--import {name}: there is no such file.")
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)
            spec.loader.exec_module(module)
        elif name not in sys.modules:
            with _working_folder_first():
                importlib.import_module(name)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"--import {name} failed: {type(error).__name__}: {error}") from error


@contextmanager
def _working_folder_first() -> Iterator[None]:
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.pop(0)


def _say(text: str, *, err: bool = False) -> None:
    """Print, once if torchrun has started several of us."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(printable(text, lines=True), err=err)


def _recipe(
    run: Path | None,
    *,
    recipe: str | None,
    lr: float | None,
    assignments: tuple[str, ...],
    **given: Any,
) -> Recipe:
    """Return the recipe that the options name; that of the run folder where they name none."""
    from calkit.runs import is_run_folder
    from calkit_torch.training import get_recipe
    from calkit_torch.training.optimisers import with_learning_rate

    given |= _assigned(assignments)
    source: str | Path | None = recipe
    named = (recipe, *(given[key] for key in ("dataset", "model", "loss")))
    if run is not None and not any(named):
        if not is_run_folder(run):
            raise UsageError(f"{run} holds no run to go on with; name its folder, or begin one: --dataset digits ...")
        source = run / "recipe.toml"
    found = get_recipe(source, **given)
    return found if lr is None else replace(found, optimiser=with_learning_rate(found.optimiser, lr))


def _assigned(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Read KEY=VALUE, the value as TOML, or as text if it is none."""
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not key or not equals or not value:
            raise UsageError(f"--set takes KEY=VALUE, for example --set clip_norm=2, but got {text!r}.")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values
