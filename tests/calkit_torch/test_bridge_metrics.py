"""Metrics accumulated on a device: against plain-loop oracles, the core, and laws.

That updating never waits for the device is shown on the ``meta`` device, whose tensors have no values: whatever would
read one fails there. Tests marked ``gpu`` show it on CUDA too, and that the numbers are the same there.
"""

import copy
import dataclasses
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import calkit
import calkit_torch.bridge.accumulator as accumulator_module
import calkit_torch.bridge.counted as counted_module
import calkit_torch.bridge.sums as sums_module
from calkit.errors import CalkitError, InputError, NotFoundError, UsageError
from calkit.evaluation import DEFAULT_METRICS
from calkit.inference.counts import Cells
from calkit.metrics import available_metrics, get_metric
from calkit.stats import (
    ClasswiseBins,
    LogitGap,
    NllDerivatives,
    Pairs,
    Residuals,
    RowMean,
    Tail,
    UniformBins,
    summarize,
)
from calkit.stats.edges import EdgeBins
from calkit.stats.ranks import EqualMass
from calkit.stats.views import MultiLabel
from calkit_torch.bridge import Accumulator, CalibrationError, DeviceMetrics
from calkit_torch.bridge.kept import keeps_rows
from calkit_torch.bridge.statistics import is_summable
from tests import reference as ref

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

SUMMABLE = [name for name in available_metrics() if is_summable(get_metric(name))]
COUNTED = [name for name in available_metrics() if keeps_rows(get_metric(name).statistic) or name in SUMMABLE]
PAIRS = ["adaece", "adaece:n_bins=7", "mce:binning=quantile"]
SPECS = [
    *SUMMABLE,
    *PAIRS,
    "ece:n_bins=10",
    "mce:n_bins=40",
    "ece:n_bins=1",
    "s99:threshold=0.6",
    "classwise_ece:n_bins=4",
]
STATISTICS = [
    UniformBins(15),
    UniformBins(7),
    RowMean("confidence"),
    RowMean("correct"),
    RowMean("nll"),
    RowMean("brier"),
    Tail(0.99),
    Tail(0.5),
    NllDerivatives(0.7),
    NllDerivatives(1.5, exponent=2),
    NllDerivatives(0.0),
    Residuals(64),
    ClasswiseBins(15),
    ClasswiseBins(3),
    EdgeBins(3, inner=(0.3, 0.6), left_closed=True),
    Cells(UniformBins(4)),
    Cells(ClasswiseBins(2)),
]

ORACLES = {
    "ece": lambda z, p, y, w: ref.ece_of_pairs(ref.pairs(p, y), weights=w),
    "mce": lambda z, p, y, w: ref.mce_of_pairs(ref.pairs(p, y), weights=w),
    "accuracy": lambda z, p, y, w: ref.mean([a for _, a in ref.pairs(p, y)], w),
    "error": lambda z, p, y, w: ref.mean([1 - a for _, a in ref.pairs(p, y)], w),
    "nll": lambda z, p, y, w: ref.mean(ref.nll_rows_from_logits(z, y), w),
    "brier": lambda z, p, y, w: ref.mean(ref.brier_rows(p, y), w),
    "adaece": lambda z, p, y, w: ref.adaece_of_pairs(ref.pairs(p, y), weights=w),
    "classwise_ece": lambda z, p, y, w: ref.classwise_ece(p, y, weights=w),
    "s99": lambda z, p, y, w: ref.tail(ref.pairs(p, y), weights=w)[0],
    "s99_accuracy": lambda z, p, y, w: ref.tail(ref.pairs(p, y), weights=w)[1],
}


def example(n=300, k=5, seed=0, scale=2.0, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(scale * rng.standard_normal((n, k))).to(dtype)
    wide = logits.double().numpy()
    y = torch.from_numpy(np.where(rng.random(n) < 0.6, wide.argmax(1), rng.integers(0, k, n)))
    return logits, y, torch.from_numpy(rng.integers(0, 4, n).astype(float))


def core(spec, logits, y, weight=None, kind="logits"):
    """calkit's value for the same numbers, widened to float64 without rounding."""
    scores = logits.double().numpy() if kind == "logits" else logits.numpy()
    predictions = calkit.Predictions(
        scores, y.numpy(), kind=kind, sample_weight=None if weight is None else weight.numpy()
    )
    return calkit.evaluate(predictions, [spec])[spec]


def agree(a, b, rtol=1e-12):
    """Summaries of one statistic: integers equal, floats to rounding."""
    assert type(a) is type(b)
    for field in a.__dataclass_fields__:
        x, y = getattr(a, field), getattr(b, field)
        if x is None or y is None:
            assert x is y
        elif np.asarray(x).dtype.kind in "iu":
            assert np.asarray(y).dtype.kind in "iu"
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-14 * max(1, np.abs(x).max()))


# Values


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "k", "scale"), [(300, 5, 2.0), (7, 3, 1.0), (500, 2, 4.0), (120, 40, 3.0)])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equals_oracle_from_logits_and_from_probabilities(name, n, k, scale, weighted):
    logits, y, weights = example(n, k, seed=n + k, scale=scale, dtype=torch.float64)
    w = weights if weighted else None
    probs = np.array([ref.softmax(row) for row in logits.tolist()])
    expected = ORACLES[name](logits.tolist(), probs, y.tolist(), None if w is None else w.tolist())
    for scores, kind in ((logits, "logits"), (torch.from_numpy(probs), "probs")):
        found = CalibrationError(name, kind=kind).update(scores, y, w).compute()
        assert isinstance(found, float)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", SPECS)
def test_equals_the_core_on_the_same_numbers(spec, dtype):
    logits, y, weight = example(400, 6, seed=3, dtype=dtype)
    for w in (None, weight):
        found = CalibrationError(spec).update(logits, y, w).compute()
        assert found == pytest.approx(core(spec, logits, y, w), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_equals_the_core_on_float32_as_it_is(spec):
    # The core may work on float32 logits in float32; its sums then carry that rounding, its counts do not.
    logits, y, _ = example(2000, 8, seed=4)
    predictions = calkit.Predictions(logits.numpy(), y.numpy(), kind="logits")
    expected = calkit.evaluate(predictions, [spec])[spec]
    assert CalibrationError(spec).update(logits, y).compute() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_summaries_are_those_of_the_core(weighted):
    logits, y, weight = example(500, 7, seed=5)
    w = weight if weighted else None
    predictions = calkit.Predictions(
        logits.double().numpy(), y.numpy(), kind="logits", sample_weight=None if w is None else w.numpy()
    )
    expected = summarize(predictions, STATISTICS)
    found = Accumulator(STATISTICS).update(logits, y, w).summaries()
    assert list(found) == STATISTICS
    for statistic in STATISTICS:
        agree(found[statistic], expected[statistic])


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype"), [(torch.float16, "f2"), (torch.float32, "f4"), (torch.float64, "f8")]
)
@pytest.mark.parametrize("n_bins", [10, 15, 25])
def test_edges_are_rounded_to_the_precision_of_probabilities(n_bins, dtype, numpy_dtype):
    # Confidences written as k / n_bins belong to the bin that ends there, whatever their precision.
    p = torch.arange(math.ceil(n_bins / 2), n_bins + 1, dtype=torch.float64).div(n_bins).to(dtype)
    y = torch.ones(len(p), dtype=torch.int64)
    found = Accumulator([UniformBins(n_bins)], kind="probs").update(p, y).summaries()[UniformBins(n_bins)]
    k = np.arange(math.ceil(n_bins / 2), n_bins + 1)
    np.testing.assert_array_equal(found.count, np.bincount(k - 1, minlength=n_bins))
    predictions = calkit.Predictions(p.numpy().astype(numpy_dtype), y.numpy(), kind="probs")
    agree(found, summarize(predictions, [UniformBins(n_bins)])[UniformBins(n_bins)])


