"""The group of commands: loads each when it is called, and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from functools import partial, singledispatch
from pathlib import Path
from typing import Any, NoReturn

import click

from calkit._version import __version__
from calkit.cli.settings import settings_for
from calkit.errors import CalibrationWarning, CalkitError
from calkit.printing import printable
from calkit.registry import unknown_name

__all__ = ["ThresholdBrokenError", "cli", "main"]

# Each command, and the first line of its help, so that a list of all imports none of them.
_COMMANDS = {
    "demo": "Show the main job on data that ship with calkit.",
    "evaluate": "Tell how calibrated predictions are.",
    "test": "Test whether predictions are calibrated.",
    "compare": "Compare models on the same rows.",
    "metrics": "List the metrics, or tell all about some of them.",
    "calibrators": "List the calibrators, or tell all about some of them.",
    "fit": "Fit a calibrator on validation predictions and save it.",
    "apply": "Apply a calibrator to predictions and write the result.",
    "plot": "Draw reliability diagrams and other curves.",
    "report": "Report on classifiers on one page.",
    "bench-calibrators": "Measure how often calibrators help or harm.",
    "show": "Print the arrays of a file and their roles.",
    "convert": "Write predictions in another format.",
    "formats": "List the formats of files, and which can be written.",
}

#: Entry points by which other packages add commands.
_GROUP = "calkit.commands"

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 misuse, 3 a --fail-if threshold is broken.
'calkit COMMAND --help' tells more; --debug shows the traceback of an error."""


class ThresholdBrokenError(CalkitError):
    """A value crossed a line that was drawn with ``--fail-if``."""

    exit_code = 3


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called.

    Other packages add commands as entry points of the group ``calkit.commands``; these are looked up only where a name
    is none of calkit's own, or all are listed.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*_COMMANDS, *sorted(_entry_points().names - set(_COMMANDS))]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = [name for name in self.list_commands(ctx) if name not in _COMMANDS]
        told = {name: command.get_short_help_str(100) for name in others if (command := self.get_command(ctx, name))}
        with formatter.section("Commands"):
            formatter.write_dl(list({**_COMMANDS, **told}.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            raise unknown_name("command", args[0], self.list_commands(ctx))
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and not ctx.resilient_parsing:
            ctx.default_map = {**(ctx.default_map or {}), name: settings_for(name, command, Path.cwd())}
        return name, command, rest

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        command: click.Command
        if cmd_name in _COMMANDS:
            command = importlib.import_module(f"calkit.cli.{cmd_name.replace('-', '_')}").command
        else:
            found = _entry_points().select(name=cmd_name)
            if not found:
                return None
            command = next(iter(found)).load()
        if not any(param.name == "debug" for param in command.params):
            command.params.append(_debug_option())
        return command


def _entry_points() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=_GROUP)


def _debug_option() -> click.Option:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.find_root().meta["calkit.debug"] = value or ctx.find_root().meta.get("calkit.debug", False)

    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, callback=remember, help="Show the traceback of an error."
    )


@click.group(
    cls=_LazyGroup,
    params=[_debug_option()],
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="calkit")
def cli() -> None:
    """Measure, show and improve the calibration of classifiers."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments; by default those of the process.
    """
    with _signals_raise():
        sys.exit(run(sys.argv[1:] if args is None else list(args)))


# After which a signal that could not be obeyed is repeated.
_SECONDS_BETWEEN_SIGNALS = 0.02


class _Terminated(BaseException):
    """The process was asked to end; temporary files are removed on the way out."""


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Make the signals that end a process raise, so that nothing is left half-written."""

    def end(number: int, _: object) -> NoReturn:
        raise _Terminated(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [
        number for number in (getattr(signal, name) for name in names) if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, end)
    previous, sys.unraisablehook = sys.unraisablehook, _ask_again
    try:
        yield
    finally:
        sys.unraisablehook = previous
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _ask_again(unraisable: Any) -> None:
    """Repeat a signal that came where nothing can be raised: in the callback of an import, or of a deleted object."""
    error = unraisable.exc_value
    if not isinstance(error, _Terminated | KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    number = error.args[0] if isinstance(error, _Terminated) else signal.SIGINT
    threading.Timer(_SECONDS_BETWEEN_SIGNALS, signal.raise_signal, (number,)).start()


def run(args: list[str]) -> int:
    """Run the command line and return its exit code."""
    if "_CALKIT_COMPLETE" in os.environ:
        # The shell asks for a completion script, or for completions.
        cli.main(args, prog_name="calkit")
    meta: dict[str, Any] = {}
    try:
        _invoke(args or ["--help"], meta)
    except BaseException as error:
        if meta.get("calkit.debug") and isinstance(error, CalkitError | MemoryError):
            raise
        return _told(error)
    return 0


def _invoke(args: list[str], meta: dict[str, Any]) -> None:
    """Run a command; what its options set for all commands is written to `meta`, also where it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CalibrationWarning)
        warnings.showwarning = partial(_show_warning, set())
        with cli.make_context("calkit", args) as ctx:
            meta.update(ctx.meta)
            try:
                cli.invoke(ctx)
            finally:
                meta.update(ctx.meta)
    # What cannot be written is said here, and not by Python as it ends.
    sys.stdout.flush()


@singledispatch
def _told(error: BaseException) -> int:
    """Say in one line what went wrong, and return the exit code; what is unforeseen is raised."""
    raise error


@_told.register
def _(leave: click.exceptions.Exit) -> int:
    return leave.exit_code


@_told.register
def _(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split())
    stop = "" if message.endswith((".", "?", "?)")) else "."
    remedy = f" See '{context.command_path} --help'." if context else ""
    click.echo(printable(f"calkit: error: {message}{stop}{remedy}"), err=True)
    return error.exit_code


@_told.register(KeyboardInterrupt)
@_told.register(click.Abort)
def _(_: BaseException) -> int:
    click.echo("calkit: interrupted; nothing was left half-written.", err=True)
    return 130


@_told.register
def _(ended: _Terminated) -> int:
    click.echo("calkit: terminated; nothing was left half-written.", err=True)
    return 128 + int(ended.args[0])


@_told.register
def _(error: CalkitError) -> int:
    for line in error.args if isinstance(error, ThresholdBrokenError) else [f"error: {error}"]:
        click.echo(printable(f"calkit: {line}"), err=True)
    return error.exit_code


@_told.register
def _(_: BrokenPipeError) -> int:
    # Whoever read our output has gone; keep Python from complaining about it at exit.
    _drop_output()
    return 0


@_told.register
def _(error: OSError) -> int:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
        raise error
    # The streams hold what could not be written; without them Python does not try again.
    _drop_output()
    click.echo(f"calkit: error: cannot write standard output: {error.strerror}.", err=True)
    return 1


@_told.register
def _(_: MemoryError) -> int:
    click.echo("calkit: error: out of memory; use a format that is read in blocks (.npy, .parquet).", err=True)
    return 1


def _drop_output() -> None:
    """Let standard output lead nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(shown: set[str], message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning of ours, once in a command: a file that is opened twice is warned of twice."""
    if issubclass(category, CalibrationWarning) and str(message) not in shown:
        shown.add(str(message))
        click.echo(printable(f"calkit: warning: {message}"), err=True)
