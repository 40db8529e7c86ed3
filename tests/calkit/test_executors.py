"""How sums are added makes no difference: threads, Dask, shards and blocks of any size against one thread."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit.errors import CalkitError, FileFormatError, InputError, MissingDependencyError, NotFoundError, UsageError
from calkit.executors import (
    DaskExecutor,
    PairwiseSum,
    SerialExecutor,
    ThreadExecutor,
    automatic_executor,
    available_threads,
    open_executor,
    use_executor,
)
from calkit.metrics import available_metrics, get_metric
from calkit.shards import Shards
from calkit.stats import NllDerivatives, Pairs, summarize
from calkit.stats.ranks import EqualMass
from calkit.stats.smoothing import Residuals
from tests.shard_loaders import allow_failures, load_by_worker, slow_one, troubled_load
from tests.summaries import assert_equal_summaries, assert_same_bits

STATISTICS = [
    *dict.fromkeys(get_metric(name).statistic for name in available_metrics()),
    NllDerivatives(0.7),
    Pairs(),
    # Few enough rows that it takes more than one pass.
    EqualMass(7, max_rows=20),
]


def example(n=1000, k=6, seed=0, weighted=False, kind="logits"):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((n, k))
    y = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(0, k, n))
    weight = rng.integers(0, 3, n) * 0.37 if weighted else None
    return calkit.Predictions(logits, y, kind=kind, sample_weight=weight)


class TestPairwiseSum:
    @given(words=st.lists(st.text(max_size=2)))
    def test_keeps_the_order(self, words):
        total = PairwiseSum()
        for word in words:
            total.add(word)
        assert total.result() == ("".join(words) if words else None)

    @given(n=st.integers(1, 200), size=st.sampled_from([1, 2, 4, 8]))
    def test_sums_of_runs_add_to_the_same_tree(self, n, size):
        # Strings of brackets show how the additions nest.
        class Node(str):
            __slots__ = ()

            def __add__(self, other):
                return Node(f"({self}{other})")

        def tree(items):
            total = PairwiseSum()
            for item in items:
                total.add(item)
            return total.result()

        items = [Node("x")] * n
        runs = [tree(items[start : start + size]) for start in range(0, n, size)]
        assert tree(runs) == tree(items)

    def test_depth_grows_with_the_logarithm(self):
        # 2^20 times 0.1 in float64, added pairwise, is exact to the rounding of 0.1: a running sum errs by 1e-6.
        total = PairwiseSum()
        for _ in range(1 << 20):
            total.add(0.1)
        assert total.result() == 0.1 * (1 << 20)


predictions_of_any_kind = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, (n, 3), elements=st.floats(-30, 30, width=16)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
        st.one_of(st.none(), hnp.arrays(np.float64, n, elements=st.integers(0, 3)).filter(np.any)),
    )
)


@given(data=predictions_of_any_kind, block_rows=st.integers(1, 61), n_jobs=st.integers(2, 4))
def test_threads_give_the_same_bits_for_any_blocks(data, block_rows, n_jobs):
    scores, y, weight = data
    predictions = calkit.Predictions(scores, y, kind="logits", sample_weight=weight)
    serial = summarize(predictions, STATISTICS, block_rows=block_rows, executor="serial")
    assert_same_bits(summarize(predictions, STATISTICS, block_rows=block_rows, n_jobs=n_jobs), serial)
    whole = summarize(predictions, STATISTICS, executor="serial")
    assert serial.n_samples == whole.n_samples == predictions.n_counted
    kept = [statistic for statistic in STATISTICS if statistic != Pairs()]
    assert_equal_summaries({s: serial[s] for s in kept}, {s: whole[s] for s in kept})


@pytest.mark.parametrize("kind", ["probs", "confidence"])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_give_the_same_bits_for_other_kinds(kind, weighted):
    logits = example(weighted=weighted)
    probs = np.exp(logits.scores) / np.exp(logits.scores).sum(1, keepdims=True)
    if kind == "probs":
        predictions, statistics = logits.replace(scores=probs, kind="probs"), STATISTICS[:-3]
    else:
        correct = probs.argmax(1) == logits.y_true
        predictions = calkit.Predictions(probs.max(1), correct, kind=kind, sample_weight=logits.sample_weight)
        statistics = [s for s in STATISTICS if not s.needs_distribution]
    serial = summarize(predictions, statistics, block_rows=37, executor="serial")
    assert_same_bits(summarize(predictions, statistics, block_rows=37, n_jobs=3), serial)


def test_default_blocks_of_large_data_are_shared_out(monkeypatch):
    monkeypatch.setenv("CALKIT_NUM_THREADS", "2")
    rng = np.random.default_rng(5)
    scores = 5 * rng.standard_normal((150_000, 20), dtype=np.float32)
    predictions = calkit.Predictions(scores, rng.integers(0, 20, 150_000), kind="logits")
    automatic = calkit.evaluate(predictions)
    for options in ({"executor": "serial"}, {"n_jobs": -1}, {"n_jobs": 1}, {"executor": "threads:3"}):
        assert dict(calkit.evaluate(predictions, **options)) == dict(automatic)


def test_temperature_does_not_depend_on_the_executor():
    predictions = example(5000)
    temperatures = set()
    for executor in ("serial", "threads:2", "threads:3"):
        with use_executor(executor):
            temperatures.add(calkit.TemperatureScaling().fit_predictions(predictions).temperature_)
    assert len(temperatures) == 1


class TestChoice:
    def test_threads_from_two_million_scores_on(self, monkeypatch):
        monkeypatch.setenv("CALKIT_NUM_THREADS", "2")
        assert isinstance(automatic_executor(1_900_000), SerialExecutor)
        assert isinstance(automatic_executor(2_100_000), ThreadExecutor)
        monkeypatch.setenv("CALKIT_NUM_THREADS", "1")
        assert isinstance(automatic_executor(10**12), SerialExecutor)

    def test_available_threads(self, monkeypatch):
        monkeypatch.setenv("CALKIT_NUM_THREADS", "7")
        assert available_threads() == 7
        for wrong in ("0", "-1", "two", "1.5"):
            monkeypatch.setenv("CALKIT_NUM_THREADS", wrong)
            with pytest.raises(UsageError, match="CALKIT_NUM_THREADS must be a positive whole number"):
                available_threads()
        for unset in ("", " "):
            monkeypatch.setenv("CALKIT_NUM_THREADS", unset)
            assert 1 <= available_threads() <= os.cpu_count()

    @pytest.mark.parametrize("n_jobs", [0, -2, 1.5, "2", True])
    def test_impossible_numbers_of_threads(self, n_jobs):
        with pytest.raises(UsageError, match="n_jobs must be a positive whole number, or -1"):
            calkit.evaluate(example(), ["ece"], n_jobs=n_jobs)

    def test_names(self):
        with pytest.raises(NotFoundError, match="unknown executor 'dusk'. Did you mean 'dask'"):
            calkit.evaluate(example(), ["ece"], executor="dusk")
        with pytest.raises(UsageError, match="Parameters: n_jobs"):
            calkit.evaluate(example(), ["ece"], executor="threads:n=2")
        with pytest.raises(UsageError, match="does not go with executor='serial'"):
            calkit.evaluate(example(), ["ece"], executor="serial", n_jobs=2)

    def test_a_block_sets_the_executor_for_everything_inside(self):
        class Recording(SerialExecutor):
            sums = 0

            def sum(self, function, pieces):
                self.sums += 1
                return super().sum(function, pieces)

        recording, predictions = Recording(), example()
        with use_executor(recording) as used:
            assert used is recording
            calkit.ece(predictions.y_true, predictions.scores, from_logits=True)
            assert recording.sums == 1
            with use_executor("serial"):
                calkit.evaluate(predictions)
            assert recording.sums == 1
            calkit.evaluate(predictions, executor="serial")
            assert recording.sums == 1
            calkit.TemperatureScaling().fit_predictions(predictions)
            assert recording.sums > 1
        before = recording.sums
        calkit.evaluate(predictions)
        assert recording.sums == before

    def test_what_is_opened_is_closed_and_what_is_given_stays_open(self):
        class Closing(SerialExecutor):
            closed = False

            def close(self):
                self.closed = True

        given = Closing()
        with open_executor(given) as opened:
            assert opened is given
        assert not given.closed


class TestErrors:
    @pytest.mark.parametrize("executor", ["serial", "threads:3"])
    @pytest.mark.parametrize("kind", ["logits", "probs"])
    def test_the_row_is_numbered_among_all_rows(self, executor, kind):
        scores = np.full((900, 4), 0.25)
        scores[777, 2] = np.nan
        predictions = calkit.Predictions(scores, np.zeros(900, int), kind=kind)
        with pytest.raises(InputError, match="row 777 holds nan"):
            summarize(predictions, [Pairs()], block_rows=10, executor=executor)

    def test_of_two_errors_the_first_row_is_reported(self):
        scores = np.zeros((1000, 2))
        scores[[500, 900], 0] = np.inf
        predictions = calkit.Predictions(scores, np.zeros(1000, int), kind="logits")
        for _ in range(20):
            with pytest.raises(InputError, match="row 500 holds inf"):
                summarize(predictions, [get_metric("ece").statistic], block_rows=7, n_jobs=4)

    def test_an_error_begins_no_more_pieces(self):
        begun = []

        def work(piece):
            begun.append(piece)
            if piece == 3:
                raise InputError("piece 3")
            return piece

        with pytest.raises(InputError, match="piece 3"):
            ThreadExecutor(2).sum(work, itertools.count())
        assert max(begun) < 20

    def test_threads_are_gone_after_an_error(self):
        before = threading.active_count()
        with pytest.raises(ZeroDivisionError):
            ThreadExecutor(4).sum(lambda piece: 1 // piece, [1, 0, 1])
        assert threading.active_count() == before

    def test_huge_logits_warn_in_no_thread(self):
        # Warnings are errors here; NumPy keeps its settings for each thread.
        scores = np.tile([[1e308, -1e308]], (100, 1))
        predictions = calkit.Predictions(scores, np.zeros(100, int), kind="logits")
        assert summarize(predictions, STATISTICS[:3], block_rows=5, n_jobs=3).n_samples == 100

    def test_ctrl_c_ends_an_endless_sum(self):
        code = (
            "import itertools, signal, time\n"
            "from calkit.executors import ThreadExecutor\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored if the tests run in the background
            "def work(piece):\n"
            "    if piece == 5: print('begun', flush=True)\n"
            "    time.sleep(0.01)\n"
            "    return 1\n"
            "ThreadExecutor(2).sum(work, itertools.count())\n"
        )
        command = [sys.executable, "-c", code]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                assert process.stdout.readline() == "begun\n"
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        assert "KeyboardInterrupt" in errors


class InOrder:
    """Scores that can only be read forwards, by one thread."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.next, self.threads = 0, set()

    def __getitem__(self, rows):
        assert rows.start == self.next % len(self.array)
        self.next = rows.stop
        self.threads.add(threading.get_ident())
        return self.array[rows]


