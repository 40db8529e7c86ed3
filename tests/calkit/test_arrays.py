"""Arrays of other libraries: the same values as NumPy's, without a copy where memory is shared, block by block else."""

import subprocess
import sys

import numpy as np
import pytest

import calkit
from calkit.arrays import as_row_source, to_numpy
from calkit.errors import InputError
from calkit.lazy import Converted


def example(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((n, k))).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return logits, probs, rng.integers(0, k, n), rng.integers(0, 3, n).astype(float)


def torch_tensor(array):
    return pytest.importorskip("torch").from_numpy(np.array(array))


def jax_array(array):
    # Without its 64-bit mode JAX narrows labels and weights, which are small whole numbers here.
    return pytest.importorskip("jax", reason="JAX is not installed").numpy.asarray(array)


def strict_array(array):
    return pytest.importorskip("array_api_strict", reason="array-api-strict is not installed").asarray(array)


LIBRARIES = {"torch": torch_tensor, "jax": jax_array, "array_api_strict": strict_array}


@pytest.mark.parametrize("library", LIBRARIES)
class TestLibraries:
    def test_everything_is_accepted_everywhere(self, library):
        convert = LIBRARIES[library]
        logits, probs, y, weight = example()
        for options in ({}, {"sample_weight": weight}):
            converted = {name: convert(value) for name, value in options.items()}
            for name in ("ece", "adaece", "mce", "nll", "brier", "accuracy"):
                function = getattr(calkit, name)
                expected = function(y, logits, from_logits=True, **options)
                assert function(convert(y), convert(logits), from_logits=True, **converted) == expected
                assert function(convert(y), convert(probs), **converted) == function(y, probs, **options)
        one_hot = np.eye(4)[y]
        assert calkit.nll(convert(one_hot), convert(probs)) == calkit.nll(one_hot, probs)
        confidence, correct = probs.max(1), probs.argmax(1) == y
        pairs = calkit.Predictions.from_confidence(convert(confidence), convert(correct), sample_weight=convert(weight))
        expected = calkit.Predictions.from_confidence(confidence, correct, sample_weight=weight)
        assert dict(calkit.evaluate(pairs)) == dict(calkit.evaluate(expected))

    def test_memory_is_shared(self, library):
        logits, *_ = example()
        array = LIBRARIES[library](logits)
        source = as_row_source(array)
        assert type(source) is np.ndarray
        assert source.dtype == np.float32
        assert source.__array_interface__["data"][0] == np.from_dlpack(array).__array_interface__["data"][0]
        np.testing.assert_array_equal(source, logits)

    def test_errors_name_the_row(self, library):
        logits, _, y, _ = example()
        logits[123, 1] = np.nan
        with pytest.raises(InputError, match="row 123 holds nan"):
            calkit.ece(y, LIBRARIES[library](logits), from_logits=True)


def test_bfloat16_of_jax():
    jnp = pytest.importorskip("jax", reason="JAX is not installed").numpy
    logits, _, y, _ = example()
    narrow = jnp.asarray(logits, dtype=jnp.bfloat16)
    expected = calkit.nll(y, narrow.astype(jnp.float32), from_logits=True)
    assert calkit.nll(y, narrow, from_logits=True) == pytest.approx(expected, rel=1e-6)


