"""Calibration in a Lightning training: logged, calibrated and kept for calkit.

The module returns logits and labels from ``validation_step``; the callback does the rest. Beside the metrics it logs,
it leaves ``logits.npz`` and ``calibrator.json``.

    pip install lightning
    python examples/lightning_callback.py [FOLDER]
"""

# ruff: noqa: ARG002 (Lightning gives batch_idx)

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

import calkit
from calkit_torch.integrations.lightning import CalibrationCallback
from calkit_torch.losses import get_loss
from calkit_torch.models import get_model


class Digits(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = get_model("mlp", n_classes=10, in_features=64)
        self.loss = get_loss("FLA-53")

    def training_step(self, batch, batch_idx):
        return self.loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        return {"logits": self.net(batch[0]), "labels": batch[1]}

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    pixels, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels))
    parts = random_split(data, [300, 598, 899], generator=torch.Generator().manual_seed(0))
    training, validation, test = (DataLoader(part, batch_size=100) for part in parts)

    calibration = CalibrationCallback(folder)
    trainer = pl.Trainer(
        max_epochs=40,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[calibration],
    )
    module = Digits()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on worker processes
        trainer.fit(module, training, validation)
        trainer.test(module, test, verbose=False)
    print(f"test ECE {trainer.callback_metrics['test_ece']:.4f}, temperature {calibration.calibrator.temperature_:.3f}")
    print(f"wrote {folder / 'logits.npz'} and {folder / 'calibrator.json'}; the same by calkit:")
    calibrator = calkit.load_calibrator(folder / "calibrator.json")
    predictions = calkit.load_predictions(folder / "logits.npz", split="test")
    print(calkit.evaluate(calibrator.apply(predictions), ["error", "ece", "adaece", "nll"]))


if __name__ == "__main__":
    main()
