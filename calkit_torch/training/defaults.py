"""What happens beside training unless something else is wanted."""

from __future__ import annotations

from calkit.registry import unknown_name
from calkit_torch.training.callbacks import CalibrationHistory, Callback, Console, SaveLogits

__all__ = ["HISTORIES", "default_callbacks"]

HISTORIES = ("train", "test", "none")


def default_callbacks(*, progress: bool = True, history: str = "train", every: int = 1) -> list[Callback]:
    """Return what ``train`` does beside training: it measures calibration, keeps logits, and shows the progress.

    Parameters
    ----------
    progress : bool
        Whether to show the progress.
    history : {"train", "test", "none"}
        What is measured after an epoch: all three sets, which takes about a quarter of the time of training more;
        validation and test set; or nothing.
    every : int
        Number of epochs between measurements; the last epoch is always measured.

    Raises
    ------
    NotFoundError
        If `history` is none of these.
    InputError
        If `every` is not a positive whole number.

    Examples
    --------
    >>> [type(callback).__name__ for callback in default_callbacks(progress=False)]
    ['CalibrationHistory', 'SaveLogits']
    """
    if history not in HISTORIES:
        raise unknown_name("history", history, HISTORIES)
    found: list[Callback] = [SaveLogits()]
    if history != "none":
        found.insert(0, CalibrationHistory(train=history == "train", every=every))
    return [*found, Console()] if progress else found