@pytest.mark.parametrize("target", ["top", "positive:class=1", "classwise", "ordinal"])
def test_bfloat16_probabilities_are_those_of_the_core(target):
    # NumPy has no bfloat16: the core reads it as float32, in which all its numbers lie, and so has edges of float32.
    p = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1], [1.0, 0.0]], dtype=torch.bfloat16)
    y = torch.tensor([0, 1, 0, 0, 1, 0])
    specs = ["ece:n_bins=10", "s99:threshold=0.9", "nll", "decision-loss:fp=3,fn=7"]
    found = DeviceMetrics(specs, target=target, kind="probs").update(p, y).compute()
    expected = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), specs, target=target, floors=False)
    assert dict(found) == pytest.approx(dict(expected), rel=1e-12)
    bins = Accumulator([UniformBins(10)], kind="probs").update(p, y).summaries()[UniformBins(10)]
    # bfloat16 has .6015625 for .6, .69921875 for .7, .80078125 for .8 and .8984375 for .9.
    assert bins.count.tolist() == [0, 0, 0, 0, 1, 0, 2, 0, 2, 1]


@pytest.mark.parametrize("n_classes", [2, 3, 5, 7, 15])
def test_equal_logits_are_as_confident_as_a_guess(n_classes):
    # 1 / K is the upper edge of the bin it belongs to if n_bins is a multiple of K; the first class is predicted.
    y = torch.arange(n_classes)
    statistic = UniformBins(3 * n_classes)
    found = Accumulator([statistic]).update(torch.zeros(n_classes, n_classes), y).summaries()[statistic]
    assert found.count.nonzero()[0].tolist() == [2]
    assert found.correct.sum() == 1


@given(st.data())
def test_ties_go_to_the_first_class(data):
    k = data.draw(st.integers(2, 6))
    rows = data.draw(st.lists(st.lists(st.integers(-1, 1), min_size=k, max_size=k), min_size=1, max_size=20))
    y = data.draw(st.lists(st.integers(0, k - 1), min_size=len(rows), max_size=len(rows)))
    expected = sum(ref.first_of_largest(row) == label for row, label in zip(rows, y, strict=True)) / len(rows)
    for dtype in (torch.bfloat16, torch.float32):
        found = CalibrationError("accuracy").update(torch.tensor(rows, dtype=dtype), torch.tensor(y))
        assert found.compute() == expected


def test_small_losses_are_not_lost_beside_one():
    # NLL = log(1 + exp(-60)) = exp(-60) to 26 digits; log(sum of exponentials) would give 0. Brier = 2 exp(-120).
    logits, y = torch.tensor([[60.0, 0.0]]), torch.tensor([0])
    values = DeviceMetrics(["nll", "brier"]).update(logits, y).compute()
    assert values["nll"] == pytest.approx(math.exp(-60), rel=1e-14, abs=0)
    assert values["brier"] == pytest.approx(2 * math.exp(-120), rel=1e-14, abs=0)
    model = Accumulator([NllDerivatives(1.0)]).update(logits, y).summaries()[NllDerivatives(1.0)]
    assert model.derivatives[0] == pytest.approx(math.exp(-60), rel=1e-14, abs=0)


def test_huge_logits():
    logits = torch.tensor([[1.5e308, -1.5e308], [-1.5e308, 1.5e308]], dtype=torch.float64)
    values = DeviceMetrics(["nll", "ece", "brier"]).update(logits, torch.tensor([0, 0])).compute()
    assert values["nll"] == math.inf
    assert values["ece"] == 0.5
    assert values["brier"] == 1.0
    statistic = NllDerivatives(1.0, exponent=1023)
    model = Accumulator([statistic]).update(logits, torch.tensor([0, 0])).summaries()[statistic]
    d = 1.5e308 / 2**1022  # distance of the two logits in units of 2^1023
    assert model.derivatives[0] == pytest.approx(2 * math.log1p(math.exp(-d)) + d, rel=1e-14)


@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 2, 2)])
def test_pixels_are_rows(shape):
    rng = np.random.default_rng(6)
    logits = torch.from_numpy(rng.standard_normal((5, 3, *shape)))
    y = torch.from_numpy(rng.integers(0, 3, (5, *shape)))
    y[0] = 255
    weight = torch.from_numpy(rng.random((5, *shape)))
    flat = logits.movedim(1, -1).reshape(-1, 3)
    keep = (y != 255).flatten()
    for w in (None, weight, weight.flatten(1)[:, 0]):
        found = DeviceMetrics(ignore_index=255).update(logits, y, w).compute()
        rows = None
        if w is not None:
            rows = (w if w.ndim > 1 else w.reshape(-1, *[1] * len(shape)).expand(5, *shape)).flatten()[keep]
        expected = DeviceMetrics().update(flat[keep], y.flatten()[keep], rows).compute()
        assert found.n_samples == int(keep.sum())
        assert dict(found) == pytest.approx(dict(expected), rel=1e-12, nan_ok=True)


def test_one_score_is_that_of_class_one():
    logits, y, _ = example(100, 2, seed=8)
    margin = logits[:, 1] - logits[:, 0]
    for kind, scores in (("logits", margin), ("probs", torch.sigmoid(margin))):
        found = DeviceMetrics(kind=kind).update(scores, y).compute()
        for spec, value in found.items():
            assert value == pytest.approx(core(spec, scores, y, kind=kind), rel=1e-12, abs=1e-14)
        assert found.metrics[2].heading == "ECE (positive) %"
        assert found.to_dict()["targets"]["brier"] == "positive"
        for spec in ("adaece", "smece", "classwise_ece", "s99:threshold=0.7"):
            found = CalibrationError(spec, kind=kind).update(scores, y).compute()
            assert found == pytest.approx(core(spec, scores, y, kind=kind), rel=1e-11, abs=1e-13)
    metrics = DeviceMetrics(["ece"]).update(margin, y)
    with pytest.raises(InputError, match="one dimension of scores is the forecast of one event"):
        metrics.update(logits, y)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("target", ["top", "positive:class=2", "top-2", "top-4"])
def test_targets_are_those_of_the_core(target, kind, soft):
    logits, y, weight = example(200, 4, seed=12, dtype=torch.float64)
    scores = logits if kind == "logits" else logits.softmax(1)
    labels = torch.from_numpy(np.random.default_rng(5).multinomial(3, [0.25] * 4, 200)) if soft else y
    specs = SUMMABLE
    predictions = calkit.Predictions(scores.numpy(), labels.numpy(), kind=kind, sample_weight=weight.numpy())
    expected = calkit.evaluate(predictions, specs, target=target, floors=False)
    found = DeviceMetrics(specs, target=target, kind=kind)
    for rows in (slice(50), slice(50, 200)):
        found.update(scores[rows], labels[rows], weight[rows])
    found = found.compute()
    assert [m.heading for m in found.metrics] == [m.heading for m in expected.metrics]
    for spec in specs:
        assert found[spec] == pytest.approx(expected[spec], rel=1e-11, abs=1e-13, nan_ok=True), spec
    said = CalibrationError(f"brier:target={target}", kind=kind).update(scores, labels, weight).compute()
    assert said == pytest.approx(expected["brier"], rel=1e-11)


def supports(name, target):
    return (target.partition(":")[0].replace("top-2", "top-k")) in get_metric(name).definition.supports()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", ["top", "positive:class=2", "top-2", "classwise", "ordinal"])
