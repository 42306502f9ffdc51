"""Many independent trials on several processes; the results do not depend on how many."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CHUNK = 4


class Pool:
    """So many worker processes, each with one thread; with 0 workers everything runs in this process."""

    def __init__(self, workers: int) -> None:
        self._executor: ProcessPoolExecutor | None = None
        if workers:
            os.environ.update(dict.fromkeys(_THREADS, "1"))  # read by the workers, which import numpy afresh
            self._executor = ProcessPoolExecutor(workers, get_context("spawn"))

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def each(self, function: Callable[[Task], Result], tasks: Sequence[Task], what: str) -> list[Result]:
        """The function of every task, in their order; a bar on stderr says how far it is with `what`."""
        if self._executor is None:
            return [function(task) for task in tasks]
        results = self._executor.map(function, tasks, chunksize=_CHUNK)
        return list(track(results, what, len(tasks), console=Console(stderr=True), transient=True))
