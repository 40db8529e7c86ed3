"""What commands write: never over what they read, and said where it does not get in the way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from calkit.atomic import is_stdout, is_stream
from calkit.errors import FileFormatError, UsageError
from calkit.io import split_address
from calkit.io.address import STDIN, shard_paths
from calkit.printing import printable
from calkit.runs import RunFolder, is_run_folder

__all__ = ["announce", "check_output"]

# Files of a run folder that are read beside its logits.
_OF_A_RUN = frozenset({"history.jsonl", "recipe.toml", "versions.json"})


def check_output(output: str | Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file that is read: under its own name, another one, or through a link.

    Parameters
    ----------
    output : str or Path, optional
        What is to be written; None for nothing.
    inputs : iterable of str or Path or None
        What is read: files, folders, patterns, addresses of arrays; words that name no file are passed over.

    Raises
    ------
    UsageError
        If the output is one of the inputs.
    """
    if output is None or not os.path.exists(output) or is_stream(output):  # noqa: PTH110
        return
    for word in inputs:
        for path in _files(word):
            if os.path.samefile(path, output):  # noqa: PTH121 - names may be too long for Path
                raise UsageError(
                    f"the output {output} is the input {word}, which would be lost; name another file to write."
                )


def _files(word: str | Path | None) -> Iterator[Path]:
    """Yield the files that exist among those that a word stands for."""
    if word is None or str(word) == STDIN:
        return
    path, _ = split_address(word)
    shards = shard_paths(path)
    if shards:
        yield from shards
    elif is_run_folder(path):
        yield from (item for item in Path(path).iterdir() if item.name in _OF_A_RUN)
        # A run that has not ended has no logits yet.
        with contextlib.suppress(FileFormatError):
            yield RunFolder(path).logits()
    elif os.path.isdir(path):  # noqa: PTH112
        yield from (item for item in path.rglob("*") if item.is_file())
    elif os.path.exists(path):  # noqa: PTH110
        yield path


def announce(text: str, output: str | Path | None = None) -> None:
    """Say what was written; on standard error where the output itself, None for another one, is on standard output."""
    click.echo(printable(text), err=output is None or is_stdout(output))
