"""The one lazy array: it behaves as the array it stands for, and holds nothing."""

import tracemalloc

import numpy as np
import pytest

import calkit
from calkit import Predictions, evaluate
from calkit.calibrators import TemperatureScaling
from calkit.lazy import Converted, LazyArray, has_random_access
from calkit.score_rows import ClassAxis

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


class Slices(LazyArray):
    """Notes how much is read at a time."""

    def __init__(self, array):
        super().__init__(array.shape, array.dtype)
        self.array, self.longest, self.reads = array, 0, 0

    def _rows(self, start, stop):
        self.longest, self.reads = max(self.longest, stop - start), self.reads + 1
        return self.array[start:stop].copy()


@pytest.mark.parametrize(
    ("shape", "axis", "at_a_time"),
    [
        # Images of 20 pixels in blocks of 7 rows: an image, or two where a block crosses.
        ((6, 3, 4, 5), 1, 2),
        ((6, 4, 5, 3), -1, 2),
        ((6, 4, 3, 5), 2, 2),
        # One class at a time.
        ((3, 6, 5), 0, 1),
        ((3, 7), 0, 1),
        ((21, 3), 1, 7),
    ],
)
def test_a_class_axis_is_not_read_whole(shape, axis, at_a_time):
    array = np.random.default_rng(0).random(shape)
    expected = np.moveaxis(array, axis, -1).reshape(-1, 3)
    source = Slices(array)
    rows = ClassAxis(source, axis)
    assert (source.reads, rows.shape) == (0, expected.shape)
    for start in range(0, len(expected), 7):
        np.testing.assert_array_equal(rows[start : start + 7], expected[start : start + 7])
    assert source.longest == at_a_time
    order = np.random.default_rng(1).permutation(len(expected))
    np.testing.assert_array_equal(rows[order], expected[order])
    np.testing.assert_array_equal(rows[len(expected) :], expected[:0])


def test_predictions_of_a_lazy_class_axis():
    rng = np.random.default_rng(0)
    array, labels = rng.normal(size=(50, 3, 4, 5)), rng.integers(0, 3, (50, 4, 5))
    source = Slices(array)
    p = Predictions(source, labels, kind="logits", class_axis=1)
    assert source.reads == 0
    flat = np.moveaxis(array, 1, -1).reshape(-1, 3)
    expected = evaluate(Predictions(flat, labels.reshape(-1), kind="logits"), ["ece", "nll"], floors=False)
    found = [evaluate(p.take(slice(None)) if whole else p, ["ece", "nll"], floors=False) for whole in (False, True)]
    for one in found:
        assert one["ece"] == pytest.approx(expected["ece"], rel=1e-12)
        assert one["nll"] == pytest.approx(expected["nll"], rel=1e-12)