def test_every_metric_of_every_target_is_that_of_the_core(target, dtype, kind, soft, weighted):
    logits, y, weight = example(150, 4, seed=21, dtype=dtype)
    scores = logits if kind == "logits" else logits.softmax(1)
    labels = torch.from_numpy(np.random.default_rng(5).multinomial(3, [0.25] * 4, 150)) if soft else y
    w = weight if weighted else None
    specs = [name for name in COUNTED if supports(name, target)]
    # Widened without rounding: the core may work on float32 logits in float32.
    given = scores.double() if kind == "logits" else scores
    predictions = calkit.Predictions(given, labels, kind=kind, sample_weight=w)
    expected = calkit.evaluate(predictions, specs, target=target, floors=False)
    found = DeviceMetrics(specs, target=target, kind=kind)
    for rows in (slice(50), slice(50, 150)):
        found.update(scores[rows], labels[rows], None if w is None else w[rows])
    found = found.compute()
    assert [m.heading for m in found.metrics] == [m.heading for m in expected.metrics]
    for spec in specs:
        assert found[spec] == pytest.approx(expected[spec], rel=1e-12, abs=1e-12, nan_ok=True), spec


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("logits", torch.float64), ("probs", torch.float64), ("probs", torch.float32)]
)
@pytest.mark.parametrize("k", [2, 5])
def test_labels_of_which_several_may_be_true(k, kind, dtype, weighted):
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(3 * rng.standard_normal((120, k))).to(dtype)
    scores = logits if kind == "logits" else logits.sigmoid()
    y = torch.from_numpy(rng.random((120, k))) < logits.sigmoid()
    w = torch.from_numpy(rng.integers(0, 3, 120).astype(float)) if weighted else None
    specs = [name for name in COUNTED if supports(name, "multilabel")]
    predictions = calkit.Predictions(scores, y, kind=kind, multilabel=True, sample_weight=w)
    expected = calkit.evaluate(predictions, specs, floors=False)
    for labels in (y, y.long(), y.double()):
        found = DeviceMetrics(specs, target="multilabel", kind=kind)
        for rows in (slice(50), slice(50, 120)):
            found.update(scores[rows], labels[rows], None if w is None else w[rows])
        found = found.compute()
        for spec in specs:
            assert found[spec] == pytest.approx(expected[spec], rel=1e-12, abs=1e-12, nan_ok=True), spec


def test_one_label_is_one_event():
    p, y = torch.tensor([0.7, 0.2, 0.4]), torch.tensor([1, 0, 1])
    found = CalibrationError("ece", target="multilabel", kind="probs").update(p[:, None], y[:, None]).compute()
    assert found == CalibrationError("ece", kind="probs").update(p, y).compute()


def test_pixels_of_several_labels():
    rng = np.random.default_rng(4)
    logits = torch.from_numpy(rng.standard_normal((3, 2, 4, 4)))
    y = torch.from_numpy(rng.integers(0, 2, (3, 2, 4, 4)))
    flat, labels = (x.movedim(1, -1).reshape(-1, 2) for x in (logits, y))
    found = CalibrationError("ece", target="multilabel").update(logits, y).compute()
    assert found == pytest.approx(CalibrationError("ece", target="multilabel").update(flat, labels).compute())


def test_what_several_labels_may_not_be():
    metric = CalibrationError("ece", target="multilabel")
    with pytest.raises(InputError, match=r"must have the shape \(2, 3\) of the scores and hold 0 and 1"):
        metric.update(torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"must have shape \(n, K\)"):
        metric.update(torch.zeros(2), torch.tensor([0, 1]))
    metric.update(torch.zeros(2, 3), torch.tensor([[0, 1, 2], [1, 1, 0]]))
    with pytest.raises(InputError, match="must hold 0 and 1, but 1 row has other labels"):
        metric.compute()
    with pytest.raises(InputError, match="multi-label predictions have no target 'top'"):
        DeviceMetrics(["ece:target=multilabel", "ece:target=top"])
    with pytest.raises(UsageError, match="no other target than 'multilabel'"):
        Accumulator([UniformBins(15), UniformBins(15, MultiLabel())])
    with pytest.raises(UsageError, match="defined for target"):
        DeviceMetrics(["entropy"], target="multilabel")


@pytest.mark.parametrize("target", [None, "positive", "classwise", "ordinal", "top"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_one_dimension_has_every_target(target, dtype):
    p = torch.tensor([0.7, 0.3, 0.2, 0.9, 0.5, 0.1, 0.4, 1.0, 0.0], dtype=dtype)
    y = torch.tensor([1, 0, 0, 1, 1, 0, 1, 1, 0])
    name = "classwise" if target is None else target
    specs = [*(spec for spec in COUNTED if supports(spec, name)), "ece:n_bins=10", "s99:threshold=0.7"]
    found = DeviceMetrics(specs, target=target, kind="probs").update(p, y).compute()
    expected = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), specs, target=target, floors=False)
    assert [m.heading for m in found.metrics] == [m.heading for m in expected.metrics]
    for spec in specs:
        assert found[spec] == pytest.approx(expected[spec], rel=1e-12, abs=1e-14, nan_ok=True), spec


def test_metrics_of_several_targets_share_a_pass():
    logits, y, _ = example(200, 4, seed=12, dtype=torch.float64)
    specs = [
        "ece",
        "ece:target=classwise",
        "classwise_ece",
        "nll:target=ordinal",
        "adaece",
        "adaece:target=top-2",
        "top-k",
    ]
    found = DeviceMetrics(specs).update(logits, y).compute()
    expected = calkit.evaluate(calkit.Predictions(logits, y, kind="logits"), specs, floors=False)
    assert dict(found) == pytest.approx(dict(expected), rel=1e-12)


def test_what_scores_of_one_dimension_are_judged_by_travels_with_the_state():
    logits, y, _ = example(60, 2, seed=8, dtype=torch.float64)
    margin = logits[:, 1] - logits[:, 0]
    one = DeviceMetrics(["ece", "brier"]).update(margin, y)
    for other in (
        DeviceMetrics(["ece", "brier"]).load_state_dict(one.state_dict()),
        DeviceMetrics(["ece", "brier"]) + one,
    ):
        assert other.compute() == one.compute()
        assert other.compute().metrics[0].heading == "ECE (positive) %"
        with pytest.raises(InputError, match="one dimension of scores is the forecast of one event"):
            other.update(logits, y)
    with pytest.raises(InputError, match="one dimension of scores is the forecast of one event"):
        one.merge(DeviceMetrics(["ece", "brier"]).update(logits, y))


