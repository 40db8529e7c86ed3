"""Parametric fits of files and of many rows: nothing is kept but blocks, and shards, threads and Dask add the same."""

import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from calkit import Predictions, Shards, save_predictions
from calkit.calibrators import CALIBRATORS, get_calibrator
from calkit.calibrators.parametric.base import Parametric
from calkit.errors import CalibrationWarning, InputError
from calkit.executors import use_executor
from tests.parametric_oracles import data

SPECS = ["svs", "sms", "vector", "adaptive-temperature", "ets", "focal-map"]


def mapped(tmp_path, n, k):
    """Logits in a memory map, made block by block."""
    rng = np.random.default_rng(0)
    scores = np.lib.format.open_memmap(tmp_path / f"{n}.npy", mode="w+", dtype=np.float32, shape=(n, k))
    y = rng.integers(k, size=n)
    for start in range(0, n, 1000):
        rows = slice(start, start + 1000)
        block = rng.normal(size=(len(y[rows]), k)).astype(np.float32)
        block[np.arange(len(block)), y[rows]] += 2
        scores[rows] = block
    scores.flush()
    return Predictions(np.load(tmp_path / f"{n}.npy", mmap_mode="r"), y, kind="logits")


@pytest.mark.parametrize("spec", ["svs", "adaptive-temperature"])
def test_a_fit_out_of_core_keeps_nothing_beyond_blocks(tmp_path, spec):
    peaks = []
    for n in (2500, 7500):
        predictions = mapped(tmp_path, n, 1000)
        with use_executor("serial"):
            tracemalloc.start()
            get_calibrator(spec).fit_predictions(predictions)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    # Three times the rows take little more than their labels: 8 bytes each, a few times over.
    assert peaks[1] < peaks[0] + 1_000_000
    assert peaks[1] < 0.7 * 7500 * 1000 * 4


@pytest.mark.parametrize("spec", SPECS)
def test_threads_and_a_memory_map_give_the_fit_of_one_thread_in_memory(tmp_path, spec):
    predictions = mapped(tmp_path, 4000, 12)
    whole = Predictions(np.array(predictions.scores), predictions.y_true, kind="logits")
    base = get_calibrator(spec).fit_predictions(whole)
    with use_executor("threads:3"):
        threaded = get_calibrator(spec).fit_predictions(whole)
    streamed = get_calibrator(spec).fit_predictions(predictions)
    for other in (threaded, streamed):
        assert_allclose(other.predict_proba(whole.scores), base.predict_proba(whole.scores), atol=1e-6)
        assert_allclose(other.objective_, base.objective_, rtol=0, atol=1e-9)


def test_small_problems_do_not_depend_on_how_rows_are_split(tmp_path):
    z, y = data(n=900)
    whole = Predictions(z, y, kind="logits")
    for part in range(3):
        save_predictions(whole.take(slice(300 * part, 300 * part + 300)), tmp_path / f"part-{part}.npz")
    base = get_calibrator("sms").fit_predictions(whole)
    sharded = get_calibrator("sms").fit_predictions(Shards(f"{tmp_path}/part-*.npz"))
    assert_allclose(sharded.matrix_, base.matrix_, rtol=0, atol=1e-9)
    assert_allclose(sharded.objective_, base.objective_, rtol=0, atol=1e-12)


def test_what_is_sent_to_workers_holds_nothing_that_was_kept():
    from calkit.calibrators.parametric.features import Kept
    from calkit.calibrators.parametric.maps import PerClassMap
    from calkit.calibrators.parametric.objective import Model, Objective

    z, y = data(n=2000, k=70)
    mapping = PerClassMap(70)
    model = Model(mapping, kept=Kept(active=True))
    objective = Objective(Predictions(z, y, kind="logits"), model, np.zeros(140), mapping.identity())
    objective.slope(mapping.identity(), np.float32)
    assert model.kept.blocks
    assert model.kept.probabilities
    sent = pickle.dumps(model)
    assert len(sent) < 2000
    assert not pickle.loads(sent).kept.active


