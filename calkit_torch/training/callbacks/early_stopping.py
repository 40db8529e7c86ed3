"""Stop when a metric no longer gets better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from calkit.errors import InputError, UsageError
from calkit.metrics import Metric, get_metric
from calkit.parameters import is_whole
from calkit_torch.training.callbacks.base import Callback

if TYPE_CHECKING:
    from calkit_torch.training.state import TrainingState

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop training when a metric of the validation set has not got better for some epochs.

    Parameters
    ----------
    metric : str or Metric, default="nll"
        Any metric of calkit. Whether more is better is the metric's to say.
    patience : int, default=10
        Epochs to wait for something better.
    min_delta : float, default=0.0
        By how much a value must be better to count as such.
    restore_best : bool, default=False
        Go back to the network of the best epoch in the end, before the final logits are saved.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        Its epoch, counted from 1.
    waited : int
        Epochs since then.

    Raises
    ------
    InputError
        If `patience` or `min_delta` is impossible.
    NotFoundError
        If the metric is unknown.
    UsageError
        On the start of training, if the best network is to be restored and the recipe selects one as well.

    Examples
    --------
    >>> callback = EarlyStopping("adaece", patience=20, min_delta=0.001, restore_best=True)
    """

    def __init__(
        self, metric: str | Metric = "nll", *, patience: int = 10, min_delta: float = 0.0, restore_best: bool = False
    ) -> None:
        if not is_whole(patience, 1):
            raise InputError(f"patience must be a positive whole number of epochs, but is {patience!r}.")
        if not 0 <= min_delta < math.inf:
            raise InputError(f"min_delta must be a number that is not negative, but is {min_delta!r}.")
        self.metric = get_metric(metric)
        self.patience = int(patience)
        self.min_delta = min_delta
        self.restore_best = restore_best
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch = self.waited = 0

    def on_start(self, state: TrainingState) -> None:
        """Refuse to select another network than the recipe does; forget the run before."""
        if self.restore_best and state.recipe.select != "last":
            raise UsageError(
                f"EarlyStopping is to restore the network of best {self.metric.spec}, but the recipe selects that of "
                f"best {state.recipe.select}; use one of the two (restore_best=False, or select = 'last')."
            )
        if not state.step:
            self._forget()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Compare this epoch with the best so far."""
        value = state.evaluate("validation", [self.metric])[self.metric.spec]
        if self._is_better(value):
            self.best, self.best_epoch, self.waited = value, state.epoch + 1, 0
            if self.restore_best:
                self._keep(state, value)
        else:
            self.waited += 1
        if self.restore_best and self.best is not None:
            state.record["best_epoch"] = self.best_epoch
        if self.waited >= self.patience:
            state.stop = f"{self.metric.spec} has not been better than {self._best()} for {self.patience} epochs"

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch, and how long ago that was."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, found: dict[str, Any]) -> None:
        """Go on waiting where a checkpoint was written."""
        self.best, self.best_epoch, self.waited = found["best"], found["best_epoch"], found["waited"]

    def _is_better(self, value: float) -> bool:
        if self.best is None or math.isnan(value):
            return not math.isnan(value)
        gain = value - self.best if self.metric.higher_is_better else self.best - value
        return gain > self.min_delta

    def _best(self) -> str:
        if self.best is None:
            return "NaN"
        unit = " %" if self.metric.percent else ""
        return f"{self.metric.format(self.best)}{unit} (epoch {self.best_epoch})"

    def _keep(self, state: TrainingState, value: float) -> None:
        """Make this network the one that the loop goes back to in the end, and that checkpoints hold."""
        from calkit_torch.training.state import Best

        weights = {name: tensor.detach().clone() for name, tensor in state.model.state_dict().items()}
        state.best = Best(value, state.epoch + 1, weights)
