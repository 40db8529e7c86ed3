"""The messages of 20 Newsgroups, as they come: a folder tree, lines of JSON, or scikit-learn's cache."""

from __future__ import annotations

import codecs
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calkit.errors import FileFormatError
from calkit_torch.data.files import default_folder
from calkit_torch.data.text import lines
from calkit_torch.data.unpickling import load_plain_pickle

__all__ = ["Messages", "read_messages"]

_CACHE = "20news-bydate_py3.pkz"
_TREES = {"20news-bydate-train": False, "20news-bydate-test": True}
_WHOLE_TREES = ("20_newsgroups", "20_newsgroup")
_N_GROUPS = 20


@dataclass(frozen=True)
class Messages:
    """Raw messages.

    Attributes
    ----------
    texts : tuple of str
    labels : tuple of str
        The group of each.
    is_test : ndarray of bool, or None
        Which are for the test; None where that is not said.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    is_test: NDArray[np.bool_] | None


Message = tuple[str, str, bool | None]
"""Text, group, and whether it is for the test."""


def read_messages(folder: Path | None = None, *, download: bool = False) -> Messages:
    """Read the messages of 20 Newsgroups.

    Parameters
    ----------
    folder : Path, optional
        What holds one of the following, looked for in this order; or the file itself.

        - a file whose name begins with "20news" and goes on to ".jsonl", ".jsonl.gz" or ".jsonl.xz": one JSON object a
          line, with "text", "label" and perhaps "split" ("train" or "test");
        - the folders ``20news-bydate-train`` and ``20news-bydate-test``, or the folder ``20_newsgroups`` of the
          original set, each with a folder for each group and a file for each message;
        - scikit-learn's cache, ``20news-bydate_py3.pkz``. By default it is looked for in scikit-learn's own data
          folder as well.
    download : bool
        Whether scikit-learn is to fetch the by-date set into the folder if nothing is there.

    Returns
    -------
    Messages
        In the order of the file, or sorted by group and number of the message, training before test.

    Raises
    ------
    FileFormatError
        If nothing is there, or it is something else.
    """
    place = default_folder("20newsgroups") if folder is None else folder
    found = _find(place, folder is None)
    if found is None and download:
        found = _fetch(place)
    if found is None:
        raise FileFormatError(
            f"20newsgroups is not in {place}: put a file 20news*.jsonl(.xz), the folders {' and '.join(_TREES)}, the "
            f"folder {_WHOLE_TREES[0]} or scikit-learn's {_CACHE} there, or name another folder, or fetch it (14 MB): "
            "calkit train --download, or in Python get_dataset('20newsgroups', download=True)."
        )
    messages = list(_read(found))
    if not messages:
        raise FileFormatError(f"{found} holds no messages.")
    texts, labels, is_test = zip(*messages, strict=True)
    if len(set(labels)) != _N_GROUPS:
        raise FileFormatError(f"{found} has messages of {len(set(labels))} groups, and not of {_N_GROUPS}.")
    if None in is_test:
        return Messages(texts, labels, None)
    return Messages(texts, labels, np.array(is_test))


def _find(place: Path, by_default: bool) -> Path | None:
    if place.is_file():
        return place
    files = sorted(path for path in place.glob("20news*.jsonl*") if path.is_file())
    if len(files) > 1:
        raise FileFormatError(
            f"{place} holds {', '.join(path.name for path in files)}; name one of them as the folder."
        )
    if files:
        return files[0]
    if all((place / tree).is_dir() for tree in _TREES) or any((place / tree).is_dir() for tree in _WHOLE_TREES):
        return place
    caches = [place / _CACHE]
    if by_default:
        from sklearn.datasets import get_data_home

        caches.append(Path(get_data_home()) / _CACHE)
    return next((path for path in caches if path.is_file()), None)


def _fetch(place: Path) -> Path:
    from sklearn.datasets import fetch_20newsgroups

    try:
        fetch_20newsgroups(data_home=place, subset="all")
    except OSError as error:
        raise FileFormatError(f"scikit-learn cannot fetch 20newsgroups into {place}: {error}.") from None
    return place / _CACHE


def _read(found: Path) -> Iterator[Message]:
    if found.is_dir():
        return _read_trees(found)
    return _read_cache(found) if found.suffix == ".pkz" else _read_json(found)


def _read_json(path: Path) -> Iterator[Message]:
    for where, line in lines(path):
        try:
            entry = json.loads(line)
            text, label, split = entry["text"], entry["label"], entry.get("split")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise FileFormatError(f'{where}: expected a JSON object with "text" and "label".') from None
        if not isinstance(text, str) or not isinstance(label, str) or split not in (None, "train", "test"):
            raise FileFormatError(f'{where}: "text" and "label" must be text, and "split" "train" or "test".')
        yield text, label, None if split is None else split == "test"


def _read_trees(place: Path) -> Iterator[Message]:
    if all((place / tree).is_dir() for tree in _TREES):
        for name, is_test in _TREES.items():
            yield from _read_tree(place / name, is_test)
    else:
        yield from _read_tree(next(place / tree for tree in _WHOLE_TREES if (place / tree).is_dir()), None)


def _read_tree(tree: Path, is_test: bool | None) -> Iterator[Message]:
    for group in sorted(path for path in tree.iterdir() if path.is_dir()):
        numbered = [path for path in group.iterdir() if path.name.isdecimal()]
        for path in sorted(numbered, key=lambda path: int(path.name)):
            yield path.read_text(encoding="latin-1"), group.name, is_test


def _read_cache(path: Path) -> Iterator[Message]:
    try:
        content = codecs.decode(path.read_bytes(), "zlib_codec")
    except (OSError, zlib.error) as error:
        raise FileFormatError(f"cannot read {path}: {error}.") from None
    cache = load_plain_pickle(io.BytesIO(content), str(path))
    try:
        for part in ("train", "test"):
            bunch = cache[part]
            for text, target in zip(bunch["data"], bunch["target"], strict=True):
                yield str(text), str(bunch["target_names"][target]), part == "test"
    except (KeyError, TypeError, ValueError, IndexError):
        raise FileFormatError(f"{path} is not scikit-learn's cache of 20newsgroups.") from None
