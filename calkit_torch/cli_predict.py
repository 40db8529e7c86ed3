"""``calkit predict``: what a trained network says of a data set, as a file for all other commands."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from calkit.errors import MissingDependencyError, UsageError
from calkit_torch.cli import import_module_of, import_option

__all__ = ["command"]

_BATCH = 512


@click.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="FILE|RUN")
@click.option(
    "--model", metavar="NAME", help="Network of a .model file: resnet50, resnet110, wide_resnet, densenet121."
)
@click.option("--dataset", metavar="NAME", help="Data set: cifar10, cifar100:test_constants=imagenet, …")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the logits go: a .npz.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DATA", help="Where the files of the data set are.")
@click.option("--split-seed", type=int, default=1, help="Of training and validation set. Default: 1, the paper's.")
@click.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, auto. Default: auto.")
@import_option
def command(
    network: Path,
    model: str | None,
    dataset: str | None,
    output: Path,
    folder: Path | None,
    split_seed: int,
    device: str,
    modules: tuple[str, ...],
) -> None:
    """Run a network over a data set, and keep its logits.

    FILE is a checkpoint that the paper's authors published; RUN is the folder of a run of 'calkit train', which knows
    network and data set; --import names the module of those of your own. 'calkit evaluate', 'fit', 'report' and 'plot'
    take what comes out.

    \b
    calkit predict resnet50_cross_entropy_350.model --model resnet50 --dataset cifar10 --folder DATA -o logits.npz
    calkit evaluate logits.npz -m temperature:objective=ece
    """  # noqa: D301
    try:
        import torch

        from calkit_torch.bridge import predict
        from calkit_torch.data import get_dataset
        from calkit_torch.models import load_published
        from calkit_torch.training import Recipe, trained_model
        from calkit_torch.training.distributed import choose_device
        from calkit_torch.training.run_folder import write_splits
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            "'calkit predict' needs torch; install it with: pip install 'calkit-calibration[torch]'"
        ) from None
    from calkit.labels import TrueColumns
    from calkit.predictions import Predictions
    from calkit.runs import RunFolder, is_run_folder

    for module in modules:
        import_module_of(module)
    where = choose_device(device)
    if is_run_folder(network):
        if model is not None or dataset is not None:
            raise UsageError(f"{network} is a run, which knows its network and data set; leave out --model, --dataset.")
        recipe = Recipe.from_dict(RunFolder(network).recipe)
        data = get_dataset(recipe.dataset, folder=folder, split_seed=recipe.split_seed)
        net = trained_model(network, data)
    else:
        if model is None or dataset is None:
            raise UsageError("a checkpoint says neither network nor data; add --model resnet50 --dataset cifar10.")
        net, data = load_published(network, model), get_dataset(dataset, folder=folder, split_seed=split_seed)
    splits = {}
    for split in ("validation", "test"):
        found = predict(net.to(where), data.loader(split, batch_size=_BATCH, device=where))
        if found.n_classes != data.n_classes:
            raise UsageError(f"the network has {found.n_classes} classes, but {data.spec} has {data.n_classes}.")
        logits, labels = data.only_judged(*(torch.from_numpy(np.array(x)) for x in (found.scores, found.y_true)))
        names = data.judged_names
        splits[split] = Predictions(logits.numpy(), TrueColumns(labels.numpy()), kind="logits", class_names=names)
    click.echo(str(write_splits(output, splits)))
