"""Small runs for the tests of training, and what may happen to them."""

import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

import calkit
from calkit.errors import FileFormatError
from calkit.runs import RunFolder
from calkit_torch.bridge import DeviceMetrics
from calkit_torch.data import Augmentation, DataSet
from calkit_torch.data.feeds import TreeFeed
from calkit_torch.data.split import Split
from calkit_torch.models import parse_tree
from calkit_torch.training import Callback, Recipe, TrainingInterrupted, train
from calkit_torch.training import state as training_state

TIMES = ("seconds", "images_per_second")
N_TRAIN, BATCH, EPOCHS = 58, 16, 4  # four batches an epoch, the last of ten


def images():
    """Grey images of two shades with much noise, cropped and flipped in training."""
    rng = np.random.default_rng(0)

    def part(n):
        y = rng.integers(3, size=n)
        x = rng.normal(60 + 40 * y[:, None, None, None], 40, (n, 1, 6, 6))
        return np.clip(x, 0, 255).astype(np.uint8), y

    return DataSet.from_arrays(
        part(N_TRAIN), part(21), part(33), n_classes=3, name="images", augmentation=Augmentation(padding=1)
    )


def vectors(n_train=N_TRAIN, n_validation=21, n_test=33):
    """Numbers, in float32, of three classes that overlap."""
    rng = np.random.default_rng(1)

    def part(n):
        y = rng.integers(3, size=n)
        return rng.normal(y[:, None], 1.0, (n, 5)).astype(np.float32), y

    return DataSet.from_arrays(part(n_train), part(n_validation), part(n_test), n_classes=3, name="vectors")


def documents(n_train=N_TRAIN, n_validation=21, n_test=33):
    """Texts of up to 40 words, whose class is that of most of them."""
    rng = np.random.default_rng(3)

    def part(n):
        y = rng.integers(3, size=n)
        words = np.where(rng.random((n, 40)) < 0.3, y[:, None] + 1, rng.integers(1, 12, size=(n, 40)))
        words[np.arange(40) >= rng.integers(5, 41, size=n)[:, None]] = 0
        return words, y

    options = {"vocabulary_size": 12}
    return DataSet.from_arrays(
        part(n_train), part(n_validation), part(n_test), n_classes=3, name="documents", options=options
    )


def trees(n_train=30, n_validation=9, n_test=11):
    """Sentences of one to six words with a class for every node, of which two of three are judged at the root."""
    rng = np.random.default_rng(2)
    words = [f"w{k}" for k in range(12)]

    def grown(n):
        if n == 1:
            k = int(rng.integers(12))
            return f"({k % 3} {words[k]})"
        left = int(rng.integers(1, n))
        return f"({rng.integers(3)} {grown(left)} {grown(n - left)})"

    def part(n):
        found = [parse_tree(grown(int(size))) for size in rng.integers(1, 7, size=4 * n)]
        kept = [tree for tree in found if tree.labels[-1] != 1][:n]
        return Split(kept, torch.tensor([tree.labels[-1] for tree in kept]))

    return DataSet(
        "trees",
        part(n_train),
        part(n_validation),
        part(n_test),
        class_names=("negative", "neutral", "positive"),
        feed=TreeFeed({word: k + 2 for k, word in enumerate(words)}, unknown=1),
        options={"vocabulary_size": 14},
        judged=(0, 2),
    )


#: Between them: batch normalisation, augmentation, momentum, a loss that learns, selection; dropout, moments, a
#: schedule; trees, whose nodes are many to an input, and two optimisers.
SAMPLES = {
    "images": (
        Recipe(
            "images",
            "small-resnet:width=4",
            "adafocal:5",
            optimiser="sgd:0.05,momentum=0.9",
            lr_schedule="step:0.5@2",
            epochs=EPOCHS,
            batch_size=BATCH,
            clip_norm=2.0,
            select="accuracy",
        ),
        images,
    ),
    "batches": (
        Recipe(
            "vectors",
            "mlp:hidden=8",
            "mmce:2,base=focal:2",
            optimiser="sgd:0.1,momentum=0.9",
            epochs=EPOCHS,
            batch_size=BATCH,
            clip_norm=1.0,
        ),
        # The last training batch is of nine, the only validation row falls to rank 1, as does the last of the test.
        lambda: vectors(57, 1, 513),
    ),
    "vectors": (
        Recipe(
            "vectors",
            "mlp:hidden=8,dropout=0.5",
            "focal-scheduled:5,3@2",
            optimiser="adam:0.01",
            lr_schedule="cosine:warmup=1",
            epochs=EPOCHS,
            batch_size=BATCH,
            reduction="sum",
        ),
        vectors,
    ),
    "documents": (
        Recipe(
            "documents",
            "global-pooling-cnn:width=6,embedding_dim=4,dropout=0.3",
            "FLA-53",
            optimiser="adam:0.001",
            epochs=EPOCHS,
            batch_size=BATCH,
        ),
        documents,
    ),
    "trees": (
        Recipe(
            "trees",
            "tree-lstm:hidden=4,embedding_dim=3",
            "mmce-w:8,scaling=code",
            optimiser="adagrad:0.05,weight_decay=0.0001",
            embedding_optimiser="sgd:0.1",
            epochs=EPOCHS,
            batch_size=8,
            reduction="per-input",
            select="accuracy",
        ),
        trees,
    ),
}


