"""The command line: one file a command, each a thin call of the public API."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from calkit.cli.app import cli

__all__ = ["cli", "main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments; by default those of the process.
    """
    try:
        # Here, so that Ctrl-C ends in one line while modules are loaded, too.
        from calkit.cli.app import main as run

        run(args)
    except KeyboardInterrupt:
        sys.stderr.write("calkit: interrupted; nothing was left half-written.\n")
        sys.exit(130)


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from calkit.cli.app import cli

    return cli
