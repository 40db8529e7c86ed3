"""The command line: one file a command, each a thin call of the public API."""

from calkit.cli.app import cli, main

__all__ = ["cli", "main"]
