"""Random numbers of a training run: those of a step depend on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["lent_generators", "seed_of_step", "seed_step"]


@contextmanager
def lent_generators(device: torch.device) -> Iterator[None]:
    """Give torch's global generators their old state back when the block ends."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def seed_of_step(seed: int, step: int, stream: int = 0) -> int:
    """Return the seed of what is random in a step: stream 0 for the whole batch, the others for one rank each."""
    return int(np.random.SeedSequence((seed, step, stream)).generate_state(1, np.uint64)[0]) >> 1


def seed_step(seed: int, step: int, stream: int, device: torch.device) -> None:
    """Seed torch's generators, which dropout draws from, for one step of one process.

    So no state needs to be kept to resume a run at any step.
    """
    word = seed_of_step(seed, step, stream)
    # torch.manual_seed would seed the other devices as well.
    torch.default_generator.manual_seed(word)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(word)
