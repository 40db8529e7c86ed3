"""Run as a program: print the words of an HDF5 data set as JSON.

Variable-length text is a heap of pointers in the file, which the HDF5 library follows without doubt. In a damaged file
they may lead anywhere, so this happens in a process that has little memory and can be stopped.
"""

from __future__ import annotations

import contextlib
import json
import sys

__all__: list[str] = []

_MEMORY = 1 << 30
_MEMORY_PER_WORD = 1 << 10


def main(path: str, name: str) -> None:
    """Print the words."""
    import h5py

    with h5py.File(path, "r", locking="best-effort") as file:
        dataset = file[name]
        _limit_memory(_MEMORY + _MEMORY_PER_WORD * int(dataset.size))
        words = dataset.asstr()[()].reshape(-1).tolist() if dataset.shape else [dataset.asstr()[()]]
    sys.stdout.write(json.dumps(words))


def _limit_memory(size: int) -> None:
    # Not every system knows such limits.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
