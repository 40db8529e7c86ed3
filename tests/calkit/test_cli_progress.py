"""How far a command has come is shown on a terminal, and nowhere else."""

import io
import sys

import numpy as np
import pytest

from calkit.cli.app import run


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr("calkit.cli.progress._LONG", 2_000_000)
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


def test_not_for_short_files(path, monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr("calkit.cli.progress._LONG", 4_000_000)
    assert run(["evaluate", path, "--metrics", "ece"]) == 0
    assert shown.getvalue() == ""


def test_nothing_elsewhere(path, capsys):
    assert run(["evaluate", path, "--metrics", "ece"]) == 0
    assert capsys.readouterr().err == ""
