"""``import calkit`` is free of heavy libraries, and its names are all there."""

import json
import subprocess
import sys

import pytest

import calkit

HEAVY = ["torch", "sklearn", "scipy", "matplotlib", "dask", "pandas", "pyarrow", "numba", "rich", "click"]


def loaded_after(code):
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import calkit", []),
        ("import calkit; calkit.ece([0, 1], [[0.6, 0.4], [0.1, 0.9]])", []),
        ("import calkit; calkit.evaluate(calkit.datasets.load_digits_logits())", []),
        ("import calkit; calkit.TemperatureScaling", ["sklearn", "scipy"]),
        ("import calkit; calkit.ReliabilityDisplay", []),
        ("import calkit.cli", ["click"]),
        ("import calkit.cli.app as app; app.run(['--help'])", ["click"]),
        (
            "import calkit.cli.app as app, calkit.datasets as sets; app.run(['evaluate', str(sets.digits_path())])",
            ["click", "rich"],
        ),
    ],
)
def test_heavy_libraries_load_only_when_used(code, allowed):
    loaded = loaded_after(code)
    found = {name for name in HEAVY if name in loaded} - set(allowed)
    # scikit-learn brings pandas and pyarrow along where they are installed.
    assert found - ({"pandas", "pyarrow"} if "sklearn" in allowed else set()) == set()
    assert "matplotlib.pyplot" not in loaded


def test_public_names():
    for name in calkit.__all__:
        assert getattr(calkit, name) is not None
    assert dir(calkit) == sorted(calkit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'eec'"):
        calkit.eec  # noqa: B018
