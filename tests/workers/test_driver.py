"""What is done here, what is handed out, and what becomes of it: with a crew that is a thread of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace
from worker_jobs import TINY, JobOf, codes, documents, results

from gradcheck.endings import Limit
from gradcheck.errors import NothingSelected, UsageError
from gradcheck.pipeline import Outcome, check_names
from gradcheck.workers import here, spread, tasks
from gradcheck.workers.driver import run_jobs
from gradcheck.workers.run import Orders


class Died(Exception):  # noqa: N818 - as the pool's own
    pass


class Crew:
    """Does everything in a thread; dies of the tasks that `kills` says, and for good of those that `deadly` says."""

    count = 2

    def __init__(self, kills: Callable[..., bool] = lambda *task: False, deadly: bool = False) -> None:
        self.kills, self.deadly = kills, deadly
        self.done: list[str] = []
        self.alone_with: list[str] = []
        self.stopped = 0
        self._thread = ThreadPoolExecutor(1)

    def swept(self) -> int:
        return 0

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._thread.submit(self._do, task, *arguments)

    def _do(self, task: Callable[..., Any], *arguments: Any) -> Any:
        if self.kills(task, *arguments):
            raise Died
        self.done.append(task.__name__)
        return task(*arguments)

    def is_death(self, error: BaseException) -> bool:
        return isinstance(error, Died)

    def alone(self, task: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        self.alone_with.append(task.__name__)
        if self.deadly and self.kills(task, *arguments):
            return False, "head"
        return True, task(*arguments)

    def stop(self) -> None:
        self.stopped += 1


def is_sweep(task: Callable[..., Any], *arguments: Any) -> bool:
    return task is tasks.sweep and arguments[1].name == "head.bias"


def has_that_sweep(task: Callable[..., Any], *arguments: Any) -> bool:
    """That of the tensor, or the whole of a job that has it."""
    return is_sweep(task, *arguments) or (task is here.whole and "head" in arguments[0].text)


def test_a_short_run_stays_here(job_of: JobOf) -> None:
    crew = Crew()
    assert documents(results([job_of(), job_of(seed=2)], Orders(crew))) == documents(
        results([job_of(), job_of(seed=2)])
    )
    assert crew.done == []


def test_a_long_run_goes_to_the_workers_in_the_middle_of_a_sweep(
    job_of: JobOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "STARTING", 0.0)
    monkeypatch.setattr(here, "_WATCHED", 0.0)
    crew = Crew()
    jobs = [job_of(), job_of(seed=2)]
    found = results(jobs, Orders(crew))
    assert sorted(crew.done) == ["judge", "judge", "plan", *["sweep"] * 6]
    assert documents(found) == documents(results(jobs))


def test_workers_that_have_plenty_of_jobs_do_each_as_a_whole(job_of: JobOf) -> None:
    jobs = [job_of(seed=seed) for seed in range(1, 6)]
    for max_time, wholes in ((None, 4), (1e4, 0)):
        crew = Crew()
        found = results(jobs, Orders(crew, isolated=True, max_time=max_time))
        assert crew.done.count("whole") == wholes
        assert documents(found) == documents(results(jobs))


def test_a_job_that_a_worker_died_of_is_taken_apart(job_of: JobOf) -> None:
    tried: list[str] = []

    def kills(task: Callable[..., Any], *arguments: Any) -> bool:
        fatal = task is here.whole and arguments[0].path == "fatal.yaml" and len(tried) < 3
        tried.extend([task.__name__] * fatal)
        return fatal

    jobs = [job_of(path="fatal.yaml"), *(job_of(seed=seed) for seed in range(1, 5))]
    found = results(jobs, Orders(Crew(kills), isolated=True))
    assert tried == ["whole"]
    assert documents(found) == documents(results(jobs))


def test_workers_start_before_the_first_job_is_judged_where_many_are_waiting(
    job_of: JobOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "STARTING", 0.0)
    crew = Crew()
    jobs = [job_of(seed=seed) for seed in range(1, 4)]
    found = results(jobs, Orders(crew))
    assert "judge" in crew.done
    assert documents(found) == documents(results(jobs))


def test_how_much_is_enough(job_of: JobOf) -> None:
    """Workers are started for what they gain: the rest of this spec, and those to come as long as the last ones."""
    from gradcheck.workers.run import Run

    run = Run([job_of(), job_of(), job_of()], Orders(Crew()), lambda *shown: None)
    run.states[0].plan = tasks.Plan((tasks.Part(0, "a", 0, 1000),), 0, "")
    run.started = time.time()
    assert not here._is_enough(run, 0, 100, 100, 0.25)  # 2.25 s left, of which workers save 1.13 s
    assert here._is_enough(run, 0, 100, 100, 0.3)
    assert not here._is_enough(run, 0, 100, 100, 0.09)  # too soon to say
    assert not here._is_enough(run, 1, 1000, 500, 0.3)
    run.started = time.time() - 8
    assert here._is_enough(run, 1, 1000, 500, 0.3)  # one more spec, of four seconds
    run.orders = replace(run.orders, crew=None)
    assert not here._is_enough(run, 0, 100, 100, 99)


@pytest.mark.parametrize("deadly", [False, True])
def test_what_was_under_way_is_repeated_alone(deadly: bool, job_of: JobOf) -> None:
    crew = Crew(has_that_sweep, deadly)
    jobs = [job_of(), job_of(text=TINY.replace("tiny", "other").replace("head", "tail"), path="other.yaml")]
    first, second = results(jobs, Orders(crew, isolated=True))
    assert "whole" not in crew.alone_with
    assert "sweep" in crew.alone_with
    assert len(crew.alone_with) <= 2 * crew.count
    assert codes(first) == ([("GC902", "head", "head.bias")] if deadly else [])
    assert documents([second]) == documents(results(jobs[1:]))
    if not deadly:
        assert documents([first]) == documents(results(jobs[:1]))


def test_errors_reach_the_command_line(job_of: JobOf) -> None:
    off = ", ".join(f"{check}: false" for check in check_names())
    nothing = job_of(text=f"{TINY}checks: {{{off}}}\n")
    for orders in (Orders(), Orders(Crew(), isolated=True)):
        found = results([nothing, job_of()], orders)
        assert isinstance(found[0], NothingSelected)
        assert codes(found[1]) == []
        with pytest.raises(UsageError, match="no parameter and no input"):
            results([job_of(entries=("hat.weight[0, 0]",))], orders)


def test_workers_that_see_other_files_are_refused(job_of: JobOf, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter("ab" * 10)
    monkeypatch.setattr(tasks._Kept, "digest", property(lambda kept: next(seen)))
    monkeypatch.setattr(tasks, "forget", lambda: None)
    with pytest.raises(UsageError, match=r"tiny\.yaml: two workers read different numbers"):
        results([job_of()], Orders(Crew(), isolated=True))


def test_progress_counts_entries_and_specs(job_of: JobOf) -> None:
    for orders in (Orders(), Orders(Crew(), isolated=True)):
        shown: list[tuple[int, int, str]] = []
        list(run_jobs([job_of(), job_of(seed=2)], orders, lambda *state, shown=shown: shown.append(state)))
        assert max(done for done, _, _ in shown) <= 40
        assert all(0 <= done <= total for done, total, _ in shown)
        assert any("1 of 2 specs" in what for _, _, what in shown)


# When time runs out ---------------------------------------------------------------------------------------------------


def test_time_that_has_run_out_before_the_start(job_of: JobOf) -> None:
    for orders in (Orders(max_time=1e-9), Orders(Crew(), isolated=True, max_time=1e-9)):
        (outcome,) = results([job_of(seed=5)], orders)
        assert isinstance(outcome, Outcome)
        assert codes(outcome) == [("GC903", "", None)]
        assert (outcome.report.verdict, outcome.report.seed) == ("inconclusive", 5)
        assert outcome.report.replay == "gradcheck run tiny.yaml --seed 5"


@pytest.mark.parametrize("isolated", [False, True])
def test_what_is_known_when_time_runs_out(isolated: bool, job_of: JobOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still until the first sweep is done, and then it is late."""
    now, real = [1000.0], tasks.sweep

    def sweep(*arguments: Any) -> Any:
        answer = real(*arguments)
        now[0] = 2000.0
        return answer

    monkeypatch.setattr(tasks.time, "time", lambda: now[0])
    monkeypatch.setattr(tasks, "sweep", sweep)
    monkeypatch.setattr(spread, "_AHEAD", 0.5)
    (outcome,) = results([job_of()], Orders(Crew() if isolated else None, isolated, max_time=10.0))
    assert isinstance(outcome, Outcome)
    report = outcome.report
    known = "input" if isolated else "head.weight"  # the longest sweep first, or the first one
    assert [row.name for row in report.rows if row.checked] == [known]
    assert [row.reason for row in report.rows if not row.checked] == ["time ran out"] * 2
    assert [row.counts.total for row in report.rows if not row.checked] == [0, 0]
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert (finding.code, finding.layer) == ("GC903", "head")
    left = "head.weight, head.bias" if isolated else "head.bias, input"
    assert finding.message.startswith(
        f"time ran out after 10 s: {8 if isolated else 14} entries were not checked ({left})"
    )
    assert report.verdict == "inconclusive"
    assert {check.check: check.verdict for check in report.checks}["gradient"] == "inconclusive"


def test_a_sweep_stops_at_its_deadline(job_of: JobOf) -> None:
    part = tasks.plan(job_of()).parts[0]
    answer = tasks.sweep(job_of(), part, time.time() - 1)
    assert (answer.found, answer.in_time) == (None, False)


def test_a_failure_that_is_known_is_not_hidden_by_time(job_of: JobOf) -> None:
    job = job_of("thrice")
    found = {part: tasks.sweep(job, part).found for part in tasks.plan(job).parts}
    answers = {part: answer for part, answer in found.items() if answer is not None and part.name != "head.bias"}
    report = tasks.judge(job, answers, Limit(3.0, ("head.bias",))).report
    assert report.verdict == "fail"
    assert {finding.code for finding in report.findings if finding.severity == "error"} > {"GC903"}
    tasks.forget()
