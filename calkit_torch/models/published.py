"""The checkpoints that the paper's authors published, loaded into the networks of this package.

Source of the names: github.com/torrvision/focal_calibration, whose ``train.py`` writes state dictionaries,
``resnet50_cross_entropy_350.model``.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from calkit.errors import FileFormatError
from calkit.registry import unknown_name
from calkit_torch.models.registry import get_model

__all__ = ["PUBLISHED", "load_published"]

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """A network of the published code.

    Attributes
    ----------
    model : str
        Its name here.
    renamed : callable
        From the published code's state to that of the network here.
    """

    model: str
    renamed: Callable[[Mapping[str, Tensor]], State]


def load_published(path: str | Path, model: str) -> nn.Module:
    """Load a checkpoint of the paper's authors.

    Parameters
    ----------
    path : str or Path
        A ``.model`` file: a dictionary of tensors. Nothing else is unpickled.
    model : {"resnet50", "resnet110", "wide_resnet", "densenet121"}
        The network, by the published code's word for it. Its ResNet-110 is ``"resnet110-bottleneck"`` here and its
        Wide-ResNet ``"wide-resnet-26-10-postactivation"``; these names are taken as well.

    Returns
    -------
    nn.Module
        On the CPU, in evaluation mode, with as many classes as the checkpoint has.

    Raises
    ------
    NotFoundError
        If there is no such network.
    FileFormatError
        If the file cannot be read, or holds another network.

    Notes
    -----
    Tensors are matched by name. The published DenseNet puts new channels before the old ones and this package puts
    them behind, so its weights are brought into another order: loaded as they lie, they would fit and be wrong.

    Examples
    --------
    >>> model = load_published("resnet50_cross_entropy_350.model", "resnet50")  # doctest: +SKIP
    """
    names = {**PUBLISHED, **{published.model: published for published in PUBLISHED.values()}}
    if model not in names:
        raise unknown_name("published network", model, names)
    published = names[model]
    found = {name.removeprefix("module."): tensor for name, tensor in _read(Path(path)).items()}
    last = next((found[name] for name in ("fc.weight", "linear.weight") if name in found), None)
    if last is None:
        raise FileFormatError(f"{path} has no last layer, fc or linear; it is no checkpoint of the published code.")
    try:
        state = published.renamed(found)
        network = get_model(published.model, n_classes=len(last))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise FileFormatError(f"{path} is not a checkpoint of {model}: {str(error).splitlines()[0]}") from None
    return network.eval()


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileFormatError(f"the checkpoint {path} cannot be read: {reason}") from None
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise FileFormatError(f"{path} is not a dictionary of tensors, as the published code writes.")
    return found


def _residual(found: Mapping[str, Tensor]) -> State:
    """Return the state of a residual network: stages count from 0, shortcuts and the last layer have other names."""
    return {
        re.sub(
            r"^layer(\d)\.", lambda m: f"stages.{int(m[1]) - 1}.", name.replace(".downsample.", ".shortcut.")
        ).replace("fc.", "classifier."): tensor
        for name, tensor in found.items()
    }


def _dense(found: Mapping[str, Tensor]) -> State:
    """Return the state of the DenseNet: its layers in one sequence, their inputs in the order of the network here."""
    sizes = _blocks_of(found)
    width, growth = len(found["conv1.weight"]), len(found["dense1.0.conv2.weight"])
    state = {"conv1.weight": found["conv1.weight"]}
    place = 0
    for block, n_layers in enumerate(sizes, start=1):
        for i in range(n_layers + 1):
            theirs, ours = f"dense{block}.{i}.", f"layers.{place}."
            inputs = (f"{theirs}bn1.", f"{theirs}conv1.weight")
            if i == n_layers:
                theirs, last = f"trans{block}.", block == len(sizes)
                inputs = ("bn.", "linear.weight") if last else (f"{theirs}bn.", f"{theirs}conv.weight")
                ours = "" if last else ours
            order = _order(width, growth, i)
            for name in (name for name in found if name.startswith(theirs) or name.startswith(inputs)):
                new = ours + name.removeprefix(theirs)
                state[new] = _reordered(found[name], name, inputs, order)
            place += 1
        width = (width + n_layers * growth) // 2
    return {name.replace("linear.", "classifier."): tensor for name, tensor in state.items()} | {
        "classifier.bias": found["linear.bias"]
    }


def _blocks_of(found: Mapping[str, Tensor]) -> list[int]:
    """Return how many layers each dense block has."""
    layers = [m for name in found if (m := re.match(r"dense(\d+)\.(\d+)\.", name))]
    if not layers:
        raise KeyError("dense1.0")
    n_blocks = max(int(m[1]) for m in layers)
    return [1 + max(int(m[2]) for m in layers if int(m[1]) == block) for block in range(1, n_blocks + 1)]


def _order(width: int, growth: int, n_added: int) -> Tensor:
    """Return where each channel after ``n_added`` layers lies in the published code.

    There the newest come first and the block's input last, here the input comes first and the newest last.
    """
    added = [torch.arange(growth) + (n_added - 1 - j) * growth for j in range(n_added)]
    return torch.cat([torch.arange(width) + n_added * growth, *added])


def _reordered(tensor: Tensor, name: str, inputs: tuple[str, str], order: Tensor) -> Tensor:
    """Return a tensor with the channels it takes in the order of the network here; others as they are."""
    if name.startswith(inputs[0]) and tensor.ndim:
        return tensor[order]
    return tensor[:, order] if name == inputs[1] else tensor


PUBLISHED: Mapping[str, Published] = {
    "resnet50": Published("resnet50", _residual),
    "resnet110": Published("resnet110-bottleneck", _residual),
    "wide_resnet": Published("wide-resnet-26-10-postactivation", _residual),
    "densenet121": Published("densenet121", _dense),
}
"""Networks by the published code's words."""
