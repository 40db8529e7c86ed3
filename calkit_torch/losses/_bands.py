"""γ by bands of probabilities, as arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Bands", "bands_of"]


class Bands(NamedTuple):
    """γ by bands of probabilities.

    Attributes
    ----------
    gammas : ndarray of shape (m,)
    cuts : ndarray of shape (m - 1,)
        Where one band ends and the next begins.
    closed_right : bool
        Whether a probability on a cut belongs to the band below.
    """

    gammas: NDArray[Any]
    cuts: NDArray[Any]
    closed_right: bool

    def gamma_of(self, p: NDArray[Any]) -> Any:
        """Return γ for probabilities: an array, or one number if there is one band."""
        if not self.cuts.size:
            return self.gammas.item()
        return self.gammas.take(self.cuts.searchsorted(p, "left" if self.closed_right else "right"))


@lru_cache(maxsize=64)
def bands_of(gammas: tuple[float, ...], cuts: tuple[float, ...] = (), closed: str = "right") -> dict[Any, Bands]:
    """Return the bands for logits of each dtype."""
    types = {torch.float32: np.float32, torch.float64: np.float64}
    return {
        dtype: Bands(np.array(gammas, kind), np.array(cuts, kind), closed == "right") for dtype, kind in types.items()
    }
