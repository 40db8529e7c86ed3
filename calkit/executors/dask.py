"""Many processes or machines: a Dask cluster measures the pieces and adds the sums, and repeats what is lost."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from calkit.errors import CalkitError, MissingDependencyError, UsageError
from calkit.executors.base import EXECUTORS, P, S, TreeSum
from calkit.executors.cores import available_threads

__all__ = ["DaskExecutor"]


@EXECUTORS.register("dask")
class DaskExecutor:
    """Adds what the workers of a Dask cluster measure.

    Parameters
    ----------
    cluster : str or distributed.Client, optional
        A client, the address of a scheduler (``"tcp://10.0.0.1:8786"``), or ``"local"`` for processes on this machine.
        By default the client that is active already; without one, a UsageError says so.
    retries : int, default=3
        How often a piece is tried again after an error. What a worker held that died is computed again in any case.
    """

    is_remote = True

    def __init__(self, cluster: Any = None, retries: int = 3) -> None:
        try:
            self._distributed: Any = importlib.import_module("distributed")
        except ImportError:
            raise MissingDependencyError("Dask is not installed: pip install 'calkit-calibration[dask]'.") from None
        self._retries = retries
        self._opened: list[Any] = []
        self._client = self._connected(cluster)

    def sum(self, function: Callable[[P], S], pieces: Iterable[P]) -> S | None:
        """Return the sum of ``function(piece)`` over the pieces; None if there are none. Ctrl-C cancels the rest."""
        total, names = TreeSum[Any](), {}
        delayed = partial(importlib.import_module("dask").delayed, pure=False, traverse=False)
        measure = delayed(function)
        for number, piece in enumerate(pieces):
            key = f"calkit-{uuid.uuid4().hex}"
            names[key] = getattr(piece, "name", f"piece {number}")
            total.add(measure(delayed(piece), dask_key_name=key))
        if not names:
            return None
        future = self._client.compute(total.result(), retries=self._retries)
        try:
            return future.result()
        except self._distributed.KilledWorker as error:
            what = names.get(str(error.task), "a sum")
            raise CalkitError(f"{what}: every Dask worker that took it on died; their logs tell why.") from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Close what was opened here: the connection and the local cluster."""
        while self._opened:
            self._opened.pop().close()

    def _connected(self, cluster: Any) -> Any:
        if isinstance(cluster, self._distributed.Client):
            return cluster
        try:
            if cluster is None:
                return self._distributed.default_client()
            if cluster == "local":
                size = {"n_workers": available_threads(), "threads_per_worker": 1}
                self._opened.append(self._distributed.LocalCluster(**size, dashboard_address=":0"))
            self._opened.append(self._distributed.Client(*self._opened or [cluster], set_as_default=False))
        except (OSError, ValueError) as error:
            self.close()
            raise UsageError(f"no Dask scheduler answers ({error}); name one: dask:tcp://HOST:PORT.") from None
        return self._opened[-1]
