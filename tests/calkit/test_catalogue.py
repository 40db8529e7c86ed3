"""One declaration makes a metric known everywhere: specs, functions, command line, documentation, entry points."""

import inspect
import json
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

import calkit
from calkit.calibrators import get_calibrator
from calkit.errors import NotFoundError, UsageError
from calkit.metrics import METRICS, available_metrics, get_metric
from calkit.metrics.catalogue import about, markdown
from calkit.metrics.shared import SHARED_DEFAULTS

PLUGIN = '''
"""A metric of another package."""
from typing import Any, Unpack
from calkit.metrics import Recipe, SharedArguments, metric
from calkit.stats import RowMean

@metric("Mean gap", aliases=("overconfidence",), formula="confidence - 1", bounds=(-1.0, 0.0), reference="nobody",
        trust="never")
def doubt(y_true: Any, y_proba: Any, *, scale: float = 1.0, **shared: Unpack[SharedArguments]) -> Recipe:
    """Minus the mean doubt.

    Parameters
    ----------
    scale : float, default=1.0
        A factor.

    Returns
    -------
    float
        In [-1, 0].
    """
    return Recipe(RowMean("confidence"), lambda total: scale * (total.mean - 1))
'''


@pytest.fixture
def plugin(tmp_path):
    """Return an environment in which a package adds a metric by an entry point."""
    (tmp_path / "doubtful.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "doubtful-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: doubtful\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[calkit.metrics]\ndoubt = doubtful\n", encoding="utf-8")
    return tmp_path


def run(plugin, code):
    code = f"import sys; sys.path.insert(0, {str(plugin)!r})\n" + textwrap.dedent(code)
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_metric_of_another_package_is_found_everywhere(plugin):
    out = run(
        plugin,
        """
        import numpy as np, calkit
        from calkit.metrics import available_metrics
        from calkit.metrics.catalogue import markdown
        from calkit.testing import check_metric
        p = calkit.Predictions([[.8, .2], [.4, .6]], [0, 1], kind="probs")
        print(round(calkit.evaluate(p, ["Doubt:scale=2"])["doubt:scale=2.0"], 12))
        print("doubt" in available_metrics(), "`doubt` (overconfidence)" in markdown())
        from doubtful import doubt
        print(round(doubt([0, 1], [[.8, .2], [.4, .6]], scale=2, sample_weight=[1, 3]), 12))
        check_metric("overconfidence")
        """,
    )
    # By hand: 2 (0.7 - 1); weighted 2 ((0.8 + 3 · 0.6) / 4 - 1).
    assert out.split() == ["-0.6", "True", "True", "-0.7"]


def test_the_command_line_lists_a_metric_of_another_package(plugin):
    out = run(plugin, "from calkit.cli import main; main(['metrics', '--format', 'json'])")
    row = next(row for row in json.loads(out) if row["name"] == "doubt")
    assert row["parameters"] == "scale=1"
    assert row["summary"] == "Minus the mean doubt."
    assert row["range"] == "-1 to 0"


def test_the_table_of_the_user_guide_has_every_metric(tmp_path):
    from pathlib import Path

    docs = Path(__file__).parents[2] / "docs"
    sys.path.insert(0, str(docs / "_extensions"))
    try:
        import catalogue
    finally:
        sys.path.pop(0)
    (tmp_path / "user_guide").mkdir()
    catalogue.write_table(SimpleNamespace(srcdir=tmp_path))
    table = (tmp_path / "user_guide" / "metrics_table.inc").read_text(encoding="utf-8")
    assert table == markdown()
    assert all(f"| `{name}`" in table for name in available_metrics())
    assert "```{include} metrics_table.inc" in (docs / "user_guide" / "metrics.md").read_text(encoding="utf-8")
    assert '"catalogue"' in (docs / "conf.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", available_metrics())
def test_the_catalogue_is_complete(name):
    row = about(METRICS[name])
    assert all(row[key] for key in ("summary", "formula", "range", "cost", "trust", "targets"))
    assert row["summary"].endswith(".")


def functions():
    names = [name for name in available_metrics() if hasattr(calkit, name) or hasattr(calkit.metrics, name)]
    return [getattr(calkit.metrics, name) for name in names]


@pytest.mark.parametrize("function", functions(), ids=lambda function: function.__name__)
def test_signatures_and_docstrings_have_the_shared_arguments_once(function):
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:2] == ["y_true", "y_proba"]
    assert list(parameters)[-len(SHARED_DEFAULTS) :] == list(SHARED_DEFAULTS)
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    doc = inspect.getdoc(function)
    for name in parameters:
        assert doc.count(f"\n{name} : ") == 1, name
    assert doc.count("Parameters\n---") == doc.count("Returns\n---") == doc.count("Raises\n---") == 1


def test_defaults_and_specs_come_from_the_signature():
    for name in available_metrics():
        own = METRICS[name].defaults
        assert get_metric(name).spec == name
        assert get_metric(f"{name}:{','.join(f'{k}={v}' for k, v in own.items())}" if own else name).spec == name
    assert get_metric("ece:25").spec == "ece:n_bins=25"
    with pytest.raises(UsageError, match=r"Parameters: n_bins=15, binning='uniform', .*target=None"):
        get_metric("ece:bins=3")


def test_values_are_found_by_aliases_defaults_and_in_capitals():
    p = calkit.Predictions([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], [0, 1, 0], kind="probs")
    found = calkit.evaluate(p, ["ece:n_bins=15", "sce", "log_loss"])
    assert list(found) == ["ece", "classwise_ece", "nll"]
    assert found["ece:n_bins=15"] == found["ECE"] == found["ece"]
    assert found["sce"] == found["Static_Calibration_Error"] == found["classwise_ece"]
    assert found["log_loss"] == found["nll"] == pytest.approx(-np.mean(np.log([0.8, 0.6, 0.3])))
    assert "ece:n_bins=10" not in found
    with pytest.raises(NotFoundError):
        found["ece:n_bins=10"]


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="sampleweight"):
        calkit.ece([0, 1], [[0.8, 0.2], [0.4, 0.6]], sampleweight=[1, 1])


@pytest.mark.parametrize(
    "ask",
    [
        lambda: get_metric("ece@5"),
        lambda: get_calibrator("temperature@5"),
        lambda: calkit.evaluate([0, 1], [[0.8, 0.2], [0.4, 0.6]], ["ece"], target="positive:class=1@2"),
    ],
)
def test_nothing_goes_after_the_at_sign(ask):
    with pytest.raises(UsageError, match="takes nothing after '@'"):
        ask()
