"""What a callback of the training loop may do, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["Callback"]


class Callback:
    """Something that happens beside training: measuring, saving, printing, stopping.

    All hooks do nothing by default. They are called on every rank, in the order of the list of callbacks; only rank 0
    (`state.is_main`) writes or prints. What a callback must remember for an exact resume goes into `state_dict`.

    Examples
    --------
    >>> class StopEarly(Callback):
    ...     def on_epoch_end(self, state):
    ...         if state.epoch >= 4:
    ...             state.stop = "five epochs are enough"
    """

    def on_start(self, state: TrainingState) -> None:
        """Before the first epoch, or the first after a resume."""

    def on_epoch_start(self, state: TrainingState) -> None:
        """Before the first batch of an epoch (not called when a run resumes inside an epoch)."""

    def on_gradients(self, state: TrainingState) -> None:
        """After backward, gradients averaged over ranks; before clipping and the optimiser's step."""

    def on_batch_end(self, state: TrainingState) -> None:
        """After the optimiser's step; `state.batch` counts the batch that just ended."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """After the last batch of an epoch.

        May add to `state.record`, this epoch's line of the history, which the loop writes after all callbacks; may set
        `state.stop` to a reason to stop.
        """

    def on_end(self, state: TrainingState) -> None:
        """After the last epoch, also after an early stop; not after an error."""

    def state_dict(self) -> dict[str, Any]:
        """What to remember in a checkpoint: tensors and plain values only, since nothing pickled is loaded."""
        return {}

    def load_state_dict(self, found: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
