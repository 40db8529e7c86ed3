"""PyTorch's .pt and .pth: tensors in dictionaries, lists and tuples, loaded with ``weights_only=True``."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calkit.containers.container import Container, Field, by_name, unreadable
from calkit.errors import FileFormatError, MissingDependencyError
from calkit.hardening.guard import damaged
from calkit.io.bfloat16 import bfloat16_field
from calkit.io.formats.base import FORMATS, PicklingFormat
from calkit.io.tree import array_field, check_tree, tree_fields

__all__ = ["Torch"]

_WHAT = ".pt"
_ZIP = b"PK\x03\x04"
# The number that files of torch before 1.6 begin with, pickled.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# Earlier releases could be made to run code in spite of weights_only (CVE-2025-32434, CVE-2026-24747).
_SAFE_VERSION = (2, 10)


class Torch(PicklingFormat):
    """Tensors in dictionaries, lists and tuples, as ``torch.save`` writes them."""

    name = "torch"
    requires = ("torch",)
    suffixes = (".pt", ".pth", ".ckpt", ".pth.tar")

    def matches(self, head: bytes) -> bool:
        """Tell by the first member of the archive, or by the number that older files begin with."""
        return (head.startswith(_ZIP) and b"/data.pkl" in head[:256]) or head.startswith(_LEGACY)

    def _open(self, path: Path, *, trusted: bool) -> Container:
        import torch

        load = partial(_load, torch, path, trusted=trusted)
        tree = load()
        if not trusted:
            check_tree(path, tree)
        fields = by_name(path, tree_fields(tree, partial(_as_field, torch, path), load))
        if not fields:
            raise FileFormatError(f"{path} holds no tensors; write torch.save({{'logits': …, 'labels': …}}, path).")
        named = len(fields) > 1 or next(iter(fields)) != "0"
        if not named:
            name = path.name.split(".")[0]
            fields = {name: fields["0"].renamed(name)}
        return Container(path, self.name, fields, named=named)


def _load(torch: Any, path: Path, *, trusted: bool) -> Any:
    if not trusted and tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) < _SAFE_VERSION:
        wanted = ".".join(map(str, _SAFE_VERSION))
        raise MissingDependencyError(
            f"{path}: torch {torch.__version__} does not read files of others safely. Install {wanted} or later: "
            f"pip install 'calkit-calibration[torch]' 'torch>={wanted}'; for a file of your own, pass "
            "trust_pickle=True (--trust-pickle)."
        )
    with path.open("rb") as stream:
        zipped = stream.read(len(_ZIP)) == _ZIP
    if zipped:
        _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=not trusted, mmap=zipped)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global:?) (?!GLOBAL)([\w.]+)", str(error))
        what = f"Python objects ({found[1]})" if found else "something other than tensors"
        remedy = "Save tensors only, as in torch.save({'logits': …, 'labels': …}, path)"
        if found and found[1].startswith("numpy."):
            what, remedy = "NumPy arrays", "Save them with np.savez, or as tensors (torch.from_numpy)"
        raise FileFormatError(
            f"{path} holds {what}, and reading those may run any code; it is refused. {remedy}; for a file of your "
            "own, pass trust_pickle=True (--trust-pickle)."
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse what torch never writes: compressed, overlapping or endless members."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise damaged(path, _WHAT, "its members are compressed")
    if sum(info.file_size for info in members) > path.stat().st_size:
        raise damaged(path, _WHAT, "its members overlap or exceed the file")


def _as_field(torch: Any, path: Path, name: str, leaf: Any, load: Callable[[], Any]) -> Field | None:
    if not isinstance(leaf, torch.Tensor):
        return array_field(name, leaf, load)
    shape = tuple(leaf.shape)
    if leaf.layout != torch.strided or leaf.is_meta or leaf.is_quantized or leaf.is_nested:
        return unreadable(path, name, shape, "a sparse, quantized or empty tensor", "Save a dense one.")
    if leaf.dtype == torch.bfloat16:
        return bfloat16_field(name, shape, lambda: load().detach().view(torch.int16).numpy().view(np.uint16))
    try:
        dtype = leaf.new_empty(0).numpy().dtype
    except (TypeError, RuntimeError):
        return unreadable(path, name, shape, f"values of type {leaf.dtype}", "Save float32.")
    return Field(name, shape, dtype, lambda: load().detach().resolve_conj().resolve_neg().numpy())


FORMATS.register("torch")(Torch())
