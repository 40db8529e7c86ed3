"""Ctrl-C and the signal to end, noted and acted upon where a run can be resumed exactly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interruption", "noted_interruptions"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody wants training to end.

    Attributes
    ----------
    wanted : bool
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note a signal; a second one has its usual effect, at once."""
        self.wanted = True
        self.restore()

    def restore(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:
            signal.signal(*self._before.popitem())

    def install(self) -> None:
        """Note signals from now on."""
        for number in _SIGNALS:
            # None: set by other code than Python's, which is not ours to replace. Ignored: so be it.
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._before[number] = signal.signal(number, self.note)


@contextmanager
def noted_interruptions() -> Iterator[Interruption]:
    """Note Ctrl-C and SIGTERM while the block runs; outside the main thread, where Python delivers none, do nothing."""
    found = Interruption()
    if threading.current_thread() is threading.main_thread():
        found.install()
    try:
        yield found
    finally:
        found.restore()
