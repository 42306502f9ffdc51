"""Worker processes: the same bytes as without them, deaths survived and named, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from worker_jobs import JobOf, codes, documents, results

from gradcheck.pipeline import Outcome
from gradcheck.spec.read import Overrides
from gradcheck.workers.processes import Processes
from gradcheck.workers.run import Orders
from gradcheck.workers.tasks import Job

SPECS = Path(__file__).parents[2] / "specs"


def of_file(path: Path, **overrides: object) -> Job:
    plugin = path.with_suffix(".py")
    plugins = (str(plugin),) if plugin.exists() else ()
    return Job(str(path), path.read_text(encoding="utf-8"), plugins, Overrides(**overrides), str(Path.cwd()))  # type: ignore[arg-type]


def spread(count: int, dump: bool = False, max_time: float | None = None) -> Orders:
    return Orders(Processes(count), isolated=True, dump=dump, max_time=max_time)


def test_the_same_bytes_with_several_workers(job_of: JobOf) -> None:
    jobs = [
        of_file(SPECS / "linear_mse.yaml", method="central", seed=3),
        of_file(SPECS / "wrong" / "mean_of_means.yaml"),
        of_file(SPECS / "wrong" / "zero_slope_at_kink.yaml", method="central"),
        job_of("raises_in_sweep"),
        job_of(text="network: nothing"),
        job_of(entries=("head.weight[2, 1]",)),
    ]
    alone = results(jobs, Orders(dump=True))
    assert {outcome.report.verdict for outcome in alone if isinstance(outcome, Outcome)} >= {"pass", "fail", "refused"}
    several = results(jobs, spread(2, dump=True))
    assert documents(several) == documents(alone)
    for one, other in zip(alone, several, strict=True):
        assert isinstance(one, Outcome)
        assert isinstance(other, Outcome)
        assert list(one.gradients) == list(other.gradients)
        assert all(
            np.array_equal(one.gradients[k], other.gradients[k], equal_nan=k[-3:] != "ict") for k in one.gradients
        )


def test_a_worker_that_dies_is_replaced_and_costs_the_others_nothing(job_of: JobOf) -> None:
    jobs = [job_of("killed_once"), job_of("killed"), job_of("exits_in_sweep"), job_of()]
    once, killer, late, other = results(jobs, spread(1))
    assert Path("was_killed").exists()
    assert documents([once, other]) == documents(results([jobs[0], jobs[3]]))
    assert codes(once) == codes(other) == []
    assert codes(killer) == [("GC902", "killed_1", None)]
    assert isinstance(killer, Outcome)
    assert killer.report.verdict == "fail"
    assert killer.report.replay == "gradcheck run killed.yaml --plugin layers.py"
    assert codes(late) == [("GC902", "exits_in_sweep_1", "input")]
    assert isinstance(late, Outcome)
    assert "died twice in the sweep of input" in late.report.findings[0].message
    assert late.report.replay == "gradcheck run exits_in_sweep.yaml --plugin layers.py --seed 0"


def test_gradients_stay_where_they_are_unless_they_are_wanted(job_of: JobOf) -> None:
    for orders in (Orders(), spread(1)):
        (outcome,) = results([job_of()], orders)
        assert isinstance(outcome, Outcome)
        assert outcome.gradients == {}


SCRIPT = """\
import sys, time
from gradcheck.workers.processes import Processes

if __name__ == "__main__":
    count = int(sys.argv[1])
    pool = Processes(count)
    futures = [pool.submit(time.sleep, 600) for _ in range(count)]
    pids = sorted(pool._pool._processes)
    print(*pids, flush=True)
    try:
        futures[0].result()
    finally:
        pool.stop()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to processes as POSIX has it")
@pytest.mark.parametrize(("how", "count"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_workers_end_with_their_parent(how: signal.Signals, count: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, script, str(count)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == count
    time.sleep(1.5 if how == signal.SIGINT else 0)  # while they sleep, and while they start
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as Ctrl-C does
    else:
        parent.kill()
    error = parent.communicate(timeout=60)[1]
    assert error.count("Traceback") == (1 if how == signal.SIGINT else 0), error
    until = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def alive(pid: int) -> bool:
    """Whether it runs; a zombie, which nobody has waited for, does not."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.exists() and Path("/proc/self").exists():
        try:
            return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