def test_streams_are_read_in_order_by_one_thread():
    predictions = example()
    streamed = predictions.replace(scores=InOrder(predictions.scores))
    found = summarize(streamed, STATISTICS, block_rows=13, n_jobs=4)
    assert len(streamed.scores.threads) == 1
    assert_same_bits(found, summarize(predictions, STATISTICS, block_rows=13, executor="serial"))


def write_shards(folder, predictions, n_shards=20):
    """Shards of different lengths; return their paths."""
    cuts = np.sort(np.random.default_rng(1).choice(np.arange(1, len(predictions)), n_shards - 1, replace=False))
    paths = []
    for i, (start, stop) in enumerate(itertools.pairwise([0, *cuts.tolist(), len(predictions)])):
        part = predictions.take(slice(start, stop))
        paths.append(folder / f"part-{i:02d}.npz")
        arrays = {"logits": part.scores, "labels": part.y_true}
        if part.sample_weight is not None:
            arrays["sample_weight"] = part.sample_weight
        np.savez(paths[-1], **arrays)
    return paths


class TestShards:
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("executor", ["serial", "threads:2", None])
    def test_equal_memory(self, tmp_path, executor, weighted):
        predictions = example(weighted=weighted)
        weights = np.maximum(predictions.sample_weight, 0.01) if weighted else None
        predictions = predictions.replace(sample_weight=weights)
        shards = Shards(write_shards(tmp_path, predictions))
        kept = [statistic for statistic in STATISTICS if statistic != Pairs()]
        found = summarize(shards, kept, executor=executor)
        assert_equal_summaries(found, summarize(predictions, kept))
        evaluation = calkit.evaluate(shards, executor=executor)
        assert evaluation.to_dict()["n_samples"] == 1000
        assert (evaluation.n_classes, evaluation.kind) == (6, "logits")
        for name, value in calkit.evaluate(predictions).items():
            assert evaluation[name] == pytest.approx(value, rel=1e-12, nan_ok=True)

    def test_pattern_and_repr(self, tmp_path):
        write_shards(tmp_path, example(), 11)
        shards = Shards(str(tmp_path / "part-*.npz"))
        assert [path[-6:-4] for path in shards.paths] == [f"{i:02d}" for i in range(11)]
        assert (shards.kind, shards.n_classes, shards.class_names, len(shards)) == ("logits", 6, None, 11)
        assert "11 files" in repr(shards)
        assert shards.meta == {"file": shards.paths[0], "n_files": 11}

    def test_map_and_logits(self, tmp_path):
        predictions = example()
        shards = Shards(write_shards(tmp_path, predictions, 3))
        calibrator = calkit.TemperatureScaling().fit_predictions(predictions)
        expected = calkit.evaluate(calibrator.apply(predictions), ["ece", "nll"])
        assert dict(calkit.evaluate(shards.map(calibrator.apply), ["ece", "nll"])) == pytest.approx(
            dict(expected), rel=1e-12
        )
        assert shards.logits() is shards
        probs = calibrator.apply(predictions, kind="probs")
        as_probs = shards.map(lambda part: calibrator.apply(part, kind="probs"))
        assert as_probs.kind == "probs"
        assert as_probs.logits().kind == "logits"
        found = calkit.evaluate(as_probs.logits(), ["nll"])
        assert found["nll"] == pytest.approx(calkit.evaluate(probs, ["nll"])["nll"], rel=1e-9)

    def test_shards_must_be_alike(self, tmp_path):
        paths = write_shards(tmp_path, example(), 3)
        np.savez(paths[1], logits=np.zeros((4, 5)), labels=np.zeros(4, int))
        with pytest.raises(InputError, match=r"part-01\.npz holds logits of 5 classes, and .*part-00\.npz logits of 6"):
            calkit.evaluate(Shards(paths))
        np.savez(paths[1], probs=np.full((4, 6), 1 / 6), labels=np.zeros(4, int))
        with pytest.raises(InputError, match=r"part-01\.npz holds probs of 6"):
            calkit.evaluate(Shards(paths))

    def test_an_impossible_score_is_named_by_file_and_row(self, tmp_path):
        paths = write_shards(tmp_path, example(), 3)
        scores = np.zeros((9, 6))
        scores[7, 1] = np.nan
        np.savez(paths[2], logits=scores, labels=np.zeros(9, int))
        with pytest.raises(InputError, match=r"part-02\.npz: .*row 7 holds nan"):
            calkit.evaluate(Shards(paths))

    def test_a_loader_of_ones_own(self, tmp_path):
        paths = write_shards(tmp_path, example(), 3)

        def load(path, scale):
            with np.load(path) as file:
                return calkit.Predictions(file["logits"] * scale, file["labels"], kind="logits")

        assert calkit.evaluate(Shards(paths, load=load, scale=2.0), ["accuracy"])["accuracy"] > 0
        with pytest.raises(UsageError, match="load cannot be called with these options: missing"):
            Shards(paths, load=load)
        np.savez(paths[1], logits=[[0.0, np.inf]] * 2, labels=[0, 0])
        with pytest.raises(FileFormatError, match=r"part-01\.npz cannot be read: KeyError: .*label"):
            np.savez(paths[1], logits=np.zeros((2, 6)))
            calkit.evaluate(Shards(paths, load=load, scale=2.0))

    def test_one_clear_error(self, tmp_path):
        paths = write_shards(tmp_path, example(), 3)
        with pytest.raises(FileFormatError, match="no file matches"):
            Shards(str(tmp_path / "shard-*.npz"))
        with pytest.raises(UsageError, match="paths is empty"):
            Shards([])
        with pytest.raises(UsageError, match="given twice"):
            Shards([*paths, paths[0]])
        with pytest.raises(UsageError, match="unexpected keyword argument 'knid'"):
            Shards(paths, knid="logits")
        paths[1].unlink()
        with pytest.raises(FileFormatError, match=r"part-01\.npz"):
            calkit.evaluate(Shards(paths))


