"""How far a command has come is shown on a terminal, and nowhere else."""

import contextlib
import io
import sys

import numpy as np
import pytest

from calkit.cli import progress
from calkit.cli.app import run


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr("calkit.cli.progress._DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    # Several blocks: the first has no rate yet.
    np.savez(tmp_path / "run.npz", logits=np.zeros((800_000, 4), np.float32), labels=np.zeros(800_000, np.int8))
    return str(tmp_path / "run.npz")


def test_rows_rate_and_time_left_on_a_terminal(path, monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    assert run(["evaluate", path, "--metrics", "ece"]) == 0
    text = shown.getvalue()
    assert "run.npz, pass 1" in text
    assert "800,000 of 800,000 rows" in text
    assert "rows/s" in text
    # The time left: there is none when all is read.
    assert "0:00:00" in text


def test_not_for_short_passes(path, monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr("calkit.cli.progress._DELAY", 3600.0)
    assert run(["evaluate", path, "--metrics", "ece"]) == 0
    assert shown.getvalue() == ""


@pytest.mark.parametrize("delay", [0.0, 3600.0])
def test_what_cannot_tell_how_far_it_is_shows_that_it_runs(delay, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("calkit.cli.progress._DELAY", delay)
    monkeypatch.setenv("TERM", "xterm")
    made = []
    appear = progress._Waiting.__init__
    monkeypatch.setattr(progress._Waiting, "__init__", lambda self, text: (appear(self, text), made.append(self))[0])
    with progress.shown("reading [b]logits.csv"):
        assert made[0].appeared.wait(timeout=30 if not delay else 0) == (not delay)
    assert ("reading [b]logits.csv" in terminal.getvalue()) == (not delay)


def test_reading_is_shown_whatever_the_size(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("calkit.cli.options.shown", lambda text: (seen.append(text), contextlib.nullcontext())[1])
    np.savez(tmp_path / "small.npz", logits=np.eye(3), labels=np.arange(3))
    assert run(["convert", str(tmp_path / "small.npz"), str(tmp_path / "small.csv")]) == 0
    assert seen == ["reading small.npz"]


def test_nothing_elsewhere(path, capsys):
    assert run(["evaluate", path, "--metrics", "ece"]) == 0
    assert capsys.readouterr().err == ""


class Recorded:
    """Stands for what waits: notes when it began and ended."""

    events: list[str]

    def __init__(self, text):
        self.text = text
        self.events.append(f"begin {text}")

    def stop(self):
        self.events.append(f"end {self.text}")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["evaluate", "{}", "--metrics", "ece", "--confidence-level", "0.9"], "intervals and floors"),
        (["report", "{}", "--as-is", "--metrics", "nll", "--format", "json"], "the report"),
        (["test", "{}", "--tests", "cox"], "tests"),
        (["plot", "{}", "--style", "corp", "-o", "{}.svg"], "the curves"),
        (["bench-calibrators", "{}", "-m", "temperature", "--sizes", "100"], "trials of calibrators"),
    ],
)
def test_what_follows_a_pass_is_shown_until_something_is_printed(words, text, tmp_path, monkeypatch):
    Recorded.events = []
    np.savez(tmp_path / "small.npz", logits=np.tile(np.eye(3), (99, 1)), labels=np.arange(297) % 2)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("calkit.cli.progress._Waiting", Recorded)
    monkeypatch.setattr("click.echo", lambda *_, **__: Recorded.events.append("print"))
    assert run([word.format(tmp_path / "small.npz") for word in words]) == 0
    own = [event for event in Recorded.events if text in event or event == "print"]
    assert own[0] == f"begin small.npz: {text}"
    assert own[-1] == "print"
    assert own.index("print") > max(i for i, event in enumerate(own) if event.startswith("end"))
    assert sum(event.startswith("begin") for event in own) == sum(event.startswith("end") for event in own)


def test_nothing_is_shown_after_a_pass_of_another_command(tmp_path, monkeypatch):
    Recorded.events = []
    np.savez(tmp_path / "small.npz", logits=np.eye(3), labels=np.arange(3))
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("calkit.cli.progress._Waiting", Recorded)
    assert run(["convert", str(tmp_path / "small.npz"), str(tmp_path / "small.csv")]) == 0
    assert Recorded.events == ["begin reading small.npz", "end reading small.npz"]
