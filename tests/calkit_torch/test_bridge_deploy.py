"""A network with its temperature inside: the same numbers as the calibrator, wherever it goes."""

import copy
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from calkit import TemperatureScaling
from calkit.calibrators import Calibrator
from calkit.errors import InputError, UsageError
from calkit_torch.bridge import TemperatureScaled, predict

# The first axis of the one positional input may have any length.
ANY_NUMBER = {"args": ({0: torch.export.Dim.DYNAMIC},)}


def network(n_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, n_classes)).eval()


def inputs(n=20):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def calibrator():
    x = inputs(300)
    y = torch.randint(0, 3, (300,), generator=torch.Generator().manual_seed(2))
    y[:150] = network()(x)[:150].argmax(1)
    fitted = TemperatureScaling().fit_predictions(predict(network(), [(x, y)]))
    assert not 0.9 < fitted.temperature_ < 1.1  # else these tests could not tell it from 1
    return fitted


@torch.no_grad()
def test_gives_what_the_calibrator_gives(calibrator):
    model, x = network(), inputs()
    logits = model(x)
    scaled = TemperatureScaled(model, calibrator)(x)
    np.testing.assert_array_equal(scaled.numpy(), (logits.numpy() / np.float32(calibrator.temperature_)))
    probs = TemperatureScaled(model, calibrator, returns="probs")(x)
    np.testing.assert_allclose(probs.numpy(), calibrator.predict_proba(logits.numpy()), rtol=1e-6)
    assert torch.equal(probs.argmax(1), logits.argmax(1))
    by_number = TemperatureScaled(model, calibrator.temperature_, returns="probs")(x)
    assert torch.equal(by_number, probs)


@torch.no_grad()
def test_a_temperature_of_one_changes_nothing():
    model, x = network(), inputs()
    assert torch.equal(TemperatureScaled(model, 1)(x), model(x))


@torch.no_grad()
def test_one_logit_is_that_of_class_one():
    model = nn.Sequential(network(1), nn.Flatten(0))
    x = inputs()
    fitted = TemperatureScaling().fit(model(x).numpy(), [0, 1] * 10)
    probs = TemperatureScaled(model, fitted, returns="probs")(x)
    np.testing.assert_allclose(probs.numpy(), fitted.predict_proba(model(x).numpy())[:, 1], rtol=1e-5)
    with pytest.raises(InputError, match="softmax makes certain; .*squeeze"):
        TemperatureScaled(network(1), fitted, returns="probs")(x)
    squeezed = TemperatureScaled(network(1), fitted, returns="probs", output=lambda z: z.squeeze(1))
    assert torch.equal(squeezed(x), probs)


@torch.no_grad()
def test_pixels():
    model, x = nn.Conv2d(2, 3, 1), torch.randn(2, 2, 4, 5)
    probs = TemperatureScaled(model, 2.0, returns="probs")(x)
    assert probs.shape == (2, 3, 4, 5)
    torch.testing.assert_close(probs.sum(1), torch.ones(2, 4, 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_does_not_round_the_temperature(dtype):
    model, x = network(), inputs()
    scaled = TemperatureScaled(model, 1.2345678).to(dtype)(x.to(dtype))
    assert scaled.dtype == torch.float32
    expected = model(x.to(dtype)).float().numpy() / np.float32(1.2345678)
    np.testing.assert_array_equal(scaled.numpy(), expected)


@torch.no_grad()
def test_whatever_the_model_takes_and_returns():
    class Model(nn.Module):
        def forward(self, a, *, b):
            return {"logits": a * b}

    scaled = TemperatureScaled(Model(), 2.0, output=lambda found: found["logits"])
    assert torch.equal(scaled(torch.ones(2, 3), b=4.0), torch.full((2, 3), 2.0))


@torch.no_grad()
def test_the_temperature_is_part_of_the_state(calibrator):
    x = inputs()
    scaled = TemperatureScaled(network(), calibrator)
    buffer = io.BytesIO()
    torch.save(scaled.state_dict(), buffer)
    buffer.seek(0)
    other = TemperatureScaled(network(), 1.0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.temperature == calibrator.temperature_
    assert torch.equal(other(x), scaled(x))
    assert torch.equal(copy.deepcopy(scaled)(x), scaled(x))
    assert f"temperature={calibrator.temperature_:.6g}" in repr(scaled)


def test_gradients_and_modes_pass_through():
    model = network()
    scaled = TemperatureScaled(model, 2.0)
    scaled.train()
    assert model.training
    scaled(inputs()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("returns", ["logits", "probs"])
@torch.no_grad()
def test_exported_program(calibrator, returns):
    scaled = TemperatureScaled(network(), calibrator, returns=returns)
    program = torch.export.export(scaled, (inputs(),), dynamic_shapes=ANY_NUMBER)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    for n in (2, 20, 33):
        assert torch.equal(loaded(inputs(n)), scaled(inputs(n)))


@torch.no_grad()
def test_onnx(calibrator, tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason=f"exporting to ONNX needs {name}")
    onnxruntime = pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    scaled = TemperatureScaled(network(), calibrator, returns="probs")
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        # torch's exporter calls functions that torch and its dependencies have deprecated.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            scaled, (inputs(),), dynamo=True, dynamic_shapes=ANY_NUMBER, input_names=["x"], verbose=False
        )
        program.save(path)
    session = onnxruntime.InferenceSession(path)
    for n in (2, 20, 33):
        (probs,) = session.run(None, {"x": inputs(n).numpy()})
        np.testing.assert_allclose(probs, scaled(inputs(n)).numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_impossible_temperatures(temperature):
    with pytest.raises(InputError, match="temperature must be a positive number, but is"):
        TemperatureScaled(network(), temperature)


def test_other_calibrators_are_refused():
    class Other(Calibrator):
        name = "other"

        def _fit(self, predictions):
            pass

        def _log_proba(self, logits):
            return logits

    with pytest.raises(UsageError, match=r"but is a Other; other calibrators go behind the model"):
        TemperatureScaled(network(), Other().fit(np.eye(3) * 2, [0, 1, 2]))
    with pytest.raises(UsageError, match="but is a str"):
        TemperatureScaled(network(), "cal.json")
    with pytest.raises(UsageError, match="returns must be one of logits, probs, but is 'labels'"):
        TemperatureScaled(network(), 2.0, returns="labels")


def test_calibrators_must_be_fitted():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        TemperatureScaled(network(), TemperatureScaling())
