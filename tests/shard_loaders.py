"""What misbehaves on the workers of a cluster, where they can import it."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from calkit import load_predictions


def once(folder, mark):
    """Whether this is the first call, in any process, with this mark."""
    try:
        (Path(folder) / mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def troubled_load(path, marks, flaky=(), deadly=(), broken=(), kill_after=None):
    """Load a shard; fail twice before that, kill the process once or always, or always fail, as told by file names."""
    name = Path(path).name
    if name in broken:
        raise OSError("the disk is on fire")
    if name in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if name in flaky and (once(marks, f"{name}-first") or once(marks, f"{name}-second")):
        raise OSError("the network was away")
    if kill_after is not None:
        once(marks, f"loaded-{name}")
        if len(list(Path(marks).glob("loaded-*"))) >= kill_after and once(marks, "killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    return load_predictions(path)


def load_by_worker(path):
    """Load a shard, but only in a process that a cluster has started."""
    if multiprocessing.parent_process() is None:
        raise OSError("not here")
    return load_predictions(path)


def allow_failures(number, dask_scheduler):
    """Set how many workers may die of a piece before Dask gives it up."""
    dask_scheduler.allowed_failures = number


def slow_one(_):
    """Return 1, after a tenth of a second."""
    time.sleep(0.1)
    return 1
