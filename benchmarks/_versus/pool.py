"""A process of its own for every measurement, with one thread: what others have imported or cached is not in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")
#: Read by BLAS, OpenMP and XLA when they are loaded; so they hold for processes that start afterwards.
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def pin_threads() -> None:
    """One thread for all processes that are started from now on."""
    os.environ.update(ONE_THREAD)


def each(function: Callable[[Task], Result], tasks: Sequence[Task], what: str) -> Iterator[Result]:
    """The function of every task, one after the other, in a new process each; a bar on stderr says how far it is."""
    for task in track(tasks, what, console=Console(stderr=True), transient=True):
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            yield alone.submit(function, task).result()
