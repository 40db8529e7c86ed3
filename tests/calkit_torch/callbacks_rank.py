"""Training with all that measures, for test_callbacks_ranks.py: on one process or on two."""

from __future__ import annotations

from calkit_torch.data import get_dataset
from calkit_torch.training import Recipe, train
from calkit_torch.training.callbacks import CalibrationHistory, EarlyStopping, GradientNorms, SaveLogits, TensorBoard


def main(folder: str) -> None:
    # Steps so small that the weights stay what they are: so both runs measure the same network.
    recipe = Recipe("digits", "mlp:hidden=16", "focal:3", optimiser="sgd:1e-20", epochs=9, batch_size=100)
    stopping = EarlyStopping("ece", patience=2, restore_best=True)
    callbacks = [CalibrationHistory(), GradientNorms([1]), stopping, SaveLogits([2]), TensorBoard()]
    train(recipe, get_dataset("digits"), out=folder, device="cpu", callbacks=callbacks)
