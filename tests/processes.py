"""Programs started by tests."""

import signal

__all__ = ["interruptible"]


def interruptible():
    """Let a child be interrupted (``preexec_fn``), also where the tests run as a background job, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
