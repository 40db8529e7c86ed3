"""Names of files are only names: in pictures, tables and messages, whatever they hold."""

import shutil
import xml.etree.ElementTree as ET

import pytest

from calkit.datasets import digits_path, load_digits_logits
from calkit.plotting import ReliabilityDisplay

# No formula between dollars, no element of a page, no escape sequence of a terminal, no formula of a spreadsheet.
HOSTILE = '=$\\frac$<b>&"\x1b[31m\x07_.npz'


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        shutil.copy(digits_path(), tmp_path / HOSTILE)
    except OSError:
        pytest.skip("the file system takes no such names")
    return HOSTILE


@pytest.mark.parametrize(
    "words",
    [
        ["plot", "--split", "test", "-m", "temperature", "-o", "picture.svg"],
        ["plot", "--split", "test", "--title", "$\\frac$ \x07", "--style", "bars", "-o", "picture.svg"],
        ["plot", "--split", "test", "--what", "risk-coverage", "-o", "picture.svg"],
        ["compare", "-m", "temperature", "--metrics", "ece", "--plot", "picture.svg"],
    ],
)
def test_pictures_are_well_formed(words, hostile, calkit_cli, tmp_path):
    code, out, err = calkit_cli(words[0], hostile, *words[1:])
    assert code == 0, err
    assert "\x1b" not in out + err
    shown = "".join(ET.parse(tmp_path / "picture.svg").getroot().itertext())
    # Long names end a line after an underscore; labels of models are texts, not formulas.
    assert "frac$" in shown


@pytest.mark.parametrize("form", ["table", "csv", "json", "md", "latex"])
def test_tables_hold_no_commands(form, hostile, calkit_cli):
    code, out, err = calkit_cli(
        "compare", hostile, "-m", "temperature", "--metrics", "ece", "--baseline", "temperature", "--format", form
    )
    assert code == 0, err
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert form != "md" or "<b>" not in out
    assert form != "csv" or not any(cell.startswith("=") for line in out.splitlines() for cell in line.split(","))


def test_diagrams_of_predicted_and_of_true_classes(calkit_cli, tmp_path):
    test = load_digits_logits("test").replace(class_names=[f"digit {k}" for k in range(10)])
    displays = ReliabilityDisplay.each(test, by="predicted class")
    assert list(displays)[:2] == ["predicted class = digit 0", "predicted class = digit 1"]
    predicted = test.scores.argmax(axis=1)
    assert [int(d.bins.count.sum()) for d in displays.values()] == [int((predicted == k).sum()) for k in range(10)]
    code, _, err = calkit_cli(
        "plot", str(digits_path()), "--split", "test", "--by", "true class", "-o", str(tmp_path / "a.svg")
    )
    assert code == 0, err
