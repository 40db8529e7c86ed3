"""The GitHub Action: its file is well formed, and its step runs as a runner would run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calkit.datasets import digits_path

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def run_step(tmp_path, **inputs):
    """Run the step 'Evaluate' with the environment of a runner."""
    given = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Evaluate")
    values = {
        variable: given[text.removeprefix("${{ inputs.").removesuffix(" }}")] for variable, text in step["env"].items()
    }
    (tmp_path / "bin").mkdir(exist_ok=True)
    calkit = tmp_path / "bin" / "calkit"
    calkit.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m calkit "$@"\n')
    calkit.chmod(0o755)
    environment = {
        **os.environ,
        **values,
        "PATH": f"{calkit.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    assert step["shell"] == "bash"
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )


def test_every_expression_is_an_input_or_known():
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    # Inputs reach scripts through the environment alone, so that none can run as code.
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    assert ACTION["runs"]["using"] == "composite"
    assert text.count("inputs.artifact") == 2


@pytest.mark.slow
def test_table_files_and_gate(tmp_path):
    (tmp_path / "my logits.npz").write_bytes(digits_path().read_bytes())
    (tmp_path / "logits.npz").write_bytes(digits_path().read_bytes())
    (tmp_path / "other.npz").write_bytes(digits_path().read_bytes())
    # Files and options may stand on several lines.
    several = {"files": "logits.npz\nother.npz\n", "options": "--split\ntest"}
    done = run_step(tmp_path, **several, **{"fail-if": "accuracy<10%\n"})
    assert done.returncode == 0, done.stderr
    assert "| logits.npz" in (tmp_path / "summary").read_text()
    path = (tmp_path / "output").read_text().strip().removeprefix("json=")
    assert [found["n_samples"] for found in json.loads(Path(path).read_text())] == [899, 899]
    assert (tmp_path / "temp" / "calkit" / "reliability.png").stat().st_size > 1000
    done = run_step(tmp_path, files="logits.npz", options="--split test", **{"fail-if": "ece>5%\naccuracy<10%"})
    assert done.returncode == 3
    assert "::error::calkit: failed: ece is" in done.stdout
    assert 'failures="1"' in (tmp_path / "temp" / "calkit" / "junit.xml").read_text()


@pytest.mark.slow
def test_options_that_say_what_a_file_holds_serve_the_diagram_too(tmp_path):
    np.savez(tmp_path / "scores.npz", scores=[[0.2, 0.8], [0.6, 0.4]], labels=[1, 0])
    done = run_step(tmp_path, files="scores.npz", options="--kind probs", metrics="ece")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "temp" / "calkit" / "reliability.png").stat().st_size > 1000
    # Options of the evaluation alone are left out of the diagram.
    np.savez(tmp_path / "probs.npz", probs=[[0.2, 0.8], [0.6, 0.4]], labels=[1, 0])
    done = run_step(tmp_path, files="probs.npz", options="--confidence-level 0.9")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.slow
def test_inputs_are_no_code(tmp_path):
    (tmp_path / "logits.npz").write_bytes(digits_path().read_bytes())
    done = run_step(tmp_path, files="logits.npz", metrics='ece";touch pwned;"', **{"fail-if": "$(touch pwned)"})
    assert done.returncode != 0
    assert not (tmp_path / "pwned").exists()
