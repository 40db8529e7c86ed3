"""Fixtures and settings that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "calkit", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calkit")

# Workers side by side would otherwise start as many threads each as there are cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

# Without it a small job takes compiled kernels if an earlier test has loaded numba, and a process that a test starts
# does not: float32 figures of the two differ in their last bits. Tests of kernels set it themselves.
os.environ.setdefault("CALKIT_KERNELS", "numpy")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real model outputs beside the checkout: tests that need them skip without, but must run under CI."""
    if not DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{DATA} is missing, and under CI the tests on real data must run")
        pytest.skip(f"real model outputs are not at {DATA}")
    return DATA


@pytest.fixture
def no_pyplot_windows():
    """Draw with pyplot without a display, and leave no figure open."""
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}):
        from matplotlib import pyplot as plt

        plt.switch_backend("agg")
        yield plt
        plt.close("all")


@pytest.fixture
def calkit_cli(capsys):
    """Run the command line in this process; return (exit code, stdout, stderr)."""

    def call(*args):
        from calkit.cli.app import run

        code = run([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return call
