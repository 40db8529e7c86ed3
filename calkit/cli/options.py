"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from calkit.cli import completion
from calkit.cli.progress import shown, watched
from calkit.errors import CalibrationWarning, UsageError
from calkit.hardening.unchanged import Stamp
from calkit.io import available_formats, is_address, load_predictions, open_container, split_address, splits_of
from calkit.names import canonical_split
from calkit.predictions import Kind, Predictions
from calkit.shards import Shards

__all__ = [
    "FileCommand",
    "InputOptions",
    "as_columns",
    "columns_option",
    "fit_options",
    "input_options",
    "label_error_rows",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class InputOptions:
    """How to find predictions in a file; see :func:`calkit.load_predictions`."""

    kind: str | None = None
    split: str | None = None
    scores: str | None = None
    labels: str | None = None
    sample_weight: str | None = None
    confidence: str | None = None
    correct: str | None = None
    predicted: str | None = None
    class_names: str | None = None
    ids: str | None = None
    groups: str | None = None
    split_column: str | None = None
    labels_from: int = 0
    ignore_label: tuple[Any, ...] = ()
    class_axis: int | None = None
    positive: str | None = None
    percent: bool = False
    normalize: bool = False
    dtype: str | None = None
    file_format: str | None = None
    trust_pickle: bool = False
    sandbox: bool = False

    def load(self, path: str, split: str | None = None, **more: Any) -> Predictions:
        """Read a file, or one split of it; a terminal shows how far later passes over its rows have come.

        Parameters
        ----------
        path : str
        split : str, optional
        **more
            Further arguments of :func:`calkit.load_predictions`: ``columns``, ``labelled``.
        """
        with _unchanged(path), shown(f"reading {Path(path).name}"):
            predictions = load_predictions(path, **self._arguments(split), **more)
        return watched(predictions, path)

    def shards(self, path: str, split: str | None = None, **more: Any) -> Shards:
        """Return the files that a pattern or a folder stands for, to be read where they are worked on."""
        return Shards(path, **self._arguments(split), **more)

    def files(self) -> list[str]:
        """Return the words of the options that may name files, beside the one that is read."""
        words = (self.labels, self.sample_weight, self.confidence, self.correct, self.predicted, self.class_names)
        return [word for word in (*words, self.ids, self.groups) if word is not None]

    def _arguments(self, split: str | None) -> dict[str, Any]:
        return {**asdict(self), "split": split or self.split, "ignore_label": self.ignore_label or None}

    def splits(self, path: str) -> list[str | None]:
        """Return the splits to read: the one that was chosen, or all that the names tell."""
        if path == "-":
            # Standard input can be read once, so nothing is asked of it before.
            return [self.split]
        if self.split is not None or split_address(path)[1] is not None:
            return [self.split]
        with _unchanged(path):
            container = open_container(
                path, file_format=self.file_format, trust_pickle=self.trust_pickle, sandbox=self.sandbox
            )
        said = self.scores is not None or self.confidence is not None
        found = splits_of(container, self.split_column, by_rows_only=said)
        return [None] if len(found) <= 1 else list(found)

    def load_preferred(self, path: str, preferred: str, **more: Any) -> Predictions:
        """Read the chosen split; of a file with several and none chosen, the preferred one if it is there."""
        splits = self.splits(path)
        return self.load(path, preferred if len(splits) > 1 and preferred in splits else None, **more)


@contextlib.contextmanager
def _unchanged(path: str) -> Iterator[None]:
    """Refuse a file that is another one than when this command opened it first: its splits are read one by one."""
    context = click.get_current_context(silent=True)
    seen: dict[str, Stamp] = {} if context is None else context.find_root().meta.setdefault("calkit.stamps", {})
    file = split_address(path)[0]
    # Not so pipes, which change as they are read; these two never raise.
    if path not in seen and (os.path.isfile(file) or os.path.isdir(file)):  # noqa: PTH112, PTH113
        seen[path] = Stamp.of(file)
    with seen[path].kept() if path in seen else contextlib.nullcontext():
        yield


def _collected(function: F, name: str, kind: type[Any], options: Sequence[Callable[[Any], Any]]) -> F:
    """Add options to a command, which gets them as one argument: an instance of a dataclass of theirs."""

    @functools.wraps(function)
    def collecting(*args: Any, **kwargs: Any) -> Any:
        values = {field.name: kwargs.pop(field.name) for field in fields(kind)}
        return function(*args, **{name: kind(**values)}, **kwargs)

    wrapped: Any = collecting
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def input_options(function: F) -> F:
    """Add the options that say what is what in a file; the command takes them as ``source``."""
    return _collected(function, "source", InputOptions, _INPUT)


def columns_option(function: F) -> F:
    """Add the option that says which other columns are written."""
    return click.option(
        "--columns",
        default="all",
        show_default=True,
        metavar="all|none|LIST",
        help="Other columns to write beside the scores, by commas.",
    )(function)


def label_error_rows(word: str, source: InputOptions) -> Any:
    """Return what a file named in ``--label-errors`` holds, its one array; None if the word names a column.

    Raises
    ------
    UsageError
        If the file holds several arrays and none of them is named.
    """
    file, member = split_address(word)
    if not os.path.isfile(file):  # noqa: PTH113 - it never raises
        return None
    container = open_container(file, trust_pickle=source.trust_pickle, sandbox=source.sandbox)
    arrays = list(container.columns())
    if member is None and len(arrays) != 1:
        raise UsageError(f"--label-errors: {file} holds {', '.join(arrays)}; name one: {file}:{arrays[0]}.")
    values = container.find(member or arrays[0]).read()
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def as_columns(words: str) -> str | list[str]:
    """Return what ``--columns`` says as :func:`calkit.load_predictions` takes it."""
    if words == "all":
        return words
    return [] if words == "none" else [word.strip() for word in words.split(",")]


def _as_label(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> tuple[Any, ...]:
    """Return labels as they may stand in files; "nan" is a missing one."""
    return tuple(float("nan") if word.lower() == "nan" else word for word in words)


_INPUT = [
    click.option("--split", metavar="NAME", help="Split to read, of a file with several (validation, test)."),
    click.option("--kind", type=click.Choice(get_args(Kind)), help="What the scores are, if their name does not tell."),
    click.option("--scores", metavar="NAME", help="Array of scores, if no name tells; or columns: cat,dog."),
    click.option("--labels", metavar="NAME|FILE", help="Array of labels, or another file, or FILE:NAME."),
    click.option("--confidence", metavar="NAME|FILE", help="Confidences in the answers given."),
    click.option("--correct", metavar="NAME|FILE", help="Whether the answers were right."),
    click.option("--predicted", metavar="NAME|FILE", help="The answers given, to be compared with the labels."),
    click.option("--weight", "--sample-weight", "sample_weight", metavar="NAME|FILE", help="Weights of the rows."),
    click.option(
        "--class-names", metavar="LIST|NAME|FILE", help="Names of the classes, by commas, or where they stand."
    ),
    click.option("--labels-from", type=int, default=0, metavar="N", help="Number of the first class: 1 for 1..K."),
    click.option(
        "--ignore-label",
        multiple=True,
        metavar="LABEL",
        callback=_as_label,
        help="Leave rows with this label out (-100, nan); repeat for more.",
    ),
    click.option("--positive", metavar="LABEL", help="Label that one column of scores is the forecast of."),
    click.option("--class-axis", type=int, metavar="N", help="Axis of the classes: 1 of (N, C, H, W)."),
    click.option("--percent", is_flag=True, help="Probabilities or confidences are given in percent."),
    click.option("--normalize", is_flag=True, help="Divide each row of probabilities by its sum."),
    click.option(
        "--dtype",
        type=click.Choice(["float16", "float32", "float64"]),
        help="Type that scores written as text were stored in; text is read as float64.",
    ),
    click.option("--id", "ids", metavar="NAME|FILE", help="Names of the rows."),
    click.option("--group", "groups", metavar="NAME|FILE", help="Groups of the rows."),
    click.option("--split-column", metavar="NAME", help="Column that names the split of each row."),
    click.option(
        "--file-format",
        type=click.Choice(available_formats()),
        help="Format of the file, if neither its suffix nor its first bytes tell; of standard input, '-'.",
    ),
    click.option(
        "--trust-pickle", is_flag=True, help="Read pickles, which can run any code: only for files of your own."
    ),
    click.option("--sandbox", is_flag=True, help="Read untrusted files in a process with limits of memory and time."),
]


class FileCommand(click.Command):
    """A command whose help has its own options first, and apart from those that say what is what in a file."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two sections."""
        names = {field.name for field in fields(InputOptions)}
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "What is what in the file": []}
        own, of_the_file = sections.values()
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and param.param_type_name == "option":
                (of_the_file if param.name in names else own).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


@dataclass(frozen=True)
class FitOptions:
    """Which calibrators to apply: fitted now, or read from files."""

    methods: tuple[str, ...] = ()
    fit_on: str | None = None
    calibrators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fit_on is not None and not self.methods:
            raise UsageError("--fit-on says where --method is fitted; add one (-m temperature), or leave --fit-on out.")

    def files(self) -> list[str]:
        """Return the words of the options that may name files."""
        return [*self.calibrators, *([] if self.fit_on is None else [self.fit_on])]

    @functools.cached_property
    def _named(self) -> tuple[list[Any], list[Any]]:
        """Calibrators from files, and those that are to be fitted; the words are checked before data are read."""
        if not self.methods and not self.calibrators:
            return [], []
        from calkit.calibrators import get_calibrator, load_calibrator

        return [load_calibrator(name) for name in self.calibrators], [get_calibrator(name) for name in self.methods]

    def columns(self) -> list[str]:
        """Return the columns that the calibrators need of every file."""
        ready, unfitted = self._named
        return list(dict.fromkeys(name for each in (*ready, *unfitted) for name in each.needs_columns))

    def fitted(self, path: str, source: InputOptions, validation: Predictions | None = None) -> list[tuple[str, Any]]:
        """Return (label, calibrator) pairs: the methods fitted on the file's validation split or on ``fit_on``."""
        ready, unfitted = self._named
        pairs: list[tuple[str, Any]] = list(zip(self.calibrators, ready, strict=True))
        if unfitted:
            from sklearn.base import clone

            data = self.validation(path, source) if validation is None else validation
            self._warn_of_own_rows(path, source, data)
            pairs += [
                (name, clone(each).fit_predictions(data)) for name, each in zip(self.methods, unfitted, strict=True)
            ]
        return pairs

    def _warn_of_own_rows(self, path: str, source: InputOptions, data: Predictions) -> None:
        """Warn if calibrators are judged on the rows that they were fitted on."""
        if self.fit_on is not None and is_address(self.fit_on) and Path(self.fit_on) != Path(path):
            return
        fitted = data.meta.get("split")
        if canonical_split(source.split) == fitted if source.split else len(source.splits(path)) < 2:
            of = f" ({fitted})" if fitted else ""
            warnings.warn(
                f"{path}{of}: calibrators are judged on the rows that they were fitted on, and so look better than "
                "they are. Name other rows: --fit-on or --split.",
                CalibrationWarning,
                stacklevel=3,
            )

    def validation(self, path: str, source: InputOptions) -> Predictions:
        """Return the predictions to fit on."""
        plain = replace(source, split=None)
        if self.fit_on is None:
            return plain.load(path, self.fit_split(path, source), columns=self.columns())
        if is_address(self.fit_on):
            return plain.load_preferred(self.fit_on, "validation", columns=self.columns())
        splits = plain.splits(path)
        if canonical_split(self.fit_on) not in splits:
            known = ", ".join(split for split in splits if split) or "none"
            raise UsageError(f"--fit-on {self.fit_on} is no file, nor a split of {path}; its splits: {known}.")
        return plain.load(path, self.fit_on, columns=self.columns())

    def fit_split(self, path: str, source: InputOptions) -> str | None:
        """Return the split of the file that calibrators are fitted on, or None if it is not one of this file's."""
        _, unfitted = self._named
        if not unfitted:
            return None
        if self.fit_on is not None:
            return None if is_address(self.fit_on) else canonical_split(self.fit_on)
        if "validation" not in replace(source, split=None).splits(path):
            raise UsageError(
                f"{path} has no validation split to fit on. Name a file or a split with --fit-on, or fit first "
                "('calkit fit') and pass --calibrator."
            )
        return "validation"


def fit_options(function: F) -> F:
    """Add the options that choose calibrators; the command takes them as ``fit``."""
    return _collected(function, "fit", FitOptions, _FIT)


_FIT = [
    click.option(
        "-m",
        "--method",
        "methods",
        multiple=True,
        metavar="METHOD",
        shell_complete=completion.calibrators,
        help="Fit this calibrator (temperature, temperature:objective=ece, …) and show what it does; repeat for more.",
    ),
    click.option(
        "--fit-on",
        metavar="SPLIT|FILE",
        help="Where --method is fitted; by default the validation split of the same file.",
    ),
    click.option(
        "--calibrator",
        "calibrators",
        multiple=True,
        metavar="JSON",
        type=click.Path(dir_okay=False),
        help="A calibrator that 'calkit fit' wrote; repeat for more.",
    ),
]