class TestGroups:
    SITES = ("A", "B", "none", "C")

    def data(self, weighted=False):
        logits, y, weight = example(300, 4, seed=7, dtype=torch.float64)
        # Where a label is impossible under the model, NLL is infinite: in its own group alone.
        logits[0, int(y[0])] = -math.inf
        site = torch.from_numpy(np.random.default_rng(2).choice([0, 1, 3], 300))
        return logits, y, weight if weighted else None, site

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("target", [None, "positive:class=2", "top-2", "classwise", "ordinal"])
    @pytest.mark.parametrize("by", ["site", "true class", "predicted class"])
    def test_are_those_of_the_core(self, by, target, weighted):
        logits, y, weight, site = self.data(weighted)
        specs = [name for name in COUNTED if name != "tl-ece" and supports(name, target or "top")]
        columns = {"site": np.array(self.SITES)[site.numpy()]}
        predictions = calkit.Predictions(logits, y, kind="logits", sample_weight=weight, columns=columns)
        expected = calkit.evaluate(predictions, specs, target=target, by=by, floors=False)
        groups = {by: self.SITES} if by == "site" else by
        device = DeviceMetrics(specs, target=target, by=groups)
        for rows in (slice(100), slice(100, 300)):
            numbers = {"by": site[rows]} if by == "site" else {}
            device.update(logits[rows], y[rows], None if weight is None else weight[rows], **numbers)
        found = device.compute()
        assert found.by == by
        assert list(found.groups) == list(expected.groups)
        for label, group in expected.groups.items():
            assert found.groups[label].n_samples == group.n_samples
            for spec in specs:
                value = found.groups[label][spec]
                assert value == pytest.approx(group[spec], rel=1e-12, abs=1e-12, nan_ok=True), (label, spec)
        assert [found.worst(m) for m in ("ece", "nll", "brier")] == [expected.worst(m) for m in ("ece", "nll", "brier")]
        one, other = found.worst_groups["ece"], expected.worst_groups["ece"]
        assert (one.group, one.n_samples, one.n_groups) == (other.group, other.n_samples, other.n_groups)

    def test_of_one_metric(self):
        logits, y, _, site = self.data()
        found = CalibrationError("brier", by={"site": self.SITES}).update(logits, y, by=site).compute()
        expected = calkit.brier(y, logits, from_logits=True, by=np.array(self.SITES)[site.numpy()])
        assert found == pytest.approx(expected)
        assert found.groups == pytest.approx(expected.groups, rel=1e-12)
        assert (found.worst, found.counts) == (expected.worst, expected.counts)

    def test_of_labels_and_of_pixels(self):
        rng = np.random.default_rng(6)
        logits, y = torch.from_numpy(rng.standard_normal((4, 3, 2, 2))), torch.from_numpy(rng.integers(0, 3, (4, 2, 2)))
        image = torch.tensor([0, 1, 1, 0])
        found = CalibrationError("ece", by={"image": ["even", "odd"]}).update(logits, y, by=image).compute()
        for number, label in enumerate(("even", "odd")):
            alone = CalibrationError("ece").update(logits[image == number], y[image == number]).compute()
            assert found.groups[label] == pytest.approx(alone)
        shares = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
        found = CalibrationError("ece", target="multilabel", by={"half": [0, 1]})
        found = found.update(torch.zeros(3, 3), shares, by=torch.tensor([0, 0, 1])).compute()
        assert found.groups == pytest.approx({0: (0 + 0.5 + 0.5) / 3, 1: 0.5})

    def test_what_is_no_group(self):
        logits, y, _, site = self.data()
        metric = CalibrationError("ece", by={"site": ["A", "B"]}).update(logits, y, by=site)
        with pytest.raises(InputError, match=r"numbers in 0\.\.1, of the groups of 'site', but \d+ rows have others"):
            metric.compute()
        with pytest.raises(UsageError, match="by= is missing: the number of the group of each row, by 'site'"):
            metric.update(logits, y)
        with pytest.raises(UsageError, match="by= needs groups"):
            CalibrationError("ece").update(logits, y, by=site)
        with pytest.raises(InputError, match="by must hold integers"):
            metric.reset().update(logits, y, by=site.double())
        with pytest.raises(UsageError, match="there are no groups 'site'"):
            CalibrationError("ece", by="site")
        with pytest.raises(UsageError, match="must name one column"):
            CalibrationError("ece", by={})
        with pytest.raises(UsageError, match="there are no groups 'site'"):
            CalibrationError("adaece", by="site")
        with pytest.raises(UsageError, match="have no one class to be grouped by"):
            CalibrationError("ece", target="multilabel", by="true class")
        with pytest.raises(UsageError, match="have no one class to be grouped by"):
            CalibrationError("adaece", target="multilabel", by="true class")
        for labels in ([], ["A", "A"]):
            with pytest.raises(UsageError, match="must be different ones, one at least"):
                CalibrationError("ece", by={"site": labels})
        with pytest.raises(UsageError, match="by='true class' needs no values"):
            CalibrationError("ece", by={"true class": [0, 1]})

    def test_states_and_sums(self):
        logits, y, _, site = self.data()
        halves = slice(100), slice(100, 300)
        parts = [CalibrationError("brier", by={"site": self.SITES}).update(logits[h], y[h], by=site[h]) for h in halves]
        whole = CalibrationError("brier", by={"site": self.SITES}).update(logits, y, by=site).compute()
        assert (parts[0] + parts[1]).compute().groups == pytest.approx(whole.groups, rel=1e-12)
        again = CalibrationError("brier", by={"site": self.SITES}).load_state_dict(parts[0].state_dict())
        assert again.merge(parts[1]).compute().groups == pytest.approx(whole.groups, rel=1e-12)
        with pytest.raises(UsageError, match="groups"):
            CalibrationError("brier", by={"site": ["A"]}).merge(parts[0])


def test_what_is_not_counted_on_a_device_is_refused_and_not_counted_as_something_else():
    logits, y, _ = example(20, 3)
    with pytest.raises(InputError, match="which of the 3 classes is meant"):
        CalibrationError(target="positive").update(logits, y)
    with pytest.raises(UsageError, match="have target top-2, but the others have None"):
        CalibrationError(target="top-2").merge(CalibrationError())
    # The metric is that of the predicted class, also where scores have one dimension.
    margin = torch.tensor([-2.0, 0.5])
    confidence = CalibrationError("confidence").update(margin, torch.tensor([0, 1])).compute()
    assert confidence == pytest.approx(1 / 2 / (1 + math.exp(-2)) + 1 / 2 / (1 + math.exp(-0.5)))


def test_default_metrics_are_those_of_the_paper_that_are_sums():
    logits, y, _ = example()
    assert list(DeviceMetrics().update(logits, y).compute()) == [m for m in DEFAULT_METRICS if m != "adaece"]


def test_an_evaluation_says_what_was_counted():
    logits, y, weight = example(50, 4)
    found = DeviceMetrics(["ece", "ece", "nll"]).update(logits, y, weight).compute()
    assert list(found) == ["ece", "nll"]
    assert (found.n_samples, found.n_classes, found.kind) == (int((weight > 0).sum()), 4, "logits")
    assert "ECE" in str(found)


# Laws of adding


@given(st.data())
def test_any_split_gives_the_same(data):
    logits, y, weight = example(60, 4, seed=9)
    order = torch.tensor(data.draw(st.permutations(range(60))))
    cuts = sorted(data.draw(st.lists(st.integers(0, 60), max_size=6)))
    w = weight if data.draw(st.booleans()) else None
    whole = Accumulator(STATISTICS).update(logits, y, w).summaries()
    pieces, merged = Accumulator(STATISTICS), Accumulator(STATISTICS)
    for start, stop in zip([0, *cuts], [*cuts, 60], strict=True):
        rows = order[start:stop]
        batch = logits[rows], y[rows], None if w is None else w[rows]
        pieces.update(*batch)
        merged = merged + Accumulator(STATISTICS).update(*batch)
    for statistic in STATISTICS:
        agree(pieces.summaries()[statistic], whole[statistic])
        agree(merged.summaries()[statistic], whole[statistic])


