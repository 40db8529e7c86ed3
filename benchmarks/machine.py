"""On what a benchmark ran, in words, for the line above its table."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine"]


def machine(*distributions: str) -> str:
    """Name the processor, Python and the versions of some distributions."""
    cpu, known = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if known.is_file():
        cpu = next(iter(re.findall(r"model name\s+: (.*)", known.read_text(encoding="utf-8"))), cpu)
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in distributions)]
    return f"{cpu.strip()}, {os.cpu_count()} cores; {', '.join(versions)}"
