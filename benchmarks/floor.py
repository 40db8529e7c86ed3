"""The floor: floor.c, compiled for this machine when it is first used."""

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

import numpy as np

OPTIONS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")


@functools.cache
def _library():
    source = Path(__file__).with_name("floor.c")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "floor.so"
        subprocess.run(["gcc", *OPTIONS, str(source), "-o", str(target)], check=True, capture_output=True)
        library = ctypes.CDLL(str(target))
    library.gaps.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    library.gaps.restype = None
    return library


def floor_ece(logits, y, n_bins=15):
    """ECE of C-ordered float32 logits and int64 labels, both as they lie in memory."""
    gap = np.zeros(n_bins)
    _library().gaps(logits.ctypes.data, y.ctypes.data, *logits.shape, n_bins, gap.ctypes.data)
    return float(np.abs(gap).sum() / len(y))
