"""The network of a run, taken from its folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from calkit.errors import FileFormatError
from calkit.runs import RunFolder
from calkit_torch.data import DataSet, get_dataset
from calkit_torch.training.checkpoint import read_checkpoint
from calkit_torch.training.recipe import Recipe

__all__ = ["trained_model"]


def trained_model(run: str | Path | RunFolder, data: DataSet | None = None) -> nn.Module:
    """Return the network of a run: the one that was selected, or the last.

    Parameters
    ----------
    run : str, Path or RunFolder
        The folder that ``calkit train --out`` wrote.
    data : DataSet, optional
        What it was trained on, from which the network learns its shape; by default that of the recipe.

    Returns
    -------
    nn.Module
        On the CPU, in evaluation mode.

    Raises
    ------
    FileFormatError
        If the run has no checkpoint, or it cannot be read or is of another network.

    Examples
    --------
    >>> import tempfile
    >>> from calkit_torch.training import Recipe, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train(Recipe("digits", "mlp", "ce", epochs=1), out=f"{folder}/run", device="cpu", progress=False)
    ...     trained_model(run).classifier
    Linear(in_features=128, out_features=10, bias=True)
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    found = read_checkpoint(folder.path / "checkpoint.pt")
    if found is None:
        raise FileFormatError(f"{folder.path} holds no checkpoint yet, so there is no network to take.")
    recipe = Recipe.from_dict(found["recipe"])
    data = get_dataset(recipe.dataset, split_seed=recipe.split_seed) if data is None else data
    model = data.build_model(recipe.model, seed=recipe.seed)
    weights = found["best"]["model"] if found["best"] is not None else found["model"]
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise FileFormatError(f"the checkpoint of {folder.path} is of another network: {error}") from None
    return model.eval()
