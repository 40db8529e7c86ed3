"""Calibrators as torch modules and ONNX files."""

import warnings

import numpy as np
import pytest
import torch

from calkit.calibrators import CALIBRATORS, available_calibrators, get_calibrator
from calkit.errors import CalibrationWarning, CalkitError, UsageError
from calkit_torch.bridge import export_onnx, to_torch

#: What has no formula: tables, composed ones, and maps with an inverse temperature of each row.
WITHOUT = {
    *("adaptive-temperature", "class-temperature", "focal-map", "by-column", "one-vs-rest", "top-label"),
    *("bbq", "histogram", "isotonic", "centred-isotonic", "near-isotonic", "scaling-binning", "top-label-histogram"),
    *("cdf-spline", "spline", "venn-abers", "venn-abers-one-vs-one"),
}


def fitted(name):
    k = 2 if CALIBRATORS[name].binary_only else 4
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, k)) * 3
    y = (logits / 2 + np.arange(k) / 3 - np.log(-np.log(rng.random((300, k))))).argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        return get_calibrator(name).fit(logits, y), logits


@pytest.mark.parametrize("name", sorted(set(available_calibrators()) - WITHOUT))
@torch.no_grad()
def test_modules_are_the_calibrators(name):
    calibrator, logits = fitted(name)
    module = to_torch(calibrator)
    np.testing.assert_allclose(module(torch.from_numpy(logits)).numpy(), calibrator.predict_proba(logits), atol=1e-12)
    logs = to_torch(calibrator, returns="logits")(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(logs, calibrator.predict_log_proba(logits), atol=1e-9)
    half = module(torch.from_numpy(logits).bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize("name", sorted(set(available_calibrators()) - WITHOUT - {"auto"}))
@pytest.mark.parametrize("mask", [-1e30, float(np.finfo(np.float32).min)])
@torch.no_grad()
def test_masks_in_single_precision(name, mask):
    calibrator, logits = fitted(name)
    masked = logits[:20].astype(np.float32)
    masked[np.arange(20), np.arange(20) % masked.shape[1]] = mask
    found = to_torch(calibrator)(torch.from_numpy(masked)).numpy()
    np.testing.assert_allclose(found, calibrator.predict_proba(masked), atol=2e-5)


@pytest.mark.parametrize("name", ["bcts", "vector", "nbvs", "platt", "quadratic", "prior"])
@torch.no_grad()
def test_edge_rows_of_maps_with_negative_scales(name):
    _, logits = fitted(name)
    k = logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        # The first class is the more probable the lower its logit.
        calibrator = get_calibrator(name).fit(-logits, logits.argmax(axis=1))
    rows = np.concatenate([logits[:10], logits[:10] * 1e4, np.round(logits[:10]), np.zeros((1, k)), -1e30 * np.eye(k)])
    rows[::4, 0] = -np.inf
    for given in (rows, rows.astype(np.float32), rows[:1]):
        found = to_torch(calibrator)(torch.from_numpy(given)).numpy()
        np.testing.assert_allclose(found, calibrator.predict_proba(given), atol=1e-9 if given is rows else 1e-3)


@pytest.mark.parametrize("target", [[1, 0, 0], [0.5, 0.5, 0]])
@torch.no_grad()
def test_rows_whose_classes_have_frequency_0_stay(target):
    calibrator = get_calibrator("prior").set_params(target_prior=target).fit(np.zeros((2, 3)))
    logits = np.array([[-np.inf, -np.inf, 1.0], [-np.inf, np.log(3.0), 0.0], [0.0, 1.0, 2.0]])
    expected = calibrator.predict_proba(logits)
    np.testing.assert_allclose(expected[0], [0, 0, 1])
    for returns, values in (("probs", expected), ("logits", calibrator.predict_log_proba(logits))):
        found = to_torch(calibrator, returns=returns)(torch.from_numpy(logits)).numpy()
        np.testing.assert_allclose(found, values, rtol=1e-12)


@pytest.mark.parametrize("name", ["temperature", "ets", "svs", "bcts", "vector", "beta"])
@torch.no_grad()
def test_tiny_logits_in_single_precision(name):
    """Parameters multiply log-probabilities by 5e4, which in float32 alone have an error of 6e-8."""
    _, logits = fitted(name)
    logits *= 1e-5
    y = (logits * 5e4 + np.random.default_rng(1).gumbel(size=logits.shape)).argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        calibrator = get_calibrator(name).fit(logits, y)
    rows = logits[:50].astype(np.float32)
    expected = calibrator.predict_proba(rows.astype(np.float64))
    assert np.ptp(expected[:, 0]) > 0.5
    np.testing.assert_allclose(calibrator.predict_proba(rows), expected, atol=2e-6)
    np.testing.assert_allclose(to_torch(calibrator)(torch.from_numpy(rows)).numpy(), expected, atol=2e-6)


@torch.no_grad()
def test_two_classes_of_auto():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 2)) * 3
    calibrator = get_calibrator("auto").fit(logits, (logits[:, 1] - logits[:, 0]) / 3 + rng.logistic(size=500) > 0.3)
    assert calibrator.kept_
    found = to_torch(calibrator)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, calibrator.predict_proba(logits), atol=1e-12)


@pytest.mark.parametrize("name", sorted(WITHOUT & set(available_calibrators())))
def test_the_others_are_refused(name):
    with pytest.raises(UsageError, match="has no formula that torch could compute"):
        to_torch(fitted(name)[0])


def test_a_difference_is_found():
    calibrator, _ = fitted("vector")

    class Wrong(type(calibrator)):
        def _proba(self, logits):
            return super()._proba(logits + 1e-3 * np.arange(4))

    calibrator.__class__ = Wrong
    with pytest.raises(CalkitError, match="gives other probabilities than the calibrator"):
        to_torch(calibrator)


@pytest.mark.parametrize("name", ["temperature", "sms", "quadratic", "auto"])
def test_onnx_files(name, tmp_path):
    for needed in ("onnx", "onnxscript"):
        pytest.importorskip(needed, reason=f"exporting to ONNX needs {needed}")
    onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    calibrator, logits = fitted(name)
    export_onnx(calibrator, tmp_path / "cal.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["cal.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "cal.onnx")
    (probs,) = session.run(None, {"logits": logits.astype(np.float32)})
    np.testing.assert_allclose(probs, calibrator.predict_proba(logits), atol=1e-5)


def test_a_wrong_onnx_file_is_not_written(tmp_path, monkeypatch):
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed, reason=f"exporting to ONNX needs {needed}")
    calibrator, _ = fitted("vector")
    monkeypatch.setattr("calkit_torch.bridge.export._CLOSE_SINGLE", 0.0)
    with pytest.raises(CalkitError, match="the ONNX file gives other probabilities"):
        export_onnx(calibrator, tmp_path / "cal.onnx")
    assert list(tmp_path.iterdir()) == []


@torch.no_grad()
def test_a_mixture_of_three():
    # Temperature, the probabilities as they were, and the uniform distribution of the possible classes.
    calibrator, logits = fitted("ets")
    calibrator.weights_ = np.array([0.5, 0.3, 0.2])
    logits[::3, 1] = -np.inf
    found = to_torch(calibrator)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, calibrator.predict_proba(logits), atol=1e-12)
    assert (found[::3, 1] == 0).all()