@pytest.mark.parametrize("by", [None, "true class"])
@pytest.mark.parametrize("target", ["top", "classwise"])
@pytest.mark.parametrize("heavy", [None, 1e9])
def test_products_of_pairs_of_rows_do_not_depend_on_the_batches(heavy, target, by):
    """Rows of different batches are pairs as well; one weight of 1e9 among others of about 1 takes no digits off."""
    logits, y, _ = example(90, 3, seed=13, dtype=torch.float64)
    weight = None
    if heavy:
        weight = torch.from_numpy(np.random.default_rng(1).random(90))
        weight[17] = heavy
    specs = ["l2-debiased", "l2-debiased:n_bins=3,convention=t-cal", "l1-debiased", "l2-debiased:binning=netcal"]
    predictions = calkit.Predictions(logits, y, kind="logits", sample_weight=weight)
    expected = calkit.evaluate(predictions, specs, target=target, by=by, floors=False)

    def counted(rows):
        part = None if weight is None else weight[rows]
        return DeviceMetrics(specs, target=target, by=by).update(logits[rows], y[rows], part)

    cuts = slice(0, 1), slice(1, 40), slice(40, 90)
    batches = DeviceMetrics(specs, target=target, by=by)
    for rows in cuts:
        batches.update(logits[rows], y[rows], None if weight is None else weight[rows])
    first, second, third = map(counted, cuts)
    again = DeviceMetrics(specs, target=target, by=by).load_state_dict((first + second).state_dict())
    for total in (counted(slice(0, 90)), batches, first + second + third, third + (second + first), again + third):
        found = total.compute()
        assert dict(found) == pytest.approx(dict(expected), rel=1e-11, abs=1e-13)
        for label, group in found.groups.items():
            assert dict(group) == pytest.approx(dict(expected.groups[label]), rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("target", ["top", "positive:class=1", "classwise", "top-2"])
@pytest.mark.parametrize("binning", ["netcal", "torchmetrics", "r-cut", "(0,.3,.8,1)"])
def test_bins_of_other_edges_are_those_of_the_core(binning, target, dtype):
    p = torch.tensor([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], dtype=dtype)
    p, y = p.repeat(3, 1), torch.arange(3).repeat_interleave(4)
    names = ["ece", "murphy-rel", "murphy-wbv", "l1-debiased", "l2-debiased"]
    specs = [f"{name}:n_bins=10,binning={binning}" for name in names if supports(name, target)]
    found = DeviceMetrics(specs, target=target, kind="probs").update(p, y).compute()
    expected = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), specs, target=target, floors=False)
    assert dict(found) == pytest.approx(dict(expected), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_thresholds_of_kept_forecasts_are_rounded_as_those_of_the_core(dtype):
    # A stored 0.1 is not above the threshold 0.1, though its float64 may be.
    p = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.1, 0.4], [0.1, 0.2, 0.7]], dtype=dtype)
    y = torch.tensor([0, 2, 2])
    found = CalibrationError("tace:threshold=0.1,n_bins=2", kind="probs").update(p[:1], y[:1]).update(p[1:], y[1:])
    expected = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), ["tace:threshold=0.1,n_bins=2"], floors=False)
    assert found.compute() == pytest.approx(next(iter(expected.values())), rel=1e-12)


def test_small_batches_wait_and_are_counted_together(monkeypatch):
    logits, y, weight = example(60, 4, seed=9)
    counted = []
    whole = accumulator_module.Accumulator._take_in
    monkeypatch.setattr(
        accumulator_module.Accumulator,
        "_take_in",
        lambda self, batch: (counted.append(len(batch.y)), whole(self, batch)),
    )
    monkeypatch.setitem(accumulator_module._WAITING, "cpu", 100)
    metrics, expected = DeviceMetrics(["ece", "nll", "adaece"]), DeviceMetrics(["ece", "nll", "adaece"])
    expected.update(logits, y)
    counted.clear()
    for rows in torch.arange(60).split(5):
        batch = logits[rows]
        metrics.update(batch, y[rows])
        # What is done with a batch later changes nothing.
        batch.fill_(torch.nan)
    # 20 scores a batch, of which 5 make 100; what is left is counted with the result.
    assert counted == [25, 25]
    assert dict(metrics.compute()) == pytest.approx(dict(expected.compute()), rel=1e-12)
    assert counted == [25, 25, 10]
    # Weights, or another precision, are a batch of another form; a batch with many scores does not wait.
    counted.clear()
    metrics.reset().update(logits[:5], y[:5]).update(logits[:5], y[:5], weight[:5]).update(logits[:5].double(), y[:5])
    metrics.update(logits[:10], y[:10])
    assert counted == [5, 5, 10]
    assert metrics.compute().n_samples == 5 + int((weight[:5] > 0).sum()) + 5 + 10


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_working_in_pieces_gives_the_same(chunk, monkeypatch):
    logits, y, weight = example(60, 4, seed=9)
    pixels = logits.reshape(5, 4, 4, 3), y.reshape(5, 4, 3), weight.reshape(5, 4, 3)
    batches = [(logits, y), (logits, y, weight), pixels[:2], pixels]
    expected = [DeviceMetrics().update(*batch).compute() for batch in batches]
    monkeypatch.setitem(accumulator_module._CHUNK, "cpu", chunk)
    found = [DeviceMetrics().update(*batch).compute() for batch in batches]
    for a, b in zip(found, expected, strict=True):
        assert dict(a) == pytest.approx(dict(b), rel=1e-12, nan_ok=True)
        assert a.n_samples == b.n_samples


def test_weights_are_repetitions():
    logits, y, weight = example(200, 5, seed=10)
    repeated = Accumulator(STATISTICS).update(
        logits.repeat_interleave(weight.long(), 0), y.repeat_interleave(weight.long())
    )
    weighted = Accumulator(STATISTICS).update(logits, y, weight).summaries()
    for statistic, expected in repeated.summaries().items():
        for field in ("weight", "confidence", "correct", "total", "derivatives", "slope_limits", "total_weight"):
            if hasattr(expected, field):
                np.testing.assert_allclose(
                    getattr(weighted[statistic], field), getattr(expected, field), rtol=1e-12, atol=1e-12
                )


@pytest.mark.parametrize("how", ["ignore_index", "sample_weight"])
def test_rows_that_do_not_count_may_hold_anything(how):
    logits, y, _ = example(100, 5, seed=11)
    expected = Accumulator(STATISTICS).update(logits, y).summaries()
    padded = torch.cat([logits, torch.tensor([[math.nan] * 5, [math.inf] * 5, [-math.inf] * 5, [0.0] * 5])])
    labels = torch.cat([y, torch.full((4,), -100)])
    weight = None
    if how == "sample_weight":
        labels[-4:] = torch.tensor([-7, 99, 0, 1])
        weight = torch.cat([torch.ones(100), torch.zeros(4)])
    found = Accumulator(STATISTICS).update(padded, labels, weight).summaries()
    for statistic in STATISTICS:
        agree(found[statistic], expected[statistic], rtol=1e-14)


def test_float_sums_keep_what_each_addition_loses(monkeypatch):
    # As on Apple's MPS, which has no float64: beyond 2^24, float32 alone cannot count.
    for module in (accumulator_module, counted_module, sums_module):
        monkeypatch.setattr(module, "working_dtype", lambda device: torch.float32)
    logits, y, _ = example(300, 5, seed=12)
    metrics = DeviceMetrics().to("cpu").update(logits, y)
    assert metrics.state_dict()["sums"].dtype == torch.float32
    for spec, value in metrics.compute().items():
        assert value == pytest.approx(core(spec, logits, y), rel=2e-6)
    rows = torch.tensor([[1.0, 0.0]]).repeat(4097, 1), torch.zeros(4097, dtype=torch.int64)
    total = CalibrationError("accuracy").to("cpu").update(*rows)
    many = total
    for _ in range(13):
        many = many + many
    (found,) = (total + (many + total)).summaries().values()
    assert found.count == 4097 * (2**13 + 2) > 2**24
    assert found.total == found.weight == found.count


def test_sums_that_move_to_a_narrower_device_keep_their_digits(monkeypatch):
    logits, y, _ = example(301, 5, seed=12)
    metric = CalibrationError("nll").update(logits, y)
    before = metric.compute()
    for module in (accumulator_module, counted_module, sums_module):
        monkeypatch.setattr(module, "working_dtype", lambda device: torch.float32)
    assert metric.to("cpu").state_dict()["sums"].dtype == torch.float32
    # Two float32 hold 48 bits of a sum.
    assert metric.compute() == pytest.approx(before, rel=2**-47)
    monkeypatch.undo()
    wide = CalibrationError("nll").load_state_dict(metric.state_dict())
    assert wide.state_dict()["sums"].dtype == torch.float64
    assert wide.compute() == pytest.approx(before, rel=2**-47)


# State


