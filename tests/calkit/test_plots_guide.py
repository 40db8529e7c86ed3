"""The guide to plots is true: its Python and its commands run, and its pictures are there."""

import re
import shlex
from pathlib import Path

from calkit.cli.app import run
from calkit.plotting import available_plots

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "user_guide" / "plots.md").read_text(encoding="utf-8")


def test_python_and_commands(tmp_path, monkeypatch, no_pyplot_windows):
    monkeypatch.chdir(tmp_path)
    names = {}
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.S):
        if language == "python":
            exec(code, names)
        for line in code.splitlines() if language == "sh" else ():
            assert run(shlex.split(line)[1:]) == 0, line
    assert {"overlay.png", "side-by-side.png", "paper.pdf", "risk.png", "s99.png"} <= {p.name for p in Path().iterdir()}


def test_every_plot_is_shown():
    pictures = {Path(target).stem for target in re.findall(r"\]\((.*?\.png)\)", PAGE)}
    assert set(available_plots()) <= pictures
