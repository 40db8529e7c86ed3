"""What goes into a report: predictions, the calibrators to try on them, and the run they come from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from calkit.errors import CalibrationWarning, InputError
from calkit.io import load_predictions
from calkit.predictions import Predictions
from calkit.runs import RunFolder, is_run_folder

if TYPE_CHECKING:
    from calkit.calibrators.base import Calibrator

__all__ = ["Entry", "noted_warnings"]


@dataclass(frozen=True)
class Entry:
    """One classifier to report on.

    Attributes
    ----------
    name : str
        As the report calls it.
    predictions : Predictions
        Those to measure.
    calibrators : sequence of (str, Calibrator)
        Fitted ones, each with its spec.
    source : str
        The file or folder, if any.
    fitted_on : str, optional
        The split or file the calibrators were fitted on.
    fit_samples : int, optional
        How many samples that were.
    run : RunFolder, optional
        Where recipe and history are.
    warnings : sequence of str
        What reading and fitting warned of; see :func:`noted_warnings`.
    """

    name: str
    predictions: Predictions
    calibrators: Sequence[tuple[str, Calibrator]] = ()
    source: str = ""
    fitted_on: str | None = None
    run: RunFolder | None = None
    fit_samples: int | None = None
    warnings: Sequence[str] = ()

    @classmethod
    def from_predictions(
        cls,
        name: str,
        test: Predictions,
        validation: Predictions | None = None,
        *,
        methods: Sequence[str] = ("temperature",),
        **more: Any,
    ) -> Self:
        """Fit calibrators on validation predictions, to be measured on test predictions.

        Parameters
        ----------
        name : str
        test, validation : Predictions
            Without the latter, nothing is fitted.
        methods : sequence of str, default=("temperature",)
            Specs of calibrators.
        **more
            `source`, `run` and `warnings`.

        Returns
        -------
        Entry

        Raises
        ------
        NotFoundError
            If a calibrator is unknown.
        """
        if validation is None:
            return cls(name, test, **more)
        from calkit.calibrators import get_calibrator

        with noted_warnings() as noted:
            fitted = [(method, get_calibrator(method).fit_predictions(validation)) for method in methods]
        split = f"the {validation.meta.get('split', 'validation')} split"
        warned = [*more.pop("warnings", ()), *noted]
        return cls(name, test, fitted, fitted_on=split, fit_samples=validation.n_counted, warnings=warned, **more)

    @classmethod
    def from_path(
        cls,
        path: str | Path,
        *,
        methods: Sequence[str] = ("temperature",),
        split: str = "test",
        kind: str | None = None,
    ) -> Self:
        """Read a file with a validation split, or a run folder.

        Parameters
        ----------
        path : str or Path
        methods : sequence of str, default=("temperature",)
            Specs of calibrators, fitted on the validation split; with none, that split is not needed.
        split : str, default="test"
            The split to measure.
        kind : {"logits", "probs"}, optional
            What the scores are, if their name does not tell.

        Returns
        -------
        Entry

        Raises
        ------
        FileFormatError
            If a file is missing or damaged.
        UsageError
            If a split is not there.
        """
        run = RunFolder(path) if is_run_folder(path) else None
        logits = path if run is None else run.logits()
        with noted_warnings() as noted:
            test = load_predictions(logits, split=split, kind=kind, columns="all")
            validation = load_predictions(logits, split="validation", kind=kind) if methods else None
        name = Path(path).name if run is None else run.label
        more: dict[str, Any] = {"source": str(path), "run": run, "warnings": noted}
        return cls.from_predictions(name, test, validation, methods=methods, **more)


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Collect the texts of calkit's warnings, each once, and give them as ever when the block ends.

    Examples
    --------
    >>> import warnings
    >>> from calkit.errors import CalibrationWarning
    >>> from calkit.report.entries import noted_warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     with noted_warnings() as noted:
    ...         warnings.warn("the temperature is held", CalibrationWarning)
    >>> noted
    ['the temperature is held']
    """
    noted: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CalibrationWarning)
            yield noted
    finally:
        for item in caught:
            if issubclass(item.category, CalibrationWarning) and str(item.message) not in noted:
                noted.append(str(item.message))
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno, source=item.source)


def told_apart(entries: Sequence[Entry]) -> list[str]:
    """Return names for the entries, no two alike: where they would be, the source or a number is added.

    Raises
    ------
    InputError
        If there are no entries.
    """
    if not entries:
        raise InputError("there is nothing to report on: pass at least one file or run folder.")
    names = [entry.name for entry in entries]
    with_source = [
        f"{name} ({entry.source})" if names.count(name) > 1 and entry.source else name
        for name, entry in zip(names, entries, strict=True)
    ]
    return [
        f"{name} #{with_source[: i + 1].count(name)}" if with_source.count(name) > 1 else name
        for i, name in enumerate(with_source)
    ]
