"""Programs started by tests."""

import sys

__all__ = ["interruptible"]

_RUN = """\
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def interruptible(module, *arguments):
    """Return the command ``python -m MODULE ARGUMENTS``, which signals end.

    Where tests run as a background job, SIGINT or SIGHUP is ignored, also by the programs they start.
    """
    return [sys.executable, "-c", _RUN, module, *map(str, arguments)]
