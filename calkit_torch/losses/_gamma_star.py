"""γ*(p) of Proposition 2 on the device the logits live on, where SciPy's Lambert W is not at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from calkit_torch.losses._batch import widen

__all__ = ["gamma_star"]

# The starting value is right to 3 % or better; three steps of third order take that below any rounding.
_STEPS = 3


def gamma_star(p: Tensor) -> Tensor:
    """Compute γ*(p) as :func:`calkit.theory.gamma_star` does; 0 from p = 0.5 on.

    Parameters
    ----------
    p : Tensor
        Probabilities. Below 1e-30 (float64: 1e-300) they count as that.

    Returns
    -------
    Tensor
        γ of the same shape and dtype.
    """
    # Near 0.5 two terms cancel and W has a branch point: float32 would leave γ* three digits.
    wide = widen(p).clamp(1e-300 if p.dtype == torch.float64 else 1e-30, 0.5)
    a, b, log_a = 1 - wide, wide * torch.log(wide), torch.log1p(-wide)
    # With W(x) = -u Lambert's equation reads u - log u = m, u >= 1.
    m = -((1 - a / b) * log_a + torch.log(log_a / b))
    gamma = a / b - _solve(m.clamp(min=1.0)) / log_a
    return torch.where(wide < 0.5, gamma.clamp(min=0.0), 0.0).to(p.dtype)


def _solve(m: Tensor) -> Tensor:
    """Solve u - log u = m for u >= 1 by Halley's method from the series around u = 1."""
    s = torch.sqrt(2 * (m - 1))
    u = 1 + s + s.square() / 3 + s.pow(3) / 36
    tiny = torch.finfo(m.dtype).eps
    for _ in range(_STEPS):
        error = u - torch.log(u) - m
        slope = (1 - 1 / u).clamp(min=tiny)
        u = u - error / (slope - error / (2 * u.square() * slope))
    return u
