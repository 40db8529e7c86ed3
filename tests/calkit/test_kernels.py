"""The inner loops: NumPy's and numba's agree with each other and with scalar arithmetic."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from calkit.errors import MissingDependencyError, UsageError
from calkit.stats.kernels import KernelPolicy, Workspace, blocked, choose_kernels

numba_installed = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("numba") is None, reason="numba is not installed"
)


def kernels():
    yield pytest.param("numpy", id="numpy")
    yield pytest.param("numba", id="numba", marks=numba_installed)


@pytest.fixture(params=kernels())
def loops(request, monkeypatch):
    monkeypatch.setenv("CALKIT_KERNELS", request.param)
    return choose_kernels(1)


def logits(k, dtype, n=181):
    rng = np.random.default_rng(k)
    z = (4 * rng.standard_normal((n, k))).astype(dtype)
    z[::7, 0] = z[::7, -1] = z.max() + 1  # ties of the largest
    return z, rng.integers(0, k, n)


def scalar_sums(row, label, beta):
    top = max(row)
    first = row.index(top)
    e = [math.exp(beta * (z - top)) if j != first else 0.0 for j, z in enumerate(row)]
    return first == label, row[label] - top, math.fsum(e), math.fsum(x * x for x in e)


def scalar_moments(row, label, beta):
    top = max(row)
    d = [top - z for z in row]
    e = [math.exp(-beta * x) for x in d]
    total = math.fsum(e)
    moments = [math.fsum(w * x**order for w, x in zip(e, d, strict=True)) / total for order in (1, 2, 3, 4)]
    return total - 1, moments, math.fsum(d) / len(d), d[label]


@pytest.mark.parametrize("k", [2, 3, 10, 33, 63, 64, 65, 200])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f8"])
@pytest.mark.parametrize("beta", [1.0, 0.37])
def test_softmax_sums_equal_scalar_arithmetic(loops, k, dtype, beta):
    z, y = logits(k, dtype)
    found = loops.softmax_sums(z, y, beta, np.float64, True, Workspace())
    assert found.finite
    for i, row in enumerate(z.astype(float).tolist()):
        correct, shift, rest, squares = scalar_sums(row, y[i], beta)
        assert found.correct[i] == correct
        assert found.true_shift[i] == shift
        assert found.rest[i] == pytest.approx(rest, rel=1e-13)
        assert found.squares[i] == pytest.approx(squares, rel=1e-13)


@pytest.mark.parametrize("k", [2, 33, 64, 200])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_float32_exponentials_are_good_to_a_millionth(loops, k, dtype):
    z, y = logits(k, dtype)
    exact = blocked.softmax_sums(z, y, 0.7, np.float64, True, Workspace())
    found = loops.softmax_sums(z, y, 0.7, np.float32, True, Workspace())
    np.testing.assert_allclose(found.rest, exact.rest, rtol=3e-6)
    np.testing.assert_allclose(found.squares, exact.squares, rtol=3e-6, atol=1e-12)
    np.testing.assert_array_equal(found.correct, exact.correct)


@pytest.mark.parametrize("k", [2, 10, 33, 63, 64, 200])
@pytest.mark.parametrize("exponent", [0, 3, -70, 900])
def test_moments_equal_scalar_arithmetic(loops, k, exponent):
    z, y = logits(k, np.float64)
    found = loops.nll_moments(np.ldexp(z, exponent), y, 0.37, exponent, np.float64, Workspace())
    for i, row in enumerate(z.tolist()):
        rest, moments, mean, true = scalar_moments(row, y[i], 0.37)
        assert found.rest[i] == pytest.approx(rest, rel=1e-12, abs=1e-14)
        assert found.moments[:, i] == pytest.approx(moments, rel=1e-11, abs=1e-14)
        assert found.mean[i] == pytest.approx(mean, rel=1e-13)
        assert found.true[i] == pytest.approx(true, rel=1e-15)
    two = loops.nll_moments(np.ldexp(z, exponent), y, 0.37, exponent, np.float64, Workspace(), orders=2)
    np.testing.assert_allclose(two.moments, found.moments[:2], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(two.rest, found.rest, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("k", [5, 40, 100])
def test_a_row_does_not_depend_on_its_neighbours(loops, k):
    for dtype in (np.float32, np.float64):
        z, y = logits(k, dtype, n=1500)
        whole = loops.softmax_sums(z, y, 0.9, dtype, True, Workspace())
        for start, stop in ((0, 1), (3, 4), (7, 40), (700, 1500)):
            part = loops.softmax_sums(z[start:stop], y[start:stop], 0.9, dtype, True, Workspace())
            for name in ("correct", "true_shift", "rest", "squares"):
                np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[start:stop])


@pytest.mark.parametrize("k", [5, 40, 100])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_noticed(loops, k, value):
    for dtype in (np.float32, np.float64):
        z, y = logits(k, dtype)
        z[100, k // 2] = value
        with np.errstate(invalid="ignore"):
            assert not loops.softmax_sums(z, y, 1.0, dtype, False, Workspace()).finite


def test_slices_and_fortran_order(loops):
    z, y = logits(70, np.float64)
    expected = loops.softmax_sums(z[::2].copy(), y[::2], 1.0, np.float64, False, Workspace()).rest
    for view in (z[::2], np.asfortranarray(z)[::2]):
        found = loops.softmax_sums(view, y[::2], 1.0, np.float64, False, Workspace()).rest
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_choice(monkeypatch):
    monkeypatch.setenv("CALKIT_KERNELS", "numpy")
    assert choose_kernels(10**12) is blocked
    monkeypatch.setenv("CALKIT_KERNELS", "nunba")
    with pytest.raises(UsageError, match="CALKIT_KERNELS 'nunba'. Did you mean 'numba'"):
        choose_kernels(1)
    monkeypatch.setenv("CALKIT_KERNELS", "numba")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"calkit-calibration\[fast\]"):
        choose_kernels(1)
    monkeypatch.setenv("CALKIT_KERNELS", "")
    assert choose_kernels(10**12) is blocked


@numba_installed
def test_the_policy_of_another_process_decides(monkeypatch):
    monkeypatch.setenv("CALKIT_KERNELS", "numba")
    assert choose_kernels(1, KernelPolicy("", loaded=False)) is blocked
    assert choose_kernels(10**12, KernelPolicy("numpy", loaded=True)) is blocked
    monkeypatch.setenv("CALKIT_KERNELS", "numpy")
    assert choose_kernels(1, KernelPolicy("", loaded=True)) is not blocked


def test_small_jobs_do_not_load_numba():
    code = (
        "import sys, calkit; calkit.ece([0, 1], [[1.0, 2.0], [0.0, 1.0]], from_logits=True); "
        "print('numba' in sys.modules)"
    )
    plain = {name: value for name, value in os.environ.items() if name != "CALKIT_KERNELS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("k", [2, 3, 32, 33, 200])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_of_the_largest_scores(k, dtype):
    scores = np.random.default_rng(k).integers(0, 4, (9_000, k)).astype(dtype)
    assert blocked.largest(scores, Workspace()).tolist() == [row.index(max(row)) for row in scores.tolist()]