def test_reset_forgets_and_plus_leaves_its_operands_alone():
    logits, y, _ = example()
    a, b = CalibrationError().update(logits[:100], y[:100]), CalibrationError().update(logits[100:], y[100:])
    before = a.compute(), b.compute()
    assert (a + b).compute() == pytest.approx(CalibrationError().update(logits, y).compute(), rel=1e-13)
    assert (a.compute(), b.compute()) == before
    assert a.merge(b) is a
    assert a.compute() != before[0]
    assert a.reset().update(logits[100:], y[100:]).compute() == before[1]
    with pytest.raises(InputError, match="no row has been counted"):
        a.reset().compute()


def test_state_survives_a_file():
    logits, y, weight = example()
    first = DeviceMetrics().update(logits[:200], y[:200], weight[:200])
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = DeviceMetrics().load_state_dict(torch.load(buffer, weights_only=True))
    first.update(logits[200:], y[200:], weight[200:])
    assert dict(second.update(logits[200:], y[200:], weight[200:]).compute()) == dict(first.compute())
    assert dict(copy.deepcopy(second).compute()) == dict(first.compute())


def test_a_state_is_a_copy():
    logits, y, _ = example()
    metric = CalibrationError().update(logits, y)
    state, value = metric.state_dict(), metric.compute()
    other = CalibrationError().load_state_dict(state)
    state["sums"].zero_()
    assert metric.compute() == other.compute() == value


def test_memory_is_constant():
    metric = DeviceMetrics()
    logits, y, _ = example(64, 10)
    sizes = {metric.update(logits, y).state_dict()["sums"].numel() for _ in range(5)}
    assert len(sizes) == 1
    # 5 checks; 4 sums a bin; 3 each for correct, NLL and Brier; 4 for S99; each with what rounding lost.
    assert sizes == {2 * (5 + 4 * 15 + 3 * 3 + 4)}


def test_a_batch_that_fails_leaves_nothing_behind():
    logits, y, _ = example()
    metric = CalibrationError().update(logits, y)
    before = metric.compute()
    with pytest.raises(InputError, match=r"must have shape \(300,\)"):
        metric.update(logits, y[1:])
    with pytest.raises(InputError, match="have 4 classes, but those of earlier batches had 5"):
        metric.update(logits[:, :4], y.clamp(max=3))
    assert metric.compute() == before


@pytest.mark.parametrize("mode", ["grad", "inference", "autocast"])
def test_whatever_mode_the_caller_is_in(mode):
    logits, y, _ = example(dtype=torch.bfloat16)
    expected = dict(DeviceMetrics().update(logits, y).update(logits, y).compute())
    metrics = DeviceMetrics()
    if mode == "grad":
        metrics.update(logits.clone().requires_grad_(), y)
        assert not metrics.state_dict()["sums"].requires_grad
    elif mode == "inference":
        with torch.inference_mode():
            metrics.update(logits, y)
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            metrics.update(logits, y)
    assert dict(metrics.update(logits, y).compute()) == pytest.approx(expected, rel=1e-14)
    assert torch.is_grad_enabled()


# The device


def on_meta(*tensors):
    return [None if t is None else t.to("meta") for t in tensors]


@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_updating_never_reads_a_value_back(kind, weighted, monkeypatch):
    monkeypatch.setattr("calkit_torch.bridge.shapes.refuse_meta", lambda name, value: None)
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(1, device="meta").item()
    logits, y, weight = example()
    statistics = [s for s in STATISTICS if kind == "logits" or not isinstance(s, NllDerivatives)]
    everything = Accumulator(statistics, kind=kind)
    for scores, labels, w in (
        (logits, y, weight),
        (logits.reshape(25, 5, 4, 3), y.reshape(25, 4, 3), weight.reshape(25, 4, 3)),
        (logits[:, 0], y, weight),
    ):
        everything.reset().update(*on_meta(scores, labels, w if weighted else None))
        # Small batches wait until the sums are asked for.
        everything.state_dict()
        everything = everything + everything
    assert everything.device.type == "meta"


@pytest.mark.parametrize("kind", ["logits", "probs"])
@pytest.mark.parametrize("by", ["true class", "predicted class", {"site": ["A", "B"]}])
@pytest.mark.parametrize("target", ["top", "positive:class=1", "top-2", "classwise", "ordinal", "multilabel"])
def test_no_target_and_no_group_reads_a_value_back(target, by, kind, monkeypatch):
    monkeypatch.setattr("calkit_torch.bridge.shapes.refuse_meta", lambda name, value: None)
    several = target == "multilabel"
    by = {"site": ["A", "B"]} if several else by
    specs = [name for name in SUMMABLE if name != "tl-ece" and supports(name, target)]
    scores = torch.zeros(6, 3)
    y = torch.zeros(6, 3) if several else torch.zeros(6, dtype=torch.int64)
    batches = [(scores, y)] if several or target == "positive:class=1" else [(scores, y), (scores[:, 0], y)]
    for batch in batches:
        group = on_meta(torch.zeros(6, dtype=torch.int64))[0] if isinstance(by, dict) else None
        found = DeviceMetrics(specs, target=target, by=by, kind=kind).update(*on_meta(*batch), by=group)
        assert found.state_dict()["sums"].device.type == "meta"


@pytest.mark.gpu
@needs_cuda
def test_updating_never_waits_for_cuda(monkeypatch):
    # Small batches are counted at once, as others are.
    monkeypatch.setattr(accumulator_module, "_ACCELERATOR_WAITING", 0)
    logits, y, weight = (x.cuda() for x in example())
    metrics, everything = DeviceMetrics(), Accumulator(STATISTICS)
    targets = ["brier", *(f"nll:target={word}" for word in ("top-2", "classwise", "ordinal", "positive:class=1"))]
    grouped = DeviceMetrics([*targets, "smece", "ece:target=classwise", "d2-brier"], by="true class")
    # What does not change is brought there by the first batch.
    grouped.update(logits, y)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            metrics.update(logits, y, weight)
            everything.update(logits, y)
            grouped.update(logits, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metrics.compute().n_samples == 3 * int((weight > 0).sum())


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_on_cuda_are_those_on_the_cpu(dtype):
    logits, y, weight = example(20_000, 100, seed=13, dtype=dtype)
    expected = Accumulator(STATISTICS).update(logits, y, weight).summaries()
    # Labels and weights may come from the host.
    on_device = Accumulator(STATISTICS).update(logits.cuda(), y, weight)
    assert on_device.device.type == "cuda"
    for statistic, found in on_device.summaries().items():
        # Exponentials differ in their last bit, and the higher derivatives are differences.
        agree(found, expected[statistic], rtol=1e-10)


# Rows that are kept


def test_every_metric_is_counted():
    assert available_metrics() == COUNTED


@pytest.mark.parametrize("weighted", [False, True])
def test_pairs_are_those_of_the_core(weighted):
    logits, y, weight = example(300, 5, seed=14, dtype=torch.float64)
    w = weight if weighted else None
    statistics = [Pairs(), UniformBins(15), EqualMass(10)]
    found = Accumulator(statistics).update(logits[:100], y[:100], None if w is None else w[:100])
    found.update(logits[100:], y[100:], None if w is None else w[100:])
    assert list(found.summaries()) == statistics
    keep = weight > 0 if weighted else slice(None)
    predictions = calkit.Predictions(
        logits[keep].numpy(), y[keep].numpy(), kind="logits", sample_weight=None if w is None else w[keep].numpy()
    )
    for statistic in (Pairs(), EqualMass(10)):
        agree(found.summaries()[statistic], summarize(predictions, [statistic])[statistic])


def test_pairs_are_kept_once_and_leave_with_the_state():
    logits, y, weight = example(200, 5)
    metrics = DeviceMetrics(["adaece", "adaece:n_bins=5", "mce:binning=quantile", "ece"]).update(logits, y, weight)
    assert metrics.state_dict()["pairs"].shape == (3, 200)
    other = DeviceMetrics(["adaece", "adaece:n_bins=5", "mce:binning=quantile", "ece"])
    other.load_state_dict(metrics.state_dict())
    expected = dict(metrics.update(logits.flip(0), y).compute())
    assert dict(other.update(logits.flip(0), y).compute()) == expected
    assert "pairs" not in DeviceMetrics(["ece"]).state_dict()
    with pytest.raises(InputError, match="no row has been counted"):
        metrics.reset().compute()
    assert metrics.state_dict()["pairs"].shape == (3, 0)


def test_pairs_and_classes_merge():
    logits, y, weight = example(200, 5)
    specs = ["adaece", "adaece:target=classwise", "tace", "classwise_ece", "smece", "nll"]
    whole = DeviceMetrics(specs).update(logits, y, weight).compute()
    a = DeviceMetrics(specs).update(logits[:50], y[:50], weight[:50])
    b = DeviceMetrics(specs).update(logits[50:], y[50:], weight[50:])
    for parts in ((a, b), (DeviceMetrics(specs), a, b), (a, DeviceMetrics(specs), b)):
        total = DeviceMetrics(specs).merge(*parts)
        assert dict(total.compute()) == pytest.approx(dict(whole), rel=1e-12)
    assert dict((a + b).compute()) == pytest.approx(dict(whole), rel=1e-12)
    # Of a row probability and outcome of its top label, of each of five classes (twice), and its weight.
    assert a.state_dict()["pairs"].shape == (23, 50)


# What is wrong


LOGITS, Y = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]]), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 3], "y must lie in 0..2 .*but 1 row has other labels.*ignore_index"), ([-1, 7], "2 rows have other labels")],
)
def test_impossible_labels_are_reported_with_the_result(labels, message):
    metric = CalibrationError().update(LOGITS, Y).update(LOGITS, torch.tensor(labels)).update(LOGITS, Y)
    with pytest.raises(InputError, match=message):
        metric.compute()
    assert metric.reset().update(LOGITS, Y).compute() > 0


