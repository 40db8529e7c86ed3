"""SciPy's special functions, loaded when one is first used: importing them takes longer than all of calkit."""

from __future__ import annotations

import importlib
from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'calkit.special' has no attribute {name!r}")
    found = getattr(importlib.import_module("scipy.special"), name)
    globals()[name] = found
    return found