class TestWithoutDask:
    def test_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'calkit-calibration\[dask\]'"):
            calkit.evaluate(example(), executor="dask")


def two_processes():
    """A client of two worker processes of one thread each."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options, memory_limit=0, silence_logs=50) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


client = pytest.fixture(scope="module")(two_processes)

# For a test that kills: Dask does not bring a process back that dies while it starts, nor on a busy machine.
mortal_client = pytest.fixture(two_processes)


@pytest.fixture
def time_limit():
    """Five minutes, lest a cluster that hangs hangs the whole run."""

    def stop(*_):
        raise TimeoutError("the cluster has not answered for five minutes")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def interrupts():
    """Ctrl-C interrupts, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("time_limit")
class TestDask:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equals_memory_with_a_killed_worker_and_a_flaky_shard(self, mortal_client, tmp_path, weighted):
        predictions = example(n=2000, weighted=weighted)
        weights = np.maximum(predictions.sample_weight, 0.01) if weighted else None
        predictions = predictions.replace(sample_weight=weights)
        paths = write_shards(tmp_path, predictions)
        marks = tmp_path / "marks"
        marks.mkdir()
        shards = Shards(paths, load=troubled_load, marks=str(marks), flaky=("part-07.npz",), kill_after=10)
        kept = [statistic for statistic in STATISTICS if statistic != Pairs()]
        found = summarize(shards, kept, executor=DaskExecutor(mortal_client))
        assert {"killed", "part-07.npz-first", "part-07.npz-second"} <= {mark.name for mark in marks.iterdir()}
        assert found.n_samples == 2000
        assert_equal_summaries(found, summarize(predictions, kept))
        assert_same_bits(found, summarize(Shards(paths), kept, executor="serial"))

    def test_evaluate_and_fit(self, client, tmp_path):
        predictions = example()
        shards = Shards(write_shards(tmp_path, predictions, 5))
        executor = DaskExecutor(client)
        found = calkit.evaluate(shards, executor=executor)
        assert dict(found) == pytest.approx(dict(calkit.evaluate(predictions)), rel=1e-12, nan_ok=True)
        # Every pass of a fit goes over the shards on the workers.
        with use_executor(executor):
            fitted = calkit.TemperatureScaling().fit_predictions(shards)
            after = calkit.evaluate(fitted.apply(shards), ["nll"])["nll"]
        expected = calkit.TemperatureScaling().fit_predictions(predictions)
        assert fitted.temperature_ == pytest.approx(expected.temperature_, rel=1e-10)
        assert fitted.objective_value_ == pytest.approx(after, rel=1e-12)
        grid = [0.5, 1.0, 1.5, 2.0, 2.5]
        with use_executor(executor):
            by_ece = calkit.TemperatureScaling("ece", grid).fit_predictions(shards)
        assert by_ece.temperature_ == calkit.TemperatureScaling("ece", grid).fit_predictions(predictions).temperature_

    def test_the_first_shard_too_is_read_by_a_worker(self, client, tmp_path):
        paths = write_shards(tmp_path, example(), 3)
        shards = Shards(paths, load=load_by_worker)
        with use_executor(DaskExecutor(client)):
            assert shards.kind == "logits"
            assert calkit.evaluate(shards, ["error"]).n_samples == 1000
        with pytest.raises(FileFormatError, match="not here"):
            calkit.evaluate(Shards(paths, load=load_by_worker), ["error"])

    @pytest.mark.usefixtures("interrupts")
    def test_ctrl_c_cancels_what_the_workers_have_not_begun(self, client):
        main = threading.get_ident()

        def interrupt_once_they_work():
            while not any(client.processing().values()):
                time.sleep(0.05)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt_once_they_work, daemon=True)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            # Three minutes of work for two workers.
            DaskExecutor(client).sum(slow_one, range(3600))
        thread.join()
        start = time.monotonic()
        while any(client.processing().values()):
            assert time.monotonic() - start < 60
            time.sleep(0.05)

    def test_predictions_in_memory(self, client):
        predictions = example(weighted=True)
        found = summarize(predictions, STATISTICS, block_rows=100, executor=DaskExecutor(client))
        assert_same_bits(found, summarize(predictions, STATISTICS, block_rows=100, executor="serial"))
        scores = predictions.scores.copy()
        scores[777, 0] = np.nan
        with pytest.raises(InputError, match="row 777 holds nan"):
            bad = calkit.Predictions(scores, predictions.y_true, kind="logits")
            summarize(bad, STATISTICS, block_rows=100, executor=DaskExecutor(client))

    def test_a_shard_that_never_succeeds_is_named(self, client, tmp_path):
        paths = write_shards(tmp_path, example())
        shards = Shards(paths, load=troubled_load, marks=str(tmp_path), broken=("part-11.npz",))
        with pytest.raises(FileFormatError, match=r"part-11\.npz cannot be read: OSError: the disk is on fire"):
            calkit.evaluate(shards, executor=DaskExecutor(client))

    def test_a_shard_that_kills_every_worker_is_named(self, mortal_client, tmp_path):
        # Dask tries a piece on four workers before it gives it up; one is enough here.
        mortal_client.run_on_scheduler(allow_failures, 0)
        # Both workers have a second shard in stock, whose only fault is that: it is not to be named.
        paths = write_shards(tmp_path, example(), 4)
        shards = Shards(paths, load=troubled_load, marks=str(tmp_path), deadly=("part-02.npz",))
        with pytest.raises(CalkitError, match=r"part-02\.npz: every Dask worker that took it on died") as caught:
            calkit.evaluate(shards, executor=DaskExecutor(mortal_client))
        assert not any(path.name in str(caught.value) for path in paths if path.name != "part-02.npz")

    def test_suspects_that_do_no_harm_alone_are_all_named(self, client, monkeypatch):
        executor = DaskExecutor(client)
        computed = executor._computed

        def die_in_company(graph):
            return computed(graph) if len(graph.names) == 1 else (None, list(graph.names)[1:3])

        monkeypatch.setattr(executor, "_computed", die_in_company)
        with pytest.raises(CalkitError, match="^piece 1, piece 2: every Dask worker that took them on died"):
            executor.sum(abs, range(4))

    def test_errors_of_workers_are_the_errors_they_were(self, client, tmp_path):
        paths = write_shards(tmp_path, example(), 4)
        np.savez(paths[3], logits=np.zeros((4, 5)), labels=np.zeros(4, int))
        with pytest.raises(InputError, match=r"part-03\.npz holds logits of 5 classes, and .*part-00\.npz logits of 6"):
            calkit.evaluate(Shards(paths), executor=DaskExecutor(client))
        scores = np.zeros((9, 6))
        scores[7, 1] = np.nan
        np.savez(paths[3], logits=scores, labels=np.zeros(9, int))
        with pytest.raises(InputError, match=r"part-03\.npz: .*row 7 holds nan"):
            calkit.evaluate(Shards(paths), executor=DaskExecutor(client))

    def test_the_active_client_an_address_and_none(self, client):
        predictions = example()
        expected = dict(calkit.evaluate(predictions))
        with client.as_current():
            assert dict(calkit.evaluate(predictions, executor="dask")) == expected
        address = client.scheduler.address
        assert dict(calkit.evaluate(predictions, executor=f"dask:{address}")) == expected
        assert client.status == "running"
        with pytest.raises(UsageError, match="name one: dask:tcp://HOST:PORT"):
            calkit.evaluate(predictions, executor="dask")
        with pytest.raises(UsageError, match="no Dask scheduler answers"):
            calkit.evaluate(predictions, executor="dask:not-an-address")
        # What was opened is gone: a client that is collected while another starts would wait for it for ever.
        assert sum(thread.name == "IO loop" for thread in threading.enumerate()) == 1

    def test_a_local_cluster_whose_processes_are_all_gone_is_given_up(self, monkeypatch):
        monkeypatch.setenv("CALKIT_NUM_THREADS", "1")
        with open_executor("dask:local") as executor:
            cluster = executor._opened[0]

            def close_once_it_works():
                while not any(executor._client.processing().values()):
                    time.sleep(0.05)
                for nanny in list(cluster.workers.values()):
                    cluster.sync(nanny.close)

            thread = threading.Thread(target=close_once_it_works, daemon=True)
            thread.start()
            with pytest.raises(CalkitError, match="every process of the local Dask cluster has died"):
                executor.sum(slow_one, range(1000))
            thread.join()

    def test_workers_take_the_kernels_of_this_process(self, client, monkeypatch):
        pytest.importorskip("numba")
        predictions = example(n=500)
        predictions = predictions.replace(scores=predictions.scores.astype(np.float32))
        found = {}
        for kernels in ("numpy", "numba"):
            monkeypatch.setenv("CALKIT_KERNELS", kernels)
            there = summarize(predictions, [Residuals()], executor=DaskExecutor(client))[Residuals()].residual
            here = summarize(predictions, [Residuals()], executor="serial")[Residuals()].residual
            np.testing.assert_array_equal(there, here)
            found[kernels] = there
        assert (found["numpy"] != found["numba"]).any()  # so that the test can fail

    def test_a_local_cluster_is_closed_again(self, client, monkeypatch):
        monkeypatch.setenv("CALKIT_NUM_THREADS", "1")
        predictions = example()
        with open_executor("dask:local") as executor:
            assert dict(calkit.evaluate(predictions, executor=executor)) == dict(calkit.evaluate(predictions))
            opened = executor._client
            assert opened.status == "running"
        assert opened.status == "closed"
