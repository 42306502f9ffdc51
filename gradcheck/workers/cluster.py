"""Workers of a Dask cluster, reached through its scheduler."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from gradcheck import __version__
from gradcheck.errors import UsageError

#: How long a scheduler may take to answer, in seconds.
_PATIENCE = 10
_SCHEME = "dask://"


class Cluster:
    """The workers that a scheduler has now. They are not ours: to stop means to take back what they were given."""

    def __init__(self, address: str, most: int | None = None) -> None:
        """Connect. UsageError where there is no Dask, no scheduler, or no worker that can help.

        address  dask://HOST:PORT
        most     how many tasks may be under way at once; None for as many as the cluster has threads
        """
        self._distributed = _distributed(address)
        try:
            self._client = self._distributed.Client(
                address.replace(_SCHEME, "tcp://", 1), timeout=_PATIENCE, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--executor {address}: no Dask scheduler answers there within {_PATIENCE} s ({error}); start one with "
                "`dask scheduler` and workers with `dask worker HOST:PORT`"
            ) from None
        self._executor = self._client.get_executor(pure=False)
        try:
            threads = sum(self._client.nthreads().values())
            self.count = threads if most is None else min(most, threads)
            self._require_alike(address)
        except BaseException:
            self._client.close()
            raise

    def swept(self) -> int:
        """What sweeps have done before they are finished is not known here."""
        return 0

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task to the scheduler."""
        future: Future[Any] = self._executor.submit(task, *arguments)
        return future

    def is_death(self, error: BaseException) -> bool:
        """Whether a task failed because its worker died: the scheduler has then repeated it several times."""
        return isinstance(error, self._distributed.scheduler.KilledWorker)

    def alone(self, task: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Run a task with nothing else beside it -> (True, its result), or (False, "") where its worker died."""
        try:
            return True, self.submit(task, *arguments).result()
        except self._distributed.scheduler.KilledWorker:
            return False, ""

    def stop(self) -> None:
        """Take back everything that was submitted."""
        self._executor.shutdown(wait=False)
        self._executor = self._client.get_executor(pure=False)

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def _require_alike(self, address: str) -> None:
        """Workers with other versions would give other bytes, or none."""
        if not self.count:
            raise UsageError(f"--executor {address}: the scheduler has no workers; start one with `dask worker`")
        try:
            found = set(self._client.run(versions).values())
        except Exception as error:
            raise UsageError(
                f"--executor {address}: its workers cannot import gradcheck ({type(error).__name__}: {error}); install "
                f"gradcheck {__version__} beside them"
            ) from None
        others = sorted(found - {versions()})
        if others:
            raise UsageError(
                f"--executor {address}: a worker has gradcheck {others[0][0]} and numpy {others[0][1]}, this process "
                f"has {__version__} and {np.__version__}; results are the same only where the versions are"
            )


def versions() -> tuple[str, str]:
    """Of gradcheck and numpy."""
    return __version__, np.__version__


def _distributed(address: str) -> Any:
    try:
        import distributed
        import distributed.scheduler
    except ImportError:
        raise UsageError(f"--executor {address} needs Dask; install it with: pip install 'gradcheck[dask]'") from None
    return distributed
