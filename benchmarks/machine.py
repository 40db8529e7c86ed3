"""On what a benchmark ran, in words, for the line above its table."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine", "processor"]


def machine(*distributions: str) -> str:
    """Name the processor, Python and the versions of some distributions."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in distributions)]
    return f"{processor()}, {os.cpu_count()} cores; {', '.join(versions)}"


def processor() -> str:
    """Name the processor."""
    found, known = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if known.is_file():
        found = next(iter(re.findall(r"model name\s+: (.*)", known.read_text(encoding="utf-8"))), found)
    return found.strip()
