"""``calkit demo``: the main job, on data that ships with calkit."""

from __future__ import annotations

from pathlib import Path

import click

from calkit.atomic import atomic_write
from calkit.cli.tables import render

__all__ = ["command"]


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
    """Evaluate an over-confident classifier of handwritten digits, mend it, and draw both.

    The logits ship with calkit; the commands printed at the end do the same with a file of yours.
    """
    from calkit.calibrators import TemperatureScaling
    from calkit.datasets import digits_path, load_digits_logits
    from calkit.evaluation import evaluate
    from calkit.plotting import ReliabilityDisplay, plot_reliability

    test = load_digits_logits("test").replace(meta={"file": "digits", "split": "test"})
    calibrator = TemperatureScaling().fit_predictions(load_digits_logits("validation"))
    note = {"spec": "temperature", "fitted": calibrator.fitted_values()}
    mended = calibrator.apply(test).replace(meta={**test.meta, "calibrator": note})
    before, after = evaluate(test), evaluate(mended)
    shown = {"as it is": test, f"T = {calibrator.temperature_:.3f}": mended}
    displays = {name: ReliabilityDisplay.from_predictions(item, plot=False) for name, item in shown.items()}
    figure = plot_reliability(displays, title="handwritten digits, test split")
    with atomic_write(output) as temporary:
        figure.savefig(temporary, dpi=150)
    click.echo(render([before, after], "table"))
    click.echo(
        f"The network is right {before['accuracy']:.0%} of the time, yet {before['s99']:.0%} of its answers are at "
        f"least 99% sure.\nDividing its logits by T = {calibrator.temperature_:.3f}, fitted on the validation split, "
        f"brings the calibration\nerror (ECE) from {before['ece']:.1%} to {after['ece']:.1%}, and no answer changes.\n"
    )
    click.echo(f"Reliability diagram: {output}\n\nThe same, step by step, with this file or one of yours:")
    path = digits_path()
    for line in (
        f"calkit show {path}",
        f"calkit evaluate {path} -m temperature -m temperature:objective=ece",
        f"calkit plot {path} -m temperature -o reliability.png",
        f"calkit fit {path} -m temperature -o cal.json",
        f"calkit apply cal.json {path} -o calibrated.npz",
    ):
        click.echo(f"  {line}")
