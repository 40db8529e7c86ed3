"""Logits of the validation and test sets, kept in the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from calkit_torch.training.callbacks._epochs import as_epochs
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["SaveLogits"]


class SaveLogits(Callback):
    """Keep what the network says of the validation and test sets, from which calkit computes all else.

    The final network's logits go to ``logits/final.npz`` of the run folder, those of the chosen epochs to
    ``logits/epoch-0010.npz``. Without a run folder nothing is kept.

    Parameters
    ----------
    epochs : iterable of int, optional
        Epochs to keep, counted from 1; by default the recipe's ``save_epochs``.
    train : bool, default=False
        Whether to keep the logits of the training set of these epochs as well, without augmentation, as
        ``train_logits`` and ``train_labels``.

    Raises
    ------
    InputError
        If an epoch is not a positive whole number.

    Examples
    --------
    >>> callback = SaveLogits([10, 100, 200])
    """

    def __init__(self, epochs: Iterable[int] | None = None, *, train: bool = False) -> None:
        self.train = train
        self.epochs = None if epochs is None else as_epochs(epochs)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Keep the logits of a chosen epoch."""
        epochs = state.recipe.save_epochs if self.epochs is None else self.epochs
        if state.epoch + 1 in epochs:
            self._write(state, state.epoch + 1)

    def on_end(self, state: TrainingState) -> None:
        """Keep the logits of the final network."""
        self._write(state, None)

    def _write(self, state: TrainingState, epoch: int | None) -> None:
        # All ranks give their rows; one writes.
        splits = ("train", "validation", "test") if self.train and epoch is not None else ("validation", "test")
        found = {split: state.predictions(split) for split in splits}
        if state.is_main and state.run is not None:
            state.run.write_logits(found, epoch)