class TestTorch:
    torch = staticmethod(lambda: pytest.importorskip("torch"))

    def test_gradients_and_parameters(self):
        torch = self.torch()
        logits, _, y, _ = example()
        tracked = torch.from_numpy(logits).requires_grad_()
        expected = calkit.ece(y, logits, from_logits=True)
        for tensor in (tracked, torch.nn.Parameter(torch.from_numpy(logits)), tracked * 1):
            assert calkit.ece(torch.from_numpy(y), tensor, from_logits=True) == expected
        assert np.shares_memory(as_row_source(tracked), logits)

    def test_bfloat16_is_widened_block_by_block(self):
        torch = self.torch()
        logits, _, y, _ = example()
        narrow = torch.from_numpy(logits).bfloat16()
        source = as_row_source(narrow)
        assert isinstance(source, Converted)
        assert (source.dtype, source.itemsize, source.shape, len(source)) == (np.float32, 2, (300, 4), 300)
        # Every bfloat16 number is a float32 number.
        np.testing.assert_array_equal(source[10:20], narrow[10:20].float().numpy())
        np.testing.assert_array_equal(np.asarray(source), narrow.float().numpy())
        assert calkit.nll(y, narrow, from_logits=True) == calkit.nll(y, narrow.float(), from_logits=True)
        y16 = torch.from_numpy(y).to(torch.bfloat16)
        assert calkit.accuracy(y16, narrow, from_logits=True) == calkit.accuracy(y, narrow, from_logits=True)

    def test_rounded_probabilities_may_sum_to_nearly_one(self):
        torch = self.torch()
        # 1/3 in bfloat16 is 0.333984375; three of them exceed 1 by 0.00195, twice what is allowed in float32.
        third = torch.full((5, 3), 1 / 3)
        assert float(third.bfloat16().float().sum(1)[0]) == pytest.approx(1.001953125)
        assert calkit.accuracy([0] * 5, third.bfloat16()) == 1
        with pytest.raises(InputError, match="must sum to 1"):
            calkit.accuracy([0] * 5, third.bfloat16().float())

    def test_sparse_tensors_are_refused(self):
        torch = self.torch()
        with pytest.raises(InputError, match="dense, but its layout is torch.sparse_coo"):
            calkit.accuracy([0, 1], torch.eye(2).to_sparse())

    def test_half_precision_and_integers(self):
        torch = self.torch()
        for dtype in (torch.float16, torch.float64, torch.int32, torch.bool):
            tensor = torch.tensor([[0, 1], [1, 0], [0, 1]]).to(dtype)
            assert as_row_source(tensor).dtype == tensor.numpy().dtype
            assert calkit.accuracy([1, 0, 0], tensor, from_logits=True) == pytest.approx(2 / 3)

    @pytest.mark.gpu
    def test_on_a_gpu(self):
        torch = self.torch()
        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
        logits, _, y, weight = example(100_000, 20)
        tensors = [torch.from_numpy(array).cuda() for array in (logits, y, weight)]
        predictions = calkit.Predictions(tensors[0], tensors[1], kind="logits", sample_weight=tensors[2])
        assert isinstance(predictions.scores, Converted)
        expected = calkit.evaluate(calkit.Predictions(logits, y, kind="logits", sample_weight=weight))
        assert dict(calkit.evaluate(predictions)) == dict(expected)
        assert dict(calkit.evaluate(predictions, n_jobs=2)) == dict(expected)


def device_array(array):
    """An array as CuPy has it: on a device, sliced there, copied here only by ``get``."""

    class ndarray:  # noqa: N801 - CuPy's name
        copied: list = []  # noqa: RUF012 - shared on purpose: all slices report to the same list

        def __init__(self, values):
            self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, values.ndim

        def __getitem__(self, rows):
            return ndarray(self.values[rows])

        def __dlpack__(self, **_):
            raise BufferError("this memory is on the device")

        def __dlpack_device__(self):
            return (2, 0)

        def __array__(self, *_, **__):
            raise TypeError("implicit conversion to a NumPy array is not allowed; use get()")

        def get(self):
            if len(self.values):
                self.copied.append(len(self.values))
            return self.values

    ndarray.__module__ = "cupy._core.core"
    return ndarray(array)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_arrays_on_a_device_come_over_block_by_block(n_jobs):
    logits, _, y, _ = example(5000)
    device = device_array(logits)
    predictions = calkit.Predictions(device, device_array(y), kind="logits")
    # Labels come whole; of the scores nothing has come yet.
    assert device.copied == []
    statistics = [calkit.metrics.get_metric(name).statistic for name in ("ece", "nll", "accuracy")]
    found = calkit.stats.summarize(predictions, statistics, block_rows=300, n_jobs=n_jobs)
    assert sorted(device.copied) == [200] + [300] * 16
    expected = calkit.stats.summarize(calkit.Predictions(logits, y, kind="logits"), statistics, block_rows=300)
    assert found[statistics[1]] == expected[statistics[1]]


def test_numpy_and_files_stay_what_they_are(tmp_path):
    array = np.eye(3)
    assert as_row_source(array) is array
    assert to_numpy(array) is array
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert as_row_source(mapped) is mapped
    words = ["ant", "bee"]
    assert to_numpy(words) is words
    assert to_numpy(None) is None


def test_tables_become_arrays():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"a": [0.9, 0.2], "b": [0.1, 0.8]}, index=[7, 3])
    assert type(as_row_source(table)) is np.ndarray
    assert type(as_row_source(table["a"])) is np.ndarray
    assert calkit.accuracy(pandas.Series([0, 1]), table) == 1


def test_none_of_these_libraries_is_imported():
    code = (
        "import sys, numpy, calkit\n"
        "calkit.evaluate(calkit.Predictions(numpy.eye(3), [0, 1, 2], kind='probs'), executor='threads:2')\n"
        "import calkit.streaming, calkit.shards, calkit.executors\n"
        "found = {'torch', 'jax', 'cupy', 'dask', 'distributed', 'array_api_strict'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
