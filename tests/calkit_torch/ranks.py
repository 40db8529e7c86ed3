"""Programs that tests run on two ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ENVIRONMENT", "run_on_two_ranks"]

#: What each rank gets beside the environment of the tests: one thread, the loopback device, no accelerator, and the
#: folder that the tests are imported from.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


def run_on_two_ranks(script, *arguments, cwd):
    """Run a script through torchrun, which chooses a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, **ENVIRONMENT}
    command = [*launcher, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
