"""Many independent trials on several processes; the results do not depend on how many."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CHUNK = 4


def each(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, what: str) -> list[Result]:
    """The function of every task, in their order. With 0 workers in this process, without a bar."""
    if workers == 0:
        return [function(task) for task in tasks]
    for variable in _THREADS:
        os.environ[variable] = "1"  # the workers', which import numpy afresh: one process, one thread
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        results = pool.map(function, tasks, chunksize=_CHUNK)
        bar = track(results, what, len(tasks), console=Console(stderr=True), transient=True)
        return list(bar)
