"""Running a model over a loader: what comes out, and that the model is left as it was found."""

import math
import os
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, TensorDataset

import calkit
from calkit.errors import InputError, NotFoundError, UsageError
from calkit.metrics import available_metrics, get_metric
from calkit_torch.bridge import evaluate_model, predict
from calkit_torch.bridge.distributed import real_samples
from calkit_torch.bridge.loop import evaluating
from calkit_torch.bridge.statistics import is_summable

ROOT = Path(__file__).parents[2]


def network(n_classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, n_classes))


def data(n=50, n_classes=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator), torch.randint(0, n_classes, (n,), generator=generator)


def loader_of(x, y, batch_size=16):
    return DataLoader(TensorDataset(x, y), batch_size=batch_size)


def scores_of(model, x):
    """What the model says of everything at once, in evaluation mode."""
    training = model.training
    with torch.no_grad():
        scores = model.eval()(x)
    model.train(training)
    return scores


def same(predictions, scores, y):
    np.testing.assert_allclose(predictions.scores, scores.numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(predictions.y_true, y.numpy())


# What comes out


def test_rows_are_those_of_the_loader_in_order():
    model, (x, y) = network(), data()
    found = predict(model, loader_of(x, y), class_names=["a", "b", "c"], meta={"split": "test"})
    same(found, scores_of(model, x), y)
    assert (found.kind, found.class_names, found.meta["split"]) == ("logits", ("a", "b", "c"), "test")
    assert found.scores.dtype == np.float32
    assert found.sample_weight is None


def test_metrics_are_those_of_the_predictions():
    model, (x, y) = network(), data(200)
    expected = calkit.evaluate(predict(model, loader_of(x, y)))
    found = evaluate_model(model, loader_of(x, y))
    assert found.n_samples == 200
    assert found.n_classes == 3
    for spec, value in found.items():
        assert value == pytest.approx(expected[spec], rel=1e-6, abs=1e-7, nan_ok=True)
    assert set(found) == set(expected) - {"adaece"}
    summable = [name for name in available_metrics() if is_summable(get_metric(name))]
    assert len(summable) > 12
    everything = evaluate_model(model, loader_of(x, y), summable)
    for spec, value in calkit.evaluate(predict(model, loader_of(x, y)), summable).items():
        assert everything[spec] == pytest.approx(value, rel=1e-6, abs=1e-7, nan_ok=True)


def test_float64_stays():
    model, (x, y) = network().double(), data()
    found = predict(model, [(x.double(), y)])
    assert found.scores.dtype == np.float64
    np.testing.assert_array_equal(found.scores, scores_of(model, x.double()).numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    model, (x, y) = network(), data()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        scores = model.eval()(x)
    assert scores.dtype == dtype
    found = predict(model, loader_of(x, y, 50), autocast=dtype)
    np.testing.assert_array_equal(found.scores, scores.float().numpy())
    on_device = evaluate_model(model, loader_of(x, y, 50), ["nll"], autocast=dtype)["nll"]
    assert on_device == pytest.approx(calkit.nll(y.numpy(), scores.double().numpy(), from_logits=True), rel=1e-12)


def test_pixels_become_rows():
    torch.manual_seed(0)
    model = nn.Conv2d(2, 3, 1)
    x, y = torch.randn(4, 2, 5, 6), torch.randint(0, 3, (4, 5, 6))
    y[0, :2] = 255
    weight = torch.rand(4)
    batches = [(x[:2], y[:2], weight[:2]), (x[2:], y[2:], None)]
    found = predict(model, batches, batch=lambda b: b, ignore_index=255)
    keep = y.flatten() != 255
    same(found, scores_of(model, x).movedim(1, -1).reshape(-1, 3)[keep], y.flatten()[keep])
    expected = torch.where(torch.arange(4) < 2, weight.double(), 1.0).repeat_interleave(30)[keep]
    np.testing.assert_array_equal(found.sample_weight, expected.numpy())
    metrics = evaluate_model(model, batches, ["ece"], batch=lambda b: b, ignore_index=255)
    assert metrics["ece"] == pytest.approx(calkit.evaluate(found, ["ece"])["ece"], rel=1e-6, abs=1e-7)
    assert metrics.n_samples == int(keep.sum())


def test_one_score_is_that_of_class_one():
    model, (x, y) = network(1), data(n_classes=2)
    found = predict(model, loader_of(x, y), output=lambda z: z.squeeze(1))
    margin = scores_of(model, x)[:, 0]
    same(found, torch.stack([torch.zeros(50), margin], 1), y)
    with pytest.raises(InputError, match="one class leaves nothing to choose"):
        predict(model, loader_of(x, y))


def test_probabilities():
    model, (x, y) = nn.Sequential(network(), nn.Softmax(1)), data()
    found = predict(model, loader_of(x, y), kind="probs")
    assert found.kind == "probs"
    on_device = evaluate_model(model, loader_of(x, y), kind="probs")
    for spec, value in on_device.items():
        assert value == pytest.approx(calkit.evaluate(found, [spec])[spec], rel=1e-9, nan_ok=True)


# Batches and outputs

Pair = namedtuple("Pair", "left right")


class Sum(nn.Module):
    """Logits from two inputs by name or place, from a pair, or from an object."""

    def forward(self, a, b=None):
        if isinstance(a, Pair):
            a, b = a
        if isinstance(a, SimpleNamespace):
            a, b = a.left, a.right
        return a + b


@pytest.mark.parametrize(
    ("make", "batch"),
    [
        (lambda a, b, y: ((a, b), y), None),
        (lambda a, b, y: [[a, b], y], None),
        (lambda a, b, y: (Pair(a, b), y), None),
        (lambda a, b, y: (SimpleNamespace(left=a, right=b), y), None),
        (lambda a, b, y: ({"a": a, "b": b}, y), None),
        (lambda a, b, y: {"inputs": (a, b), "labels": y}, ("inputs", "labels")),
        (lambda a, b, y: {"inputs": (a, b), "labels": y, "w": torch.ones(5)}, ("inputs", "labels", "w")),
        (lambda a, b, y: {"a": a, "b": b, "y": y}, lambda d: ({k: v for k, v in d.items() if k != "y"}, d["y"])),
        (lambda a, b, y: (0, y, a, b), lambda parts: (parts[2:], parts[1])),
        (lambda a, b, y: (a, b, y), lambda parts: (parts[:2], parts[2], torch.ones(5))),
    ],
)
def test_forms_of_batches(make, batch):
    a, b = torch.randn(2, 5, 3)
    y = torch.tensor([0, 1, 2, 0, 1])
    same(predict(Sum(), [make(a, b, y)], batch=batch), a + b, y)


def test_objects_with_a_method_to_are_moved():
    class Inputs:
        moved = None

        def to(self, device):
            moved = Inputs()
            moved.moved = device
            return moved

    class Model(nn.Module):
        def forward(self, inputs):
            assert inputs.moved == torch.device("cpu")
            return torch.zeros(2, 3)

    assert len(predict(Model(), [(Inputs(), torch.tensor([0, 1]))])) == 2


def test_output_function():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            return {"logits": self.inner(x), "loss": 0.0}

    model, (x, y) = Wrapped(), data()
    found = predict(model, loader_of(x, y), output=lambda out: out["logits"])
    same(found, scores_of(model.inner, x), y)
    with pytest.raises(UsageError, match="the model returned a dict, not a tensor of scores.*output=lambda"):
        predict(model, loader_of(x, y))
    with pytest.raises(UsageError, match="the function given as output= returned a float"):
        predict(model, loader_of(x, y), output=lambda out: out["loss"])


def test_loaders_without_a_length():
    class Stream(IterableDataset):
        def __iter__(self):
            yield from zip(*data(10), strict=True)

    assert len(predict(network(), DataLoader(Stream(), batch_size=4))) == 10


@pytest.mark.parametrize(
    ("item", "batch", "error", "message"),
    [
        ({"x": 1, "labels": 2}, None, UsageError, "mappings with the keys 'x', 'labels'.*batch="),
        ((1, 2, 3), None, UsageError, r"must be \(inputs, labels\), but the loader gave a tuple of 3"),
        (torch.zeros(2), None, UsageError, "the loader gave a Tensor"),
        ((1, 2), ("x", "y"), UsageError, "names keys, but the loader gave a tuple of 2"),
        ({"x": 1, "label": 2}, ("x", "labels"), NotFoundError, "unknown key of a batch 'labels'. Did you mean 'label'"),
        ((1, 2), lambda b: b[0], UsageError, "the function given as batch= returned a int"),
        ((1, 2), None, InputError, "the labels of a batch must be a torch.Tensor, but are a int"),
        ((1, torch.zeros(2), 3), lambda b: b, InputError, "the weights of a batch must be a torch.Tensor"),
        ((1, 2), "xy", UsageError, "batch must be None, a pair of keys"),
    ],
)
def test_batches_that_cannot_be_read(item, batch, error, message):
    with pytest.raises(error, match=message):
        predict(network(), [item], batch=batch)


def test_what_does_not_fit_is_said():
    model, (x, y) = network(), data()
    with pytest.raises(InputError, match="the loader gave no batch"):
        predict(model, [])
    with pytest.raises(InputError, match="no row has been counted"):
        evaluate_model(model, [])
    with pytest.raises(InputError, match=r"y must have shape \(50,\)"):
        predict(model, [(x, y[1:])])
    with pytest.raises(InputError, match="y_true must lie in 0..2"):
        predict(model, [(x, y + 1)])
    with pytest.raises(InputError, match=r"y must lie in 0..2 .*ignore_index"):
        evaluate_model(model, [(x, y + 1)])
    with pytest.raises(InputError, match="differ in their number of classes: 3, 5"):
        predict(nn.Identity(), [(torch.zeros(2, k), torch.zeros(2, dtype=torch.int64)) for k in (3, 5)])
    with pytest.raises(UsageError, match="kind must be one of logits, probs"):
        predict(model, [(x, y)], kind="confidence")


# The model is left as it was


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("run", [predict, evaluate_model])
def test_modes_come_back(run):
    model, (x, y) = network(), data()
    model.train()
    model[1].eval()  # frozen
    before, state = modes(model), {k: v.clone() for k, v in model.state_dict().items()}
    during = []
    model.register_forward_hook(lambda *_: during.append((any(modes(model)), torch.is_grad_enabled())))
    run(model, loader_of(x, y))
    assert during == [(False, False)] * 4
    assert modes(model) == before
    assert torch.is_grad_enabled()
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    with torch.no_grad():
        run(model, loader_of(x, y))
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("where", ["loader", "model", "output", "labels"])
@pytest.mark.parametrize("run", [predict, evaluate_model])
def test_modes_come_back_after_an_error(run, where):
    class StopError(Exception):
        pass

    def fail(*_):
        raise StopError

    model, (x, y) = network(), data()
    model[1].eval()
    before = modes(model)
    batches = [(x, y), (x, y[1:] if where == "labels" else y)]

    def loader():
        yield from batches
        if where == "loader":
            fail()

    if where == "model":
        model[2].register_forward_hook(fail)
    with pytest.raises(InputError if where == "labels" else StopError):
        run(model, loader(), output=fail if where == "output" else None)
    assert modes(model) == before
    assert torch.is_grad_enabled()


def test_methods_that_change_the_mode_are_called():
    class Merging(nn.Linear):
        """Does something when its mode changes, as adapters that merge their weights do."""

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    model = nn.Sequential(Merging(2, 2), nn.Dropout())
    with evaluating(model):
        assert model[0].merged
    assert not model[0].merged
    assert modes(model) == [True, True, True]


def test_exported_models_can_be_run():
    model, (x, y) = network().eval(), data()
    exported = torch.export.export(model, (x[:16],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    before = modes(exported)
    same(predict(exported, loader_of(x, y)), scores_of(model, x), y)
    assert modes(exported) == before


def test_gradients_can_follow():
    # A model may keep tensors of such a run; they must not spoil training.
    class Caching(nn.Module):
        cache = None

        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            found = self.inner(x)
            if self.cache is None:
                self.cache = found.mean(0)
            return found * self.cache

    model, (x, y) = Caching(), data()
    evaluate_model(model, loader_of(x, y), ["nll"])
    nn.functional.cross_entropy(model(x), y).backward()


# Padding of distributed samplers


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_samples_of_all_ranks_are_the_data_set(n, ranks, batch_size, shuffle):
    dataset = TensorDataset(torch.eye(n, n + 1), torch.arange(n))
    seen, padded = [], 0
    for rank in range(ranks):
        sampler = DistributedSampler(dataset, ranks, rank, shuffle=shuffle)
        loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler)
        shares = list(real_samples(loader))
        assert [size for size, _ in shares] == [len(y) for _, y in loader]
        padded += sum(size - real for size, real in shares)
        if any(real for _, real in shares):
            seen += predict(nn.Identity(), loader).y_true.tolist()
    assert sorted(seen) == list(range(n))
    assert padded == math.ceil(n / ranks) * ranks - n


def test_padding_must_be_recognisable():
    dataset = TensorDataset(torch.eye(3), torch.arange(3))
    sampler = DistributedSampler(dataset, 2, 1, shuffle=False)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler)
    with pytest.raises(InputError, match="padded the last batch, of 2 samples, with 1 repeated"):
        predict(nn.Identity(), loader, batch=lambda b: (b[0][:1], b[1][:1]))
    dropping = DistributedSampler(dataset, 2, 1, shuffle=False, drop_last=True)
    assert len(predict(nn.Identity(), DataLoader(dataset, batch_size=2, sampler=dropping))) == 1


# Progress


def test_progress_is_for_terminals(capsys, monkeypatch):
    model, (x, y) = network(), data()
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    predict(model, loader_of(x, y))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    assert len(predict(model, loader_of(x, y))) == 50
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluating" in err
    predict(model, loader_of(x, y), progress=False)
    assert capsys.readouterr() == ("", "")


# CUDA


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_cuda():
    model, (x, y) = network().cuda(), data(200)
    found = predict(model, loader_of(x, y))
    np.testing.assert_allclose(found.scores, scores_of(model.cpu(), x).numpy(), rtol=1e-4, atol=1e-5)
    metrics = evaluate_model(model.cuda(), loader_of(x, y), ["ece", "nll"])
    for spec, value in metrics.items():
        assert value == pytest.approx(calkit.evaluate(found, [spec])[spec], rel=1e-5, abs=1e-6)


# The guide


@pytest.mark.slow
def test_the_guide_runs(tmp_path):
    text = (ROOT / "docs" / "user_guide" / "bridge.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    (tmp_path / "guide.py").write_text(code, encoding="utf-8")
    # Alone, as torchrun would start it.
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "guide.py"],
        cwd=tmp_path,
        env={**os.environ, **alone, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_soft_labels_come_along():
    identity = nn.Identity()
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.0]])
    # A batch of votes, one of classes; the second row is to be left out.
    loader = [(logits[:1], torch.tensor([[3, 1]])), (logits[1:], torch.tensor([-100, 1]))]
    found = predict(identity, loader)
    np.testing.assert_array_equal(found.votes, [[0.75, 0.25], [0, 1]])
    np.testing.assert_array_equal(found.scores, logits[[0, 2]])
    # By hand: predicted class 0 in both rows.
    assert evaluate_model(identity, loader, ["accuracy"])["accuracy"] == pytest.approx((0.75 + 0) / 2)
    with pytest.raises(InputError, match="shares of the classes that sum to 1"):
        predict(identity, [(logits[:1], torch.tensor([[0.5, 0.4]]))])
    with pytest.raises(InputError, match="shares"):
        predict(identity, [*loader, (logits[:1], torch.tensor([2]))])
