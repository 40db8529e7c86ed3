"""Executors: what sums the summaries of pieces of the data: one thread, several, or a Dask cluster.

All executors add the same pieces pairwise and in the same order, so what they return is the same to the last bit.
"""

from calkit.executors.base import EXECUTORS, Executor, PairwiseSum
from calkit.executors.choice import automatic_executor, open_executor, use_executor
from calkit.executors.cores import available_threads
from calkit.executors.dask import DaskExecutor
from calkit.executors.serial import SerialExecutor
from calkit.executors.threads import ThreadExecutor

__all__ = [
    "EXECUTORS",
    "DaskExecutor",
    "Executor",
    "PairwiseSum",
    "SerialExecutor",
    "ThreadExecutor",
    "automatic_executor",
    "available_threads",
    "open_executor",
    "use_executor",
]
