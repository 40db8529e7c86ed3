"""What happens beside training unless something else is wanted."""

from __future__ import annotations

from calkit_torch.training.callbacks import CalibrationHistory, Callback, Console, SaveLogits

__all__ = ["default_callbacks"]


def default_callbacks(*, progress: bool = True) -> list[Callback]:
    """Return what ``train`` does beside training: it measures calibration, keeps logits, and shows the progress.

    Parameters
    ----------
    progress : bool
        Whether to show the progress.

    Examples
    --------
    >>> [type(callback).__name__ for callback in default_callbacks(progress=False)]
    ['CalibrationHistory', 'SaveLogits']
    """
    found: list[Callback] = [CalibrationHistory(), SaveLogits()]
    return [*found, Console()] if progress else found
