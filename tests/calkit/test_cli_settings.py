"""Settings in pyproject.toml stand in for options, and what cannot be set is refused."""

import json

import pytest

from calkit.datasets import digits_path


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "logits.npz").write_bytes(digits_path().read_bytes())
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")

    def write(text):
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    return write


def metrics(calkit_cli, *args):
    code, out, err = calkit_cli("evaluate", "../logits.npz", "--split", "test", "--format", "json", *args)
    return code, list(json.loads(out)[0]["metrics"]) if out else [], err


def test_lists_and_shared_keys(project, calkit_cli):
    project('[tool.calkit]\nkind = "logits"\nbins = 7\n[tool.calkit.evaluate]\nmetrics = ["ece:n_bins=7", "nll"]\n')
    assert metrics(calkit_cli) == (0, ["ece:n_bins=7", "nll"], "")
    # What is given is preferred.
    assert metrics(calkit_cli, "--metrics", "error") == (0, ["error"], "")


def test_gates(project, calkit_cli):
    project('[tool.calkit.evaluate]\nmetrics = "ece"\nfail-if = ["ece>5%"]\n')
    code, _, err = metrics(calkit_cli)
    assert code == 3
    assert "ece is" in err


def test_other_commands_ignore_what_they_lack(project, calkit_cli):
    project("[tool.calkit]\nbins = 7\n[tool.calkit.plot]\nbins = 5\n")
    assert calkit_cli("formats")[0] == 0
    assert calkit_cli("plot", "../logits.npz", "-o", "a.png")[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.calkit.evaluate]\nmetriks = "ece"\n', "Did you mean 'metrics'?"),
        ("[tool.calkit]\ntrust-pickle = true\n", "'trust-pickle' cannot be set"),
        ('[tool.calkit.evaluate]\noutput = "x"\n', "'output' cannot be set"),
        ("[tool]\ncalkit = 3\n", "must be a table"),
        ("[tool.calkit\n", "cannot read the settings"),
    ],
)
def test_refusals(project, calkit_cli, text, message):
    project(text)
    code, _, err = metrics(calkit_cli)
    assert code == 2
    assert message in err


def test_without_a_project(tmp_path, monkeypatch, calkit_cli):
    monkeypatch.chdir(tmp_path)
    assert calkit_cli("formats")[0] == 0
