"""A Dask cluster whose workers are processes of their own: the same bytes, deaths named, refusals in a sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_jobs import JobOf, codes, documents, results

from gradcheck.errors import UsageError
from gradcheck.workers import cluster
from gradcheck.workers.cluster import Cluster
from gradcheck.workers.run import Orders

pytestmark = pytest.mark.dask


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two worker processes, started in another folder than that of the tests."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("elsewhere")
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        ["worker", f"tcp://127.0.0.1:{port}", "--nworkers", "2", "--nthreads", "1", "--no-dashboard"],
    ]
    once = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen([sys.executable, "-m", "dask", *command], cwd=folder, stdout=log, stderr=log, env=once)
            for command in commands
        ]
        try:
            _wait_for_workers(f"dask://127.0.0.1:{port}")
            yield f"dask://127.0.0.1:{port}"
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_workers(address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.2)
        try:
            crew = Cluster(address)
        except UsageError:
            continue
        crew.close()
        if crew.count == 2:
            return
    raise AssertionError("the two workers of the cluster have not come up within a minute")


def test_the_same_bytes_as_without_a_cluster(address: str, job_of: JobOf) -> None:
    jobs = [job_of(), job_of(method="central"), job_of("thrice"), job_of(text="network: nothing")]
    here = Path.cwd()
    crew = Cluster(address)
    try:
        assert crew.count == 2
        assert documents(results(jobs, Orders(crew, isolated=True))) == documents(results(jobs))
    finally:
        crew.close()
    assert Path.cwd() == here


def test_a_task_that_kills_its_workers_ends_its_spec_alone(address: str, job_of: JobOf) -> None:
    crew = Cluster(address, most=1)
    try:
        assert crew.count == 1
        killer, twice = results([job_of("exits"), job_of("twice")], Orders(crew, isolated=True))
    finally:
        crew.close()
    assert codes(killer) == [("GC902", "", None)]
    assert documents([twice]) == documents(results([job_of("twice")]))


def test_workers_with_other_versions_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _wait_for_workers(address)  # one that another test has killed may not be back yet
    monkeypatch.setattr(cluster, "__version__", "99.0")
    with pytest.raises(UsageError, match=r"a worker has gradcheck .*, this process has 99\.0 and"):
        Cluster(address)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    with pytest.raises(UsageError, match=r"--executor dask://127\.0\.0\.1:1: no Dask scheduler answers there within"):
        Cluster("dask://127.0.0.1:1")


def test_dask_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"install it with: pip install 'gradcheck\[dask\]'"):
        Cluster("dask://127.0.0.1:1")
