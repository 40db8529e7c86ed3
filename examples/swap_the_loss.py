"""Replace the loss of a training loop in one line.

The loop below is a plain one: a small network learns scikit-learn's handwritten digits from few images. It runs
twice, with PyTorch's cross-entropy and with the sample-dependent focal loss of the paper; only the line that names
the loss differs.

    python examples/swap_the_loss.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import calkit
from calkit_torch.losses import get_loss


def train(x: Tensor, y: Tensor, loss_fn: nn.Module, epochs: int = 60) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(y)), 32):
            optimizer.zero_grad()
            loss_fn(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y), train_size=200, random_state=0, stratify=y
    )
    losses = {"cross-entropy": nn.CrossEntropyLoss(), "FLA-53": get_loss("FLA-53")}
    print(f"{'loss':15}{'accuracy':>10}{'ECE':>8}{'NLL':>8}{'|S99|':>8}")
    for name, loss_fn in losses.items():
        model = train(x_train, y_train, loss_fn)
        with torch.no_grad():
            predictions = calkit.Predictions(model(x_test), y_test, kind="logits")
        found = calkit.evaluate(predictions, ["accuracy", "ece", "nll", "s99"])
        print(f"{name:15}{found['accuracy']:10.3f}{found['ece']:8.4f}{found['nll']:8.4f}{found['s99']:8.3f}")


if __name__ == "__main__":
    main()
