"""Workers that are processes of this machine, each a fresh interpreter (spawn)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from gradcheck.calling import guarded
from gradcheck.workers.tasks import METER

_SPAWN = multiprocessing.get_context("spawn")


class Processes:
    """A pool that survives the death of its workers. They end when this process does, however it ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        self._leash: Connection | None = None
        self._swept = _SPAWN.RawValue("q", 0)

    def swept(self) -> int:
        """How many entries the workers have swept so far, those of unfinished sweeps included."""
        return int(self._swept.value)

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task to a worker; the workers are started as they are needed."""
        if self._pool is None:
            self._pool, self._leash = _pool(self.count, self._swept, None)
        with _no_interrupt_inherited():
            return self._pool.submit(task, *arguments)

    def is_death(self, error: BaseException) -> bool:
        """Whether a task failed because a worker died: its own, or another one."""
        return isinstance(error, BrokenProcessPool)

    def alone(self, task: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Run a task with nothing else beside it -> (True, its result), or (False, the layer that its worker died in).

        The layer is that of a plugin that was entered last, empty if there was none.
        """
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder, "layer")
            trace.touch()
            pool, leash = _pool(1, self._swept, str(trace))
            try:
                with _no_interrupt_inherited():
                    future = pool.submit(task, *arguments)
                return True, future.result()
            except BrokenProcessPool:
                return False, trace.read_text(encoding="utf-8")
            finally:
                _end(pool, leash)

    def stop(self) -> None:
        """End the workers, whatever they are doing. A task that is submitted later starts new ones."""
        pool, leash, self._pool, self._leash = self._pool, self._leash, None, None
        if pool is not None and leash is not None:
            _end(pool, leash)


def _pool(count: int, swept: Any, trace: str | None) -> tuple[ProcessPoolExecutor, Connection]:
    held, leash = _SPAWN.Pipe(duplex=False)
    return ProcessPoolExecutor(count, _SPAWN, _begin, (held, swept, trace)), leash


def _end(pool: ProcessPoolExecutor, leash: Connection) -> None:
    leash.close()
    pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _no_interrupt_inherited() -> Iterator[None]:
    """Hold back Ctrl-C while processes are started: they inherit that, so that none of them ends with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In the worker --------------------------------------------------------------------------------------------------------


def _begin(held: Connection, swept: Any, trace: str | None) -> None:
    """Prepare a worker: Ctrl-C is the parent's, stdout is for documents alone, and no parent means no work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(sys.__stderr__.fileno(), 1)  # type: ignore[union-attr]
    threading.Thread(target=_end_with_parent, args=(held,), daemon=True).start()
    METER.watch = partial(_add, swept)
    if trace is not None:
        sys.setprofile(_Trace(trace))


def _add(counter: Any, entries: int) -> None:
    """Without a lock, which a worker that is killed would never give back; two at once may lose some."""
    counter.value += entries


def _end_with_parent(held: Connection) -> None:
    """The parent never writes: what can be read is the end of its pipe, when it lets go or dies."""
    with suppress(EOFError, OSError):
        held.recv_bytes()
    os._exit(1)


class _Trace:
    """A profile function that writes down which layer of a plugin is entered, each over the one before."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
        self._entering = guarded.__enter__.__code__

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is self._entering and not frame.f_locals["self"].trusted:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(frame.f_locals["self"].node)
            self._file.flush()
