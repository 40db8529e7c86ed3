"""The one lazy array: it behaves as the array it stands for, and holds nothing."""

import tracemalloc

import numpy as np
import pytest

import calkit
from calkit.calibrators import TemperatureScaling
from calkit.lazy import Converted, has_random_access

ROWS = np.arange(60.0).reshape(20, 3)
SLICES = [slice(None), slice(3, 11), slice(None, None, 4), slice(15, 2, -3)]
KEYS = [*SLICES, [4, 0, 4], -1, 5, (slice(2, 6), 1), (7, slice(1, 3)), ROWS[:, 0] > 30]


@pytest.mark.parametrize("random_access", [True, False])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_keys_are_those_of_arrays(key, random_access):
    lazy = Converted(ROWS, lambda rows: rows * 2, ROWS.shape, np.float64, random_access=random_access)
    np.testing.assert_array_equal(lazy[key], (ROWS * 2)[key], strict=True)
    assert (lazy.ndim, len(lazy), lazy.nbytes) == (2, 20, ROWS.nbytes)


def test_random_access_is_that_of_the_source():
    lazy = Converted(ROWS, np.negative, ROWS.shape, np.float64)
    assert has_random_access(lazy)
    assert not has_random_access(Converted(iter(()), np.negative, (0, 2), np.float64))


def test_calibrating_mapped_probabilities_allocates_nothing_before_a_row_is_read(tmp_path):
    # 40 MB of probabilities, as a run leaves them in a file.
    n, k = 50_000, 100
    scores = np.lib.format.open_memmap(tmp_path / "probs.npy", mode="w+", dtype=np.float64, shape=(n, k))
    scores[:] = 0.5 / (k - 1)
    scores[:, 0] = 0.5
    calibrator = TemperatureScaling(grid=[2.0]).fit(np.log(scores[:100]), np.arange(100))
    mapped = np.load(tmp_path / "probs.npy", mmap_mode="r")
    tracemalloc.start()
    after = calibrator.apply(calkit.Predictions(mapped, np.zeros(n, np.int8), kind="probs"), kind="probs")
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allocated < 1_000_000
    assert after.has_random_access
    # p' is p ** (1/2) over its sum, by hand.
    roots = np.sqrt([0.5, 0.5 / 99])
    np.testing.assert_allclose(after.scores[7, :2], roots / (roots[0] + 99 * roots[1]), rtol=1e-12)


def test_probabilities_are_checked_where_they_are_read():
    probs = np.full((10, 2), 0.5)
    probs[6] = [0.9, 0.3]
    logits = calkit.Predictions(probs, np.zeros(10, int), kind="probs").logits()
    assert logits.scores[:6].shape == (6, 2)
    with pytest.raises(calkit.errors.InputError, match=r"row 6 sums to 1\.2"):
        logits.scores[:]