@pytest.mark.parametrize("statistic", ["nll", "brier", "ece", NllDerivatives(0.7), NllDerivatives(0.0)])
def test_masked_logits_have_probability_0(statistic):
    """A column of -inf changes nothing but the number of classes."""
    wider = torch.cat([LOGITS, torch.full((2, 1), -math.inf)], dim=1).double()
    if isinstance(statistic, str):
        values = [DeviceMetrics([statistic]).update(z, Y).compute()[statistic] for z in (LOGITS.double(), wider)]
        assert values[0] == pytest.approx(values[1], rel=1e-14)
        return
    models = [Accumulator([statistic]).update(z, Y).summaries()[statistic] for z in (LOGITS.double(), wider)]
    np.testing.assert_allclose(models[1].derivatives, models[0].derivatives, rtol=1e-13)
    np.testing.assert_allclose(models[1].slope_limits, models[0].slope_limits, rtol=1e-13)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_logits_that_are_not_finite(bad, column):
    logits = LOGITS.clone()
    logits[1, column] = bad
    with pytest.raises(InputError, match="logits must be finite, but 1 row has NaN or infinity"):
        CalibrationError().update(logits, Y).compute()


@pytest.mark.parametrize("bad", [[0.5, 0.6], [1.2, -0.2], [math.nan, 1.0], [2.0, 0.0], [0.2, 0.2]])
def test_rows_that_are_no_probabilities(bad):
    probs = torch.tensor([[0.5, 0.5], bad])
    with pytest.raises(InputError, match="rows of probabilities must lie in .* but 1 row has others.*kind='logits'"):
        CalibrationError(kind="probs").update(probs, torch.tensor([0, 1])).compute()


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_impossible_weights(bad):
    with pytest.raises(InputError, match="sample_weight must be finite and not negative, but 1 row has other"):
        CalibrationError().update(LOGITS, Y, torch.tensor([1.0, bad])).compute()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], Y), "the scores must be a torch.Tensor, but is of type list"),
        ((LOGITS, [0, 2]), "y must be a torch.Tensor"),
        ((LOGITS, Y, 1.0), "sample_weight must be a torch.Tensor"),
        ((LOGITS.long(), Y), "floating-point numbers, but have dtype torch.int64"),
        ((LOGITS, Y.float()), r"y must hold integers.*torch.float32.*y.long\(\)"),
        ((LOGITS, Y[:1]), r"y must have shape \(2,\) for scores of shape \(2, 3\).*has shape \(1,\)"),
        ((LOGITS.reshape(1, 2, 3), Y), r"y must have shape \(1, 3\)"),
        ((torch.tensor(1.0), Y), r"must have shape \(n, K\)"),
        ((torch.zeros(2, 0), Y), r"must have shape \(n, K\)"),
        ((LOGITS[:, :1], Y), "one class leaves nothing to choose"),
        ((LOGITS, Y, torch.ones(3)), r"sample_weight must hold real numbers of shape \(2,\)"),
    ],
)
def test_shapes_and_types_are_checked_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        CalibrationError().update(*arguments)


def test_choices():
    with pytest.raises(NotFoundError, match="unknown metric 'eec'. Did you mean 'ece'"):
        CalibrationError("eec")
    with pytest.raises(UsageError, match="kind must be one of logits, probs, but is 'confidence'"):
        CalibrationError(kind="confidence")
    with pytest.raises(InputError, match="metrics is empty"):
        DeviceMetrics([])
    with pytest.raises(UsageError, match="'what' cannot be accumulated on a device.*UniformBins"):
        Accumulator(["what"])
    unknown = dataclasses.replace(get_metric("ece"), statistic=LogitGap())
    with pytest.raises(UsageError, match=r"ece cannot be .* device: .*LogitGap, .*UniformBins.*\['ece'\]"):
        CalibrationError(unknown)
    with pytest.raises(UsageError, match="needs logits, but kind is 'probs'"):
        Accumulator([NllDerivatives(1.0)], kind="probs")
    assert repr(CalibrationError("ece:n_bins=25")) == "CalibrationError('ece:n_bins=25')"
    assert repr(DeviceMetrics("ece")) == "DeviceMetrics(['ece'])"


def test_only_sums_of_the_same_things_add():
    logits, y, _ = example()
    ece = CalibrationError().update(logits, y)
    with pytest.raises(UsageError, match="statistics .*n_bins=15.* but the others have .*n_bins=10"):
        ece + CalibrationError("ece:n_bins=10").update(logits, y)
    with pytest.raises(UsageError, match="kind logits, but the others have probs"):
        ece.load_state_dict(CalibrationError(kind="probs").state_dict())
    with pytest.raises(UsageError, match="the others have None"):
        ece.load_state_dict({})
    with pytest.raises(CalkitError, match="5 and 3 classes"):
        ece.merge(CalibrationError().update(LOGITS, Y))
    with pytest.raises(TypeError):
        ece + 1
    # ECE and MCE are two functions of the same sums.
    assert CalibrationError("mce").merge(ece).compute() == CalibrationError("mce").update(logits, y).compute()


def test_a_batch_without_rows_changes_nothing():
    logits, y, _ = example()
    metric = CalibrationError().update(logits[:0], y[:0]).update(logits, y)
    assert metric.compute() == CalibrationError().update(logits, y).compute()


def test_tensors_without_numbers_are_refused() -> None:
    metrics = DeviceMetrics(["ece"])
    y = torch.tensor([0, 1])
    for scores, labels in ((torch.empty(2, 2, device="meta"), y), (torch.zeros(2, 2), y.to("meta"))):
        with pytest.raises(InputError, match="lies on the meta device"):
            metrics.update(scores, labels)


