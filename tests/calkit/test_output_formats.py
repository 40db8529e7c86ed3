"""Which format a command writes: what --format says, else the suffix of the output; and tables for LaTeX."""

import os

import pytest

from calkit.cli.latex import latex_table
from calkit.datasets import digits_path


@pytest.mark.parametrize(
    ("command", "suffix", "start"),
    [
        ("evaluate", ".json", "["),
        ("evaluate", ".csv", "file,"),
        ("evaluate", ".md", "| "),
        ("evaluate", ".tex", r"\begin{tabular}"),
        ("evaluate", ".txt", "digits"),
        ("compare", ".JSON", "{"),
        ("compare", ".tex", r"\begin{tabular}"),
        ("test", ".json", "["),
        ("test", ".txt", "digits"),
        ("report", ".json", "{"),
    ],
)
def test_the_suffix_of_an_output_says_its_format(calkit_cli, tmp_path, command, suffix, start):
    source, output = tmp_path / "digits.npz", tmp_path / f"out{suffix}"
    source.write_bytes(digits_path().read_bytes())
    more = {
        "evaluate": ["--split", "test"],
        "compare": ["-m", "temperature"],
        "test": ["--split", "test"],
        "report": [],
    }
    metrics = [] if command == "test" else ["--metrics", "nll"]
    code, _, err = calkit_cli(command, source, *more.get(command, []), *metrics, "-o", output)
    assert (code, err) == (0, "")
    assert output.read_text(encoding="utf-8").replace(f"{tmp_path}{os.sep}", "").startswith(start)


def test_what_is_said_of_the_format_is_preferred_to_the_suffix(calkit_cli, tmp_path):
    output = tmp_path / "out.json"
    assert calkit_cli("evaluate", digits_path(), "--metrics", "nll", "--format", "csv", "-o", output)[0] == 0
    assert output.read_text(encoding="utf-8").startswith("file,")


def test_a_table_for_latex(calkit_cli, tmp_path):
    name = "a_b-1 50%.npz"
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}{name}").write_bytes(digits_path().read_bytes())
    files = sorted(tmp_path.glob("*/*.npz"))
    code, out, err = calkit_cli("evaluate", *files, "--split", "test", "--metrics", "ece,nll", "--format", "latex")
    assert (code, err) == (0, "")
    # The values of the digits that ship with calkit, as README prints them; floors are left out.
    assert out.splitlines() == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"file & samples & ECE \% & NLL \\",
        r"\midrule",
        r"xa\_b-1 50\%.npz & 899 & 12.96 & 0.9443 \\",
        r"ya\_b-1 50\%.npz & 899 & 12.96 & 0.9443 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_signs_in_latex_are_no_hyphens():
    line = latex_table(["|S99|"], [["[x]-1"], ["-0.2 [-0.3, +1], p < .001"]]).splitlines()
    assert line[2:6] == [
        r"\textbar{}S99\textbar{} \\",
        r"\midrule",
        r"{}[x]-1 \\",
        r"$-$0.2 [$-$0.3, +1], p \textless{} .001 \\",
    ]


def test_the_choice_of_a_calibrator_is_a_table(calkit_cli, tmp_path):
    output = tmp_path / "cal.json"
    code, out, err = calkit_cli("fit", digits_path(), "-m", "temperature", "-m", "isotonic", "-o", output)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[:2]] == [["calibrator", "log-loss"], ["*", "temperature"]]
