"""``calkit show``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calkit.cli.outputs import announce, check_output
from calkit.cli.terminal import print_table
from calkit.errors import UsageError
from calkit.io import available_formats, describe
from calkit.printing import json_text, printable

__all__ = ["command"]


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--count-nan", is_flag=True, help="Count NaN in all arrays, which reads the whole file.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="Default: table.")
@click.option("--file-format", type=click.Choice(available_formats()), help="Format of the file, if nothing tells.")
@click.option("--trust-pickle", is_flag=True, help="Read pickles, which can run any code: only for files of your own.")
@click.option("--sandbox", is_flag=True, help="Read untrusted files in a process with limits of memory and time.")
@click.option(
    "--save-table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the map of a binning or monotone calibrator as a table, .csv or .json.",
)
def command(
    file: str,
    count_nan: bool,
    form: str,
    file_format: str | None,
    trust_pickle: bool,
    sandbox: bool,
    save_table: Path | None,
) -> None:
    """Print the arrays of a file and their roles.

    Of the values, only labels are looked at, unless --count-nan asks for more. Of a calibrator, what was fitted.

    \b
    calkit show logits.npz
    calkit show cal.json
    calkit show isotonic.json --save-table map.csv
    """  # noqa: D301
    if save_table is not None:
        _save_table(file, save_table)
        return
    if is_calibrator(file):
        _show_calibrator(file, form)
        return
    found = describe(file, count_nan=count_nan, file_format=file_format, trust_pickle=trust_pickle, sandbox=sandbox)
    if form == "json":
        click.echo(json_text(found.to_dict()))
        return
    header = ["array", "shape", "type", "taken for", "split", "labels", *(["NaN"] if count_nan else [])]
    rows = []
    for item in found.arrays:
        shape = " × ".join(f"{n:,}" for n in item.shape) or "scalar"
        labels = "{} … {}".format(*item.label_range) if item.label_range else ""
        nan = [f"{item.n_nan:,}" if item.n_nan is not None else "–"] if count_nan else []
        rows.append([item.name, shape, item.dtype, item.role, item.split, labels, *nan])
    size = "" if found.size is None else f", {found.size:,} bytes"
    click.echo(f"{printable(file)}: {found.format}{size}")
    print_table(header, rows)
    for item in found.arrays:
        if item.columns:
            click.echo(f" {item.name}: {item.classes()}")


def is_calibrator(file: str) -> bool:
    """Return whether a file is JSON that begins as those of 'calkit fit' do."""
    try:
        with Path(file).open("rb") as stream:
            return b'"format": "calkit-calibrator"' in stream.read(200)
    except OSError:
        return False


def _save_table(file: str, path: Path) -> None:
    """Write the tables of a calibrator file; refuse a calibrator that has none."""
    if not is_calibrator(file):
        raise UsageError(f"{printable(file)} is not a calibrator; --save-table is for the files of 'calkit fit'.")
    from calkit.calibrators import load_calibrator

    check_output(path, [file])
    calibrator = load_calibrator(file)
    if not hasattr(calibrator, "export_table"):
        raise UsageError(
            f"{calibrator.name} is not a table of probabilities and values; calkit_torch exports parametric maps."
        )
    calibrator.export_table(path)
    announce(f"wrote {path}", path)


def _show_calibrator(file: str, form: str) -> None:
    from calkit.calibrators import load_calibrator

    calibrator = load_calibrator(file)
    found = calibrator.describe()
    classes = [str(name) for name in calibrator.classes_.tolist()]
    about: dict[str, Any] = {
        "calibrator": calibrator.name,
        "title": found.title,
        "parameters": {name: str(value) for name, value in calibrator.get_params(deep=False).items()},
        "fitted": found.fitted,
        "equation": found.equation,
        "classes": classes,
        "pairs": calibrator.fitted_on_pairs_,
        "notes": list(found.notes),
        "fingerprint": calibrator.fingerprint(),
    }
    if form == "json":
        click.echo(json_text(about))
        return
    shown = ", ".join(classes[:10]) + (f", … ({len(classes)})" if len(classes) > 10 else "")
    parameters = ", ".join(f"{name}={value}" for name, value in about["parameters"].items())
    rows = [
        ("calibrator", f"{calibrator.name} ({found.title})"),
        ("parameters", parameters),
        ("fitted", found.text(digits=10)),
        ("map", found.equation),
        ("classes", shown),
        ("takes", "(confidence, correct) pairs" if calibrator.fitted_on_pairs_ else "logits or probabilities"),
        ("fingerprint", calibrator.fingerprint()[:16]),
    ]
    click.echo(f"{printable(file)}: a calibrator")
    print_table(["", ""], [row for row in rows if row[1]])
    for note in found.notes:
        click.echo(printable(note))
