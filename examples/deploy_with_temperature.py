"""Train a small network, give it a temperature, and ship both as one program.

A multilayer perceptron learns scikit-learn's handwritten digits, seen through noise, until it is almost always sure.
A temperature is fitted on validation images, put into the model, and the whole is exported with ``torch.export``: what
is loaded again needs neither calkit nor the model's code, and its probabilities are calibrated. With ``onnx`` and
``onnxscript`` installed it is written as ONNX too.

Run it with ``python examples/deploy_with_temperature.py [FOLDER]``; it takes some seconds on a CPU.
"""

import importlib.util
import sys
import warnings
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

from calkit import TemperatureScaling
from calkit_torch.bridge import TemperatureScaled, evaluate_model, predict
from calkit_torch.losses import get_loss
from calkit_torch.models import get_model

METRICS = ["error", "ece", "nll"]
NOISE = 4.0  # standard deviation, in grey levels of 0..16
# Programs take batches of any size: axis 0 of the model's one positional input may vary.
ANY_BATCH = {"args": ({0: torch.export.Dim.DYNAMIC},)}


def load_data(generator: torch.Generator) -> list[DataLoader]:
    """Return loaders of training, validation and test images."""
    pixels, labels = (torch.from_numpy(x) for x in load_digits(return_X_y=True))
    pixels = (pixels + NOISE * torch.randn(pixels.shape, generator=generator, dtype=pixels.dtype)).float() / 16
    parts = random_split(TensorDataset(pixels, labels), [300, 598, 899], generator=generator)
    return [DataLoader(part, batch_size=128) for part in parts]


def train(model: torch.nn.Module, loader: DataLoader, epochs: int = 300) -> None:
    loss = get_loss("ce")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()


def export(model: torch.nn.Module, example: torch.Tensor, folder: Path) -> Path:
    """Write the model as a program, and as ONNX if that can be; return the path of the program."""
    path = folder / "digits.pt2"
    model.eval()
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=ANY_BATCH), path)
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporter, about torch itself
            program = torch.onnx.export(
                model, (example,), dynamic_shapes=ANY_BATCH, dynamo=True, input_names=["pixels"], verbose=False
            )
        program.save(folder / "digits.onnx")
    return path


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    generator = torch.Generator().manual_seed(0)
    training, validation, test = load_data(generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_model("mlp", n_classes=10, in_features=64)
        train(model, training)

    print("Before\n" + str(evaluate_model(model, test, METRICS)))
    calibrator = TemperatureScaling().fit_predictions(predict(model, validation))
    calibrated = TemperatureScaled(model, calibrator, returns="probs")
    print(f"\nTemperature {calibrator.temperature_:.3f}\n\nAfter")
    print(evaluate_model(calibrated, test, METRICS, kind="probs"))

    images, _ = next(iter(test))
    path = export(calibrated, images, folder)
    with torch.no_grad():
        shipped = torch.export.load(path).module()(images[:7])
        same = torch.allclose(shipped, calibrated(images[:7]), atol=1e-6)
    print(f"\nwrote {path}; loaded again, it gives the same probabilities: {same}")


if __name__ == "__main__":
    main()
