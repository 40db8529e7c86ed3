"""Many processes or machines: a Dask cluster measures the pieces and adds the sums, and repeats what is lost."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterable
from typing import Any

from calkit.errors import MissingDependencyError, UsageError
from calkit.executors.base import EXECUTORS, P, S
from calkit.executors.cores import available_threads
from calkit.executors.task_graph import SumGraph, most_suspicious, result_while_workers_last

__all__ = ["DaskExecutor"]


@EXECUTORS.register("dask")
class DaskExecutor:
    """Adds what the workers of a Dask cluster measure.

    Parameters
    ----------
    cluster : str or distributed.Client, optional
        A client, an address (``"tcp://10.0.0.1:8786"``), or ``"local"`` for processes; by default the active client.
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
        graph = SumGraph.of(function, pieces)
        found, suspects = self._computed(graph) if graph.names else (None, [])
        # Whoever waited on a worker that died is suspected like the one that killed it: each is tried by itself.
        if len(suspects) > 1:
            suspects = [key for key in suspects if self._computed(graph.alone(key))[1]] or suspects
        if suspects:
            raise graph.accusation(suspects)
        return found

    def _computed(self, graph: SumGraph) -> tuple[Any, list[str]]:
        """Return the sum, or else what may have killed the workers that it was tried on."""
        future = self._client.get(graph.tasks, graph.total, sync=False, retries=self._retries)
        try:
            return result_while_workers_last(future, self._opened), []
        except self._distributed.KilledWorker as error:
            return None, self._client.run_on_scheduler(most_suspicious, [*graph.names]) or [str(error.task)]
        finally:
            future.cancel()

    def close(self) -> None:
        """Close what was opened here: the connection and the local cluster."""
        while self._opened:
            self._opened.pop().close()

    def _connected(self, cluster: Any) -> Any:
        try:
            return self._client_of(cluster)
        except (OSError, ValueError) as error:
            reason = str(error)
        self.close()
        # A client that found no scheduler keeps a thread until it is collected. Its finaliser waits for a lock that is
        # held while another client starts, so that the two would wait for each other if it ran then.
        gc.collect()
        raise UsageError(f"no Dask scheduler answers ({reason}); name one: dask:tcp://HOST:PORT.")

    def _client_of(self, cluster: Any) -> Any:
        if isinstance(cluster, self._distributed.Client):
            return cluster
        if cluster is None:
            return self._distributed.default_client()
        if cluster == "local":
            size = {"n_workers": available_threads(), "threads_per_worker": 1}
            self._opened.append(self._distributed.LocalCluster(**size, dashboard_address=":0"))
        self._opened.append(self._distributed.Client(*self._opened or [cluster], set_as_default=False))
        return self._opened[-1]
