"""Programs started by tests."""

import sys

__all__ = ["interruptible"]

_RUN = """\
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def interruptible(module, *arguments):
    """Return the command ``python -m MODULE ARGUMENTS``, which SIGINT ends.

    Where the tests run as a background job, that signal is ignored, and so do the programs they start by themselves.
    """
    return [sys.executable, "-c", _RUN, module, *map(str, arguments)]
