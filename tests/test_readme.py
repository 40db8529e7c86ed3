"""The README and the first pages of the docs are true: their commands and their Python run as printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from calkit.cli.app import run
from calkit.datasets import digits_path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# That of drift is run where streams are tested.
EXAMPLES = sorted({path.name for path in (ROOT / "examples").glob("*.py")} - {"drift_over_days.py"})
STARTED = (ROOT / "docs" / "getting_started.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def environment():
    """The environment with this interpreter's scripts first, as after activating it."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "agg"}


def shell(command, folder):
    done = subprocess.run(command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_two_commands():
    install, test = blocks(README, "sh")[:2]
    assert install.strip().endswith(".venv/bin/calkit demo")
    assert "python -m pytest" in test
    # The test command is the one that runs this; what it installs and calls is checked, not run again.
    assert ".[test]" in test
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci" / "run").read_text()


def calkit_command(line):
    """Run a line of a page in this process, which saves the start of another; return its exit code."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "calkit"
    return run(arguments)


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("logits.npz").write_bytes(digits_path().read_bytes())
    for line in blocks(README, "sh")[2].splitlines():
        assert calkit_command(line) == 0, line
    written = {p.name for p in tmp_path.iterdir()}
    assert {"reliability.png", "cal.json", "calibrated.npz"} <= written


def test_python_and_what_its_comments_promise(tmp_path, monkeypatch, no_pyplot_windows):
    code, swap = blocks(README, "python")
    promised = {
        "calkit.ece(test.y_true, test.scores, from_logits=True)": 0.1296,
        "calibrator.temperature_ ": 2.515,
        "calkit.ece(test.y_true, probs)": 0.0272,
    }
    for expression, value in promised.items():
        line = next(line for line in code.splitlines() if line.startswith(expression))
        assert line.rstrip().endswith(f"{value}")
        code += f"\nassert abs({expression} - {value}) < 6 * 10 ** -(len(str({value})) - 1), {expression!r}\n"
    monkeypatch.chdir(tmp_path)
    exec(code + swap, {})
    assert (tmp_path / "reliability.png").stat().st_size > 10_000


def test_getting_started(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # In the order of the page, but for the first command, which installs.
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", STARTED, re.S)[1:]:
        if language == "python":
            exec(code, {})
        for line in code.splitlines() if language == "sh" else ():
            assert calkit_command(line) == 0, line
            gate = line
    capsys.readouterr()
    assert calkit_command(gate.replace("0.05", "0.01")) == 3
    assert capsys.readouterr().err.startswith("calkit: failed: ece is ")


def test_links_lead_somewhere():
    # The gallery is made when the documentation is built, which refuses a missing page or picture.
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            made = target == "gallery.md" or "_static/gallery/" in target
            assert made or (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES)
def test_examples_run(script, tmp_path):
    target = "out.npz" if script == "make_digits_logits.py" else ""
    shell(f"{sys.executable} {ROOT / 'examples' / script} {target}", tmp_path)
    if target:
        import numpy as np

        # The shipped file is what its script makes (training is deterministic up to the libraries' versions).
        made, shipped = np.load(tmp_path / target), np.load(digits_path())
        assert sorted(made) == sorted(shipped)
        np.testing.assert_array_equal(made["test_labels"], shipped["test_labels"])
        errors = [(a["test_logits"].argmax(1) != a["test_labels"]).mean() for a in (made, shipped)]
        assert errors[0] == pytest.approx(errors[1], abs=0.05)


def test_files_that_the_pages_name_exist():
    """Paths of modules in the design, the changes and the README; those of a package may leave its name out."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    places = [ROOT, ROOT / "calkit", ROOT / "calkit_torch"]
    missing = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"[\w.]+(?:/[\w.]+)+\.py\b", page.read_text(encoding="utf-8"))
        if not any((place / path).exists() for place in [*places, page.parent])
    }
    assert not missing


def test_names_that_the_design_uses_exist():
    """Words of code in the pages for developers stand in the packages, their tests or what configures them."""
    files = [path for part in ("calkit", "calkit_torch", "tests", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    known = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + " ".join(map(str, files))
    known += "".join(path.read_text(encoding="utf-8", errors="replace") for path in files if path != Path(__file__))
    known = set(re.findall(r"\w+", known)) | {"Display", *["ENH", "FIX", "DOC", "TST", "MNT", "PERF", "API"]}
    for name in ("design.md", "contributing.md"):
        page = (ROOT / "docs" / "development" / name).read_text(encoding="utf-8")
        said = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)
        assert not {word for text in said for word in re.findall(r"[A-Za-z_]\w*", text)} - known
