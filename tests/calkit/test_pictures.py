"""Pictures compared with references, coarsely: without texts, on Axes of fixed places, in squares of pixels.

So neither fonts nor the way edges are smoothed matter. After a wanted change: CALKIT_NEW_PICTURES=1 pytest this file,
and look at what was written.
"""

import os
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from calkit.datasets import load_digits_logits
from calkit.plotting import ConfidenceDisplay, FocalMinimiserDisplay, ReliabilityDisplay, RiskCoverageDisplay

REFERENCES = Path(__file__).parents[1] / "golden" / "pictures"
SCRIPTS = sorted((Path(__file__).parents[2] / "docs" / "gallery").glob("*.py"))


def reliability(style):
    def draw(figure):
        above, below = figure.subplots(2, 1, height_ratios=(3, 1))
        display = ReliabilityDisplay.from_predictions(load_digits_logits("test"), style=style, plot=False)
        return display.plot(above, share_ax=below)

    return draw


def of_predictions(kind):
    return lambda figure: kind.from_predictions(load_digits_logits("test"), ax=figure.subplots())


DRAWN = {
    "reliability-line": reliability("line"),
    "reliability-corp": reliability("corp"),
    "reliability-bars": reliability("bars"),
    "confidence": of_predictions(ConfidenceDisplay),
    "risk-coverage": of_predictions(RiskCoverageDisplay),
    "focal-minimiser": lambda figure: FocalMinimiserDisplay.from_gamma(ax=figure.subplots()),
}


def squares(draw):
    """Mean colours of 40 x 40 squares of a picture, 0 to 1; shape (40, 40, 3)."""
    figure = Figure(figsize=(4, 4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    for ax in figure.axes:
        if ax.get_legend():
            ax.get_legend().remove()
    for text in figure.findobj(Text):
        text.set_visible(False)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3] / 255
    return pixels.reshape(40, 10, 40, 10, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("name", DRAWN)
def test_picture_is_as_it_was(name):
    found, path = squares(DRAWN[name]), REFERENCES / f"{name}.npy"
    if os.environ.get("CALKIT_NEW_PICTURES"):
        np.save(path, (found * 255).round().astype(np.uint8))
    difference = np.abs(found - np.load(path) / 255)
    # A line that moves by a pixel changes a square by up to a tenth; a curve that is missing changes dozens by more.
    assert difference.mean() < 0.004
    assert (difference.max(axis=2) > 0.15).sum() < 4


def test_the_comparison_sees_a_missing_curve():
    reference = np.load(REFERENCES / "reliability-line.npy") / 255

    def without(figure):
        reliability("line")(figure).line_.remove()

    difference = np.abs(squares(without) - reference)
    assert (difference.max(axis=2) > 0.15).sum() >= 4


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_of_the_gallery(path, no_pyplot_windows):
    figures = runpy.run_path(str(path))["figures"]
    assert len(figures) >= 2
    for figure in figures.values():
        figure.draw_without_rendering()


def test_pictures_of_the_guide_come_from_the_gallery():
    page = (Path(__file__).parents[2] / "docs" / "user_guide" / "plots.md").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    for name in re.findall(r"gallery/([\w-]+)\.png", page):
        # A name may be put together: figures[f"reliability-corp-{band}"].
        assert f'"{name}"' in scripts or f'"{name.rpartition("-")[0]}-{{' in scripts or f'("{name}",' in scripts