SOFT = np.random.default_rng(5)
SOFT_LOGITS = SOFT.normal(0, 2, (60, 4))
SOFT_LOGITS[3, 1] = -np.inf
SHARES = SOFT.dirichlet(np.full(4, 0.5), 60)
# A class that is masked may have no share, else the likelihood is 0.
SHARES[3] = [0.25, 0, 0.75, 0]
COUNTS = SOFT.multinomial(5, SHARES)


class TestSoftLabels:
    """Against the core, which has the rule and the values; its own tests compare it with loops."""

    @pytest.mark.parametrize(
        "y", [SHARES, COUNTS, np.eye(4)[COUNTS.argmax(axis=1)]], ids=["shares", "votes", "one-hot"]
    )
    @pytest.mark.parametrize("kind", ["logits", "probs"])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_every_metric_is_that_of_the_core(self, y, kind, weighted):
        scores = SOFT_LOGITS if kind == "logits" else np.exp(SOFT_LOGITS) / np.exp(SOFT_LOGITS).sum(1, keepdims=True)
        weight = np.arange(60) % 3 if weighted else None
        device = DeviceMetrics(SPECS, kind=kind)
        for rows in (slice(0, 25), slice(25, 60)):
            part = None if weight is None else torch.tensor(weight[rows])
            device.update(torch.tensor(scores[rows]), torch.tensor(y[rows]), part)
        data = calkit.Predictions(scores, y, kind=kind, sample_weight=weight)
        expected = calkit.evaluate(data, SPECS, floors=False)
        found = device.compute()
        for metric in SPECS:
            assert found[metric] == pytest.approx(expected[metric], rel=1e-9, abs=1e-12), metric

    def test_by_hand(self):
        # p = (.5, .25, .25), shares (.6, .4, 0): accuracy .6; -.6 ln .5 - .4 ln .25 = 1.4 ln 2;
        # Brier (.25 + .0625 + .0625) - 2 (.3 + .1) + 1 = .575, the mean over votes.
        scores = torch.tensor([[0.5, 0.25, 0.25]]).double()
        found = DeviceMetrics(["accuracy", "nll", "brier"], kind="probs")
        found.update(scores, torch.tensor([[0.6, 0.4, 0.0]]))
        value = found.compute()
        assert value["accuracy"] == pytest.approx(0.6, rel=1e-6)
        assert value["nll"] == pytest.approx(1.4 * math.log(2), rel=1e-6)
        assert value["brier"] == pytest.approx(0.575, rel=1e-6)

    def test_pixels_and_events(self):
        scores, shares = (torch.tensor(x[:60]).reshape(5, 3, 4, 4).movedim(-1, 1) for x in (SOFT_LOGITS, SHARES))
        found = DeviceMetrics(["nll", "ece"]).update(scores, shares).compute()
        expected = calkit.evaluate(calkit.Predictions(SOFT_LOGITS, SHARES, kind="logits"), ["nll", "ece"])
        assert found["nll"] == pytest.approx(expected["nll"], rel=1e-12)
        assert found["ece"] == pytest.approx(expected["ece"], rel=1e-12)
        # One column, and the shares of both classes: the event came in .5 and 1 of the cases, of .75 and .5.
        event = DeviceMetrics(["ece"], kind="probs")
        event.update(torch.tensor([0.75, 0.5]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
        assert event.compute()["ece"] == pytest.approx((0.25 + 0.5) / 2)

    @pytest.mark.parametrize(
        "y", [[[0.5, 0.4]], [[1.5, -0.5]], [[math.nan, 1.0]], [[0, 0]], [[1, 1]], [[True, True]]], ids=str
    )
    def test_what_is_no_share_is_refused_as_in_the_core(self, y):
        found = DeviceMetrics(["nll"]).update(torch.zeros(1, 2), torch.tensor(y))
        with pytest.raises(InputError, match="shares that sum to 1"):
            found.compute()
        with pytest.raises(InputError, match="shares of the classes that sum to 1"):
            calkit.Predictions(np.zeros((1, 2)), np.array(y), kind="logits")
        # Weight 0 counts as absent.
        found.reset()
        found.update(torch.zeros(2, 2), torch.tensor([*y, y[0]]), torch.tensor([0.0, 0.0]))
        found.update(torch.zeros(1, 2), torch.tensor([0]))
        assert found.compute()["nll"] == pytest.approx(math.log(2))

    def test_no_value_is_read(self, monkeypatch):
        monkeypatch.setattr("calkit_torch.bridge.shapes.refuse_meta", lambda name, value: None)
        everything = DeviceMetrics(SUMMABLE)
        for y in (SHARES, COUNTS):
            everything.reset().update(*on_meta(torch.tensor(SOFT_LOGITS), torch.tensor(y)))
            everything.state_dict()
        assert everything.device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_one_dimension_of_low_precision_keeps_the_other_class_in_float64(dtype):
    # 1 - 0.0001 has no number in half precision; a stored 1 leaves 0, the smallest number of the stored precision.
    p, y = torch.tensor([0.7, 1e-4, 0.3, 1.0], dtype=dtype), torch.tensor([1, 0, 0, 0])
    predictions = calkit.Predictions(p.numpy(), y.numpy(), kind="probs")
    for spec in ("nll", "brier", "ece:n_bins=10"):
        found = DeviceMetrics([spec], kind="probs").update(p, y).compute()[spec]
        assert found == pytest.approx(calkit.evaluate(predictions, [spec], floors=False)[spec], rel=1e-12)


# Sums of these stand on edges of bins, on the threshold or tie, but for rounding: .1 + .2 and .3, 1 - .7 and .3.
TYING = [
    [0.1, 0.2, 0.3, 0.4],
    [0.4, 0.3, 0.2, 0.1],
    [0.25, 0.25, 0.25, 0.25],
    [0.7, 0.1, 0.1, 0.1],
    [0.3, 0.3, 0.3, 0.1],
    [0.9, 0.09, 0.01, 0.0],
    [1.0, 0.0, 0.0, 0.0],
    [0.2, 0.2, 0.2, 0.4],
]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("target", ["top-1", "top-2", "top-3", "positive:class=1"])
def test_edges_and_ties_are_those_of_the_core(target, dtype):
    rows = torch.tensor(TYING, dtype=torch.float64)
    # Each row with each class for its truth; and beside 60 classes, where two of them have less than 1/2 together.
    scores = rows.repeat_interleave(4, 0).to(dtype)
    wide = torch.cat([scores / 10, torch.full((len(scores), 60), 0.015, dtype=dtype)], dim=1)
    for p in (scores, wide):
        y = torch.arange(4).repeat(len(rows))
        specs = ["ece:n_bins=10", "ece:n_bins=20", "mce:n_bins=5", "s99:threshold=0.5", "s99:threshold=0.3", "accuracy"]
        specs += ["decision-loss", "decision-loss:fp=3,fn=7"]
        found = DeviceMetrics(specs, target=target, kind="probs").update(p, y).compute()
        expected = calkit.evaluate(calkit.Predictions(p, y, kind="probs"), specs, target=target, floors=False)
        for spec in specs:
            assert found[spec] == pytest.approx(expected[spec], rel=1e-12, abs=1e-14), spec


def test_top_k_counts_a_decision_also_below_one_half():
    p = torch.full((4, 10), 0.1, dtype=torch.float64)
    # The first two of equal scores are the best: 2 of 4 labels are among them, though they have 0.2 together.
    y = torch.tensor([0, 1, 2, 9])
    assert CalibrationError("accuracy", target="top-2", kind="probs").update(p, y).compute() == 0.5
    assert calkit.evaluate(calkit.Predictions(p.numpy(), y.numpy(), kind="probs"), ["accuracy"], target="top-2")[
        "accuracy"
    ] == pytest.approx(0.5)