def test_dask_adds_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    z, y = data(n=600)
    whole = Predictions(z, y, kind="logits")
    for part in range(2):
        save_predictions(whole.take(slice(part, None, 2)), tmp_path / f"part-{part}.npz")
    with distributed.Client(processes=False, dashboard_address=None), use_executor("dask"):
        found = get_calibrator("svs").fit_predictions(Shards(f"{tmp_path}/part-*.npz"))
    assert_allclose(found.weights_, get_calibrator("svs").fit(z, y).weights_, atol=1e-9)


@pytest.mark.data
def test_a_weaker_penalty_off_the_diagonal_gains_five_points_on_the_papers_network(data_folder):
    """Test log-losses of an independent prototype: with the published penalty, and that of cross-validation."""
    file = np.load(data_folder / "focal-calibration-logits" / "cifar100-resnet50-brier.npz")
    y = file["test_labels"].astype(int)
    for off_diagonal, expected in ((1, 0.9881), (0.003, 0.9378)):
        calibrator = get_calibrator(f"sms:off_diagonal={off_diagonal}")
        calibrator.fit(file["val_logits"], file["val_labels"].astype(int))
        logs = calibrator.predict_log_proba(file["test_logits"].astype(np.float64))
        assert_allclose(-logs[np.arange(len(y)), y].mean(), expected, atol=1e-4)


@pytest.mark.data
def test_dirichlet_with_and_without_the_pinned_row_on_the_papers_networks(data_folder):
    """0.184387 is dirichletcal's objective on one of the networks, 0.163370 that without its pinned row."""
    found = []
    for name in ("cifar10-densenet121-brier", "cifar10-resnet50-brier"):
        file = np.load(data_folder / "focal-calibration-logits" / f"{name}.npz")
        z, y = file["val_logits"], file["val_labels"].astype(int)
        found.append(
            [
                get_calibrator(f"dirichlet{convention}").fit(z, y).objective_
                for convention in (":convention=dirichletcal", "")
            ]
        )
    assert any(np.allclose(pair, (0.184387, 0.163370), rtol=0, atol=1e-6) for pair in found)


def test_events_that_do_not_exclude_each_other_are_refused():
    rng = np.random.default_rng(0)
    labels = (rng.random((50, 4)) < 0.4).astype(int)
    with pytest.raises(InputError, match="multi-label scores are events of their own"):
        get_calibrator("svs").fit_predictions(
            Predictions(rng.normal(size=(50, 4)), labels, kind="logits", multilabel=True)
        )


def test_rows_of_four_kinds_do_not_determine_an_adaptive_temperature():
    """Of so few distinct rows the inverse temperatures run off; the data of scikit-learn's check of sample weights."""
    logits = np.repeat([[1.0, 3.0], [2.0, 1.0], [3.0, 3.0], [4.0, 1.0]], 4, axis=0)
    labels = np.repeat([0, 1, 0, 1], 4)
    with pytest.warns(CalibrationWarning, match="a ridge of"):
        found = get_calibrator("adaptive-temperature").fit(logits, labels)
    assert found.converged_
    assert np.abs(found.coef_).max() < 100
    assert np.isfinite(found.predict_proba(logits)).all()


PARAMETRIC = [name for name in CALIBRATORS if issubclass(CALIBRATORS[name], Parametric)]


@pytest.mark.parametrize("scale", [0, 1, 100])
@pytest.mark.parametrize("name", PARAMETRIC)
@pytest.mark.filterwarnings("ignore::calkit.errors.CalibrationWarning")
def test_equal_logits_tell_nothing(name, scale):
    """Rounding alone may tell the logarithms of equal probabilities apart: no parameter follows it."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        k = 2 if CALIBRATORS[name].binary_only else 4
        logits = np.repeat(scale * rng.normal(size=(300, 1)), k, axis=1)
        fitted = get_calibrator(name).fit(logits, rng.integers(k, size=300))
        assert abs(fitted._pack()).max() < 10
