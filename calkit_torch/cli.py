"""``calkit train``: from a data set, a network and a loss to a run folder."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calkit.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from calkit_torch.training import Recipe

__all__ = ["command"]


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
@click.option("--quiet", is_flag=True, help="Do not show the progress.")
def command(
    out: Path | None,
    resume: bool,
    folder: Path | None,
    download: bool,
    device: str,
    checkpoint_seconds: float,
    checkpoint_batches: int | None,
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
    """  # noqa: D301
    try:
        from calkit_torch.data import get_dataset
        from calkit_torch.training import TrainingInterrupted, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            "'calkit train' needs torch; install it with: pip install 'calkit-calibration[torch]'"
        ) from None
    recipe = _recipe(out if resume else None, **choices)
    data = get_dataset(recipe.dataset, folder=folder, split_seed=recipe.split_seed, download=download)
    try:
        run = train(
            recipe,
            data,
            out=out,
            resume=resume,
            device=device,
            progress=not quiet,
            checkpoint_batches=checkpoint_batches,
            checkpoint_seconds=checkpoint_seconds,
        )
    except TrainingInterrupted as stopped:
        _say(f"calkit: {stopped}", err=True)
        raise click.exceptions.Exit(130) from None
    _say(str(run.path))


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