class Keep(Callback):
    """Measures, keeps the logits, and counts the epochs it has seen, which it must not forget."""

    seen = 0

    def on_epoch_end(self, state):
        self.seen += 1
        state.record["test"] = dict(state.evaluate("test", ["error", "ece", "nll"]))
        state.record["seen"] = self.seen

    def on_end(self, state):
        found = {split: state.predictions(split) for split in ("validation", "test")}
        if state.run is not None:
            state.run.write_logits(found)

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, found):
        self.seen = found["seen"]


class Compare(Callback):
    """Writes what the ranks find together, and what one finds on the same logits."""

    def __init__(self, path):
        self.path = path

    def on_end(self, state):
        names = ["error", "ece", "mce", "nll", "brier", "adaece"]
        found = {}
        for split in ("train", "validation", "test"):
            logits, labels = state.all_scores(split)
            alone = dict(calkit.evaluate(calkit.Predictions(logits.numpy(), labels.numpy(), kind="logits"), names))
            device = DeviceMetrics(names[:-1]).update(logits, labels).compute(sync=False)
            gathered, training_state._GATHERED_SCORES = training_state._GATHERED_SCORES, 0
            summed = dict(state.evaluate(split, names[:-1]))
            training_state._GATHERED_SCORES = gathered
            found[split] = {
                "together": dict(state.evaluate(split, names[:-1])),
                "by sums": summed,
                "on one device": dict(device),
                "with AdaECE": dict(state.evaluate(split, names)),
                "alone": alone,
                "labels": labels.tolist(),
                "rows of this rank": len(state.scores(split)[1]),
            }
        Path(f"{self.path}-{state.rank}.json").write_text(json.dumps(found))


class Kill(Callback):
    """Kills its own process at a moment: nothing can catch that or clean up after it."""

    def __init__(self, moment, at):
        self.moment, self.at = moment, at

    def _now(self, moment, at):
        if (self.moment, self.at) == (moment, at):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_gradients(self, state):
        self._now("inside a step", state.step)

    def on_batch_end(self, state):
        self._now("after a batch", state.step)
        if (self.moment, self.at) == ("wait", state.step):
            self._wait(state.run.path / "waiting")

    def _wait(self, path):
        """Say that the time has come for a signal, and wait for it."""
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        path.touch()
        while before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)):
            time.sleep(0.01)
        path.unlink()

    def on_epoch_start(self, state):
        self._now("between epochs", state.epoch)
        if (self.moment, self.at) == ("a full disk", state.epoch):
            import resource  # which Windows has not

            size = (state.run.path / "checkpoint.pt").stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def on_epoch_end(self, state):
        self._now("at the end of an epoch", state.epoch)

    def on_end(self, state):
        self._now("at the end", 0)
        if self.moment == "after the end":
            Keep().on_end(state)
            self._now("after the end", 0)


def kill_while_writing(n):
    """Let the process die half-way through writing its n-th checkpoint."""
    save, count = torch.save, [0]

    def half(content, path):
        count[0] += 1
        save(content, path)
        if count[0] == n:
            whole = Path(path).read_bytes()
            Path(path).write_bytes(whole[: len(whole) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half


def kill_before_rename(n):
    """Let the process die when its n-th checkpoint is whole, but has not taken the place of the one before."""
    replace, count = Path.replace, [0]

    def never(self, target):
        if Path(target).name == "checkpoint.pt":
            count[0] += 1
            if count[0] == n:
                os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = never


def context():
    """Return what starts real processes, forked from one that has torch loaded already."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["calkit_torch.training", "calkit_torch.data", "torch._dynamo"])
    return found


def together(ranks, target, *args, patience=240, **kwargs):
    """Call a function in several processes that train together, as torchrun would start them; return exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        context().Process(target=_as_rank, args=(rank, ranks, port, target, args, kwargs)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    processes[0].join(patience)
    for process in processes[1:]:
        # A rank that was killed leaves the others waiting for it.
        process.join(patience if processes[0].exitcode == 0 else 0.1)
    for process in processes:
        process.kill()
    return [process.exitcode for process in processes]


def _as_rank(rank, world_size, port, target, args, kwargs):
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    torch.set_num_threads(1)
    target(*args, **kwargs)
    # The group is gone. To free a reducer that holds it only now may end in a deadlock.
    assert not [found for found in gc.get_objects() if type(found) is DistributedDataParallel]


def run_sample(name, out, *, resume=False, kill=None, compare=None, **options):
    """Train one of the samples, on one thread."""
    torch.set_num_threads(1)
    # Ignored where the tests run as a background job.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    recipe, data = SAMPLES[name]
    callbacks = [Keep()]
    if compare is not None:
        callbacks.append(Compare(compare))
    if kill is not None:
        moment, at = kill
        if moment == "while writing a checkpoint":
            kill_while_writing(at)
        elif moment == "before the rename":
            kill_before_rename(at)
        else:
            callbacks.append(Kill(moment, at))
    try:
        train(recipe, data(), out=out, resume=resume, device="cpu", callbacks=callbacks, **options)
    except (TrainingInterrupted, FileFormatError) as stopped:
        (Path(out).parent / "said").write_text(str(stopped))
        sys.exit(130 if isinstance(stopped, TrainingInterrupted) else 1)


def contents(path):
    """All that a run leaves but the times it took."""
    run = RunFolder(path)
    checkpoint = torch.load(path / "checkpoint.pt", weights_only=True)
    checkpoint["callbacks"] = {"Keep": checkpoint["callbacks"]["Keep"]}
    with np.load(run.logits()) as logits:
        arrays = dict(logits)
    history = [{key: value for key, value in record.items() if key not in TIMES} for record in run.history]
    return {"recipe": run.recipe, "history": history, "logits": arrays, "checkpoint": checkpoint}


def same(a, b):
    """Assert equality to the last bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b
