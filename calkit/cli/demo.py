"""``calkit demo``: the main job, on data that ships with calkit."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from calkit.cli.pictures import check_picture, save_picture
from calkit.cli.tables import render

if TYPE_CHECKING:
    from calkit.evaluation import Evaluation

__all__ = ["command"]

_LEGEND = (
    "ECE and AdaECE: mean gap between confidence and accuracy, over bins of equal width and of equal mass; MCE: the "
    "largest gap. NLL and Brier: penalties on the probabilities, the lower the better. |S99|: share of answers that "
    "are at least 99 % sure, and how often those are right."
)

_COMMANDS = (
    "show {file}",
    "evaluate {file} -m temperature -m temperature:objective=ece",
    "plot {file} -m temperature -o reliability.png",
    "fit {file} -m temperature -o cal.json",
    "apply cal.json {file} -o calibrated.npz",
)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("calkit-demo.png"),
    show_default=True,
    help="Reliability diagram to write.",
)
def command(output: Path) -> None:
    """Show the main job on data that ship with calkit.

    An over-confident classifier of handwritten digits is evaluated, recalibrated, and drawn before and after. The
    commands printed at the end do the same with a file of yours.
    """
    from calkit.calibrators import TemperatureScaling
    from calkit.datasets import digits_path, load_digits_logits
    from calkit.evaluation import evaluate
    from calkit.plotting import ReliabilityDisplay, plot_reliability

    check_picture(output)
    test = load_digits_logits("test").replace(meta={"file": "handwritten digits", "split": "test split"})
    calibrator = TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    note = {"spec": "temperature", **calibrator.describe().to_dict()}
    recalibrated = calibrator.apply(test).replace(meta={**test.meta, "calibrator": note})
    before, after = evaluate(test), evaluate(recalibrated)
    shown = {"uncalibrated": test, calibrator.describe().text(): recalibrated}
    displays = {name: ReliabilityDisplay.from_predictions(item, plot=False) for name, item in shown.items()}
    save_picture(plot_reliability(displays, title="handwritten digits, test split"), output)

    click.echo(render([before, after], "table"))
    for text in (_story(before, after, calibrator.temperature_), _LEGEND):
        # No line begins with a % that belongs to the number before it.
        click.echo(
            textwrap.fill(text.replace(" %", "\N{NO-BREAK SPACE}%"), 80).replace("\N{NO-BREAK SPACE}", " ") + "\n"
        )
    click.echo(f"Reliability diagram: {output}\n\nThe same, step by step, with this file or one of yours:")
    program, file = _program(), shlex.quote(_short(digits_path()))
    for line in _COMMANDS:
        click.echo(f"  {program} {line.format(file=file)}")


def _story(before: Evaluation, after: Evaluation, temperature: float) -> str:
    """Return in words what the table shows."""
    return (
        f"The network is right {100 * before['accuracy']:.0f} % of the time, yet {100 * before['s99']:.0f} % of its "
        f"answers are at least 99 % sure. Dividing its logits by T = {temperature:.4g}, fitted on the validation "
        f"split, brings the gap between confidence and accuracy (ECE) from {100 * before['ece']:.1f} % to "
        f"{100 * after['ece']:.1f} %, and no answer changes."
    )


def _program() -> str:
    """Return how calkit is called from here: by its name only where the shell would find it."""
    if shutil.which("calkit"):
        return "calkit"
    if Path(sys.argv[0]).stem == "calkit":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m calkit"


def _short(path: Path) -> str:
    """Return a path as seen from the working folder, if it lies below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
