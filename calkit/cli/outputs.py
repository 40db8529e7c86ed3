"""What commands write: never over what they read, and said where it does not get in the way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from calkit.atomic import atomic_write, is_stdout, is_stream
from calkit.errors import FileFormatError, UsageError
from calkit.io import split_address
from calkit.io.address import STDIN, shard_paths
from calkit.printing import printable
from calkit.runs import RunFolder, is_run_folder

__all__ = ["announce", "check_output", "format_of", "format_option", "write_text"]

# What the suffix of an output says where --format does not.
_FORMATS = {".json": "json", ".csv": "csv", ".md": "md", ".tex": "latex", ".html": "html"}

Command = TypeVar("Command", bound=Callable[..., Any])

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
    click.echo(printable(text, lines=True), err=output is None or is_stdout(output))


def format_option(formats: Iterable[str], default: str) -> Callable[[Command], Command]:
    """Add the option --format, ``form``, which is None where it is not said."""
    names = list(formats)
    suffixes = ", ".join(suffix for suffix, name in _FORMATS.items() if name in names)
    said = f"Default: what the suffix of --output says ({suffixes}), else {default}."
    return click.option("--format", "form", type=click.Choice(names), help=said)


def format_of(output: Path | None, formats: Iterable[str], default: str) -> str:
    """Return the format that the suffix of an output stands for; the default where it says nothing."""
    found = "" if output is None else _FORMATS.get(output.suffix.lower(), "")
    return found if found in formats else default


def write_text(text: str, output: Path | None) -> None:
    """Write the result of a command to a file, whole or not at all; to standard output without one."""
    if output is None:
        click.echo(text, nl=False)
        return
    with atomic_write(output) as temporary:
        # Paths may hold what is no text; it is shown as "?".
        temporary.write_text(text, encoding="utf-8", errors="replace")
