"""Many specs, and the tensors of each, over the workers that there are.

Every job goes the same way: plan, one sweep for each of its parts, judge. Without workers these tasks are done here,
one after the other; with workers by them, as soon as it is known that there is enough to do.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from gradcheck.endings import Death, Limit, died, never_begun
from gradcheck.errors import NothingSelected, UsageError
from gradcheck.gradients.numeric.estimate import Estimate
from gradcheck.pipeline import Outcome, repeating
from gradcheck.workers import tasks
from gradcheck.workers.tasks import Answer, Job, Part, Plan

#: Called with (entries done, entries in all, what is under way); the total is that of the specs known so far.
Progress = Callable[[int, int, str], None]
#: A worker is ready after so many seconds; they start where they gain more than twice that.
STARTING = 0.75
#: How long a sweep is watched before its rate is believed, in seconds.
_WATCHED = 0.1
#: Tasks handed out for each worker: one that it does, and one that waits for it.
_AHEAD = 2
#: How long a task may run after time has run out, in seconds: those that look at the clock stop long before.
_GRACE = 10.0
_JUDGE, _SWEEP, _PLAN = range(3)


class Crew(Protocol):
    """Workers: an executor, and what to do about deaths."""

    count: int

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task to a worker."""

    def is_death(self, error: BaseException) -> bool:
        """Whether a task failed because a worker died."""

    def alone(self, task: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Run a task with nothing else beside it -> (True, its result), or (False, the layer its worker died in)."""

    def stop(self) -> None:
        """End the workers, or what they do for us."""


@dataclass(frozen=True)
class Orders:
    """How a run is to be done.

    crew      the workers; None where everything is done here
    isolated  whether nothing of a job may be done here: its plugins could end the process, or it lies elsewhere
    max_time  seconds until the run is cut short; None where it may take as long as it takes
    dump      whether the gradients are wanted, and not only the report
    """

    crew: Crew | None = None
    isolated: bool = False
    max_time: float | None = None
    dump: bool = False


@dataclass
class _State:
    """How far a job has got."""

    job: Job
    plan: Plan | None = None
    answers: dict[str, Estimate] = field(default_factory=dict)
    answered: set[Part] = field(default_factory=set)
    unreached: list[Part] = field(default_factory=list)
    judging: bool = False
    over: bool = False

    def missing(self) -> list[Part]:
        """The parts without an answer."""
        return [part for part in (self.plan.parts if self.plan else ()) if part not in self.answered]


#: What a job leaves: an outcome, or why nothing of it was selected.
Result = Outcome | NothingSelected


@dataclass(frozen=True)
class _Task:
    kind: int
    index: int
    part: Part | None = None


class _Elsewhere(Exception):  # noqa: N818 - it hands a sweep over to the workers
    """There is enough to do for the workers."""


def run_jobs(jobs: list[Job], orders: Orders, progress: Progress) -> Iterator[tuple[int, Result]]:
    """Run all jobs -> the place of each and what it leaves, as they are finished.

    GradcheckError where the run cannot be done as asked.
    """
    run = _Run(jobs, orders, progress)
    try:
        if not orders.isolated:
            yield from run.here()
        if orders.crew is not None:
            yield from run.spread(orders.crew)
    finally:
        tasks.forget()
        if orders.crew is not None:
            orders.crew.stop()


class _Run:
    def __init__(self, jobs: list[Job], orders: Orders, progress: Progress) -> None:
        self.states = [_State(job) for job in jobs]
        self.orders, self.progress = orders, progress
        self.started = time.time()
        self.deadline = None if orders.max_time is None else self.started + orders.max_time
        self.entries_done = 0
        self.queue: list[tuple[int, int, int, int, _Task]] = []
        self.numbers = itertools.count()

    # Everything here, one after the other ---------------------------------------------------------------------------

    def here(self) -> Iterator[tuple[int, Result]]:
        """Do everything in this process, until there is enough to do for the workers."""
        for index, state in enumerate(self.states):
            if self._is_late():
                yield self._ended(index, self._never_begun(state))
                continue
            try:
                state.plan = tasks.plan(state.job)
            except NothingSelected as nothing:
                yield self._ended(index, nothing)
                continue
            try:
                self._sweep_here(index)
            except _Elsewhere:
                return
            yield self._ended(index, self._judged_here(state))

    def _sweep_here(self, index: int) -> None:
        state = self.states[index]
        for part in state.missing():
            if self._is_late():
                return
            before, begun = self.entries_done, time.perf_counter()

            def tick(done: int, before: int = before, begun: float = begun, name: str = part.name) -> None:
                self._show(before + done, name)
                if self._is_enough(index, before + done, done, time.perf_counter() - begun):
                    raise _Elsewhere

            self._take_answer(state, part, tasks.sweep(state.job, part, self.deadline, tick))

    def _is_enough(self, index: int, done_in_all: int, done: int, seconds: float) -> bool:
        """Whether workers would finish the rest so much earlier that it is worth starting them."""
        crew = self.orders.crew
        if crew is None or crew.count < 2 or seconds < _WATCHED:
            return False
        remaining = (self._known() - done_in_all) * seconds / done
        waiting = len(self.states) - index - 1
        if index:
            remaining += waiting * (time.time() - self.started) / (index + 1)
        return remaining * (1 - 1 / crew.count) > 2 * STARTING

    def _judged_here(self, state: _State) -> Outcome:
        return tasks.judge(state.job, state.answers, self._limit(state), self.orders.dump)

    # Spread over workers --------------------------------------------------------------------------------------------

    def spread(self, crew: Crew) -> Iterator[tuple[int, Result]]:
        """Do what is left with the workers."""
        for index, state in enumerate(self.states):
            if not state.over:
                self._next(index)
        under_way: dict[Future[Any], _Task] = {}
        while self.queue or under_way:
            self._drop_what_is_late()
            self._hand_out(crew, under_way)
            done, _ = wait(under_way, self._patience(), FIRST_COMPLETED)
            self._show(self.entries_done, "")
            suspects = []
            for future in sorted(done, key=lambda future: under_way[future].index):
                error = future.exception()
                if error is not None and crew.is_death(error):
                    suspects.append(under_way.pop(future))
                else:
                    yield from self._take(under_way.pop(future), future)
            if suspects:
                suspects += self._rest(under_way)
                yield from self._one_by_one(crew, suspects)
            elif self._is_stuck(under_way.values()):
                yield from self._give_up(crew, self._rest(under_way))
        yield from self._late_ones()

    def _hand_out(self, crew: Crew, under_way: dict[Future[Any], _Task]) -> None:
        while self.queue and len(under_way) < _AHEAD * crew.count:
            row = heapq.heappop(self.queue)
            task = row[-1]
            if self.states[task.index].over:
                continue
            try:
                under_way[crew.submit(*self._call(task))] = task
            except Exception as error:
                if not crew.is_death(error):
                    raise
                heapq.heappush(self.queue, row)
                if not under_way:
                    crew.stop()
                return

    def _call(self, task: _Task) -> tuple[Any, ...]:
        state = self.states[task.index]
        if task.kind == _PLAN:
            return tasks.plan, state.job
        if task.kind == _SWEEP:
            return tasks.sweep, state.job, task.part, self.deadline
        return tasks.judge, state.job, state.answers, self._limit(state), self.orders.dump

    def _take(self, task: _Task, future: Future[Any]) -> Iterator[tuple[int, Result]]:
        """Note what a task has found, and queue what follows from it."""
        try:
            result = future.result()
        except NothingSelected as nothing:
            yield self._ended(task.index, nothing)
            return
        yield from self._note(task, result)

    def _note(self, task: _Task, result: Any) -> Iterator[tuple[int, Result]]:
        state = self.states[task.index]
        if task.kind == _JUDGE:
            yield self._ended(task.index, result)
            return
        if task.kind == _PLAN:
            state.plan = result
        elif task.part is not None:
            self._take_answer(state, task.part, result)
        self._next(task.index, planned=task.kind == _PLAN)

    def _next(self, index: int, planned: bool = True) -> None:
        """Queue what comes next for a job."""
        state = self.states[index]
        if state.plan is None:
            self._queue(_Task(_PLAN, index))
        elif not state.missing() and not state.judging:
            state.judging = True
            self._queue(_Task(_JUDGE, index))
        elif planned:
            for part in state.missing():
                self._queue(_Task(_SWEEP, index, part))

    def _queue(self, task: _Task) -> None:
        """The long sweeps of a job first: a short one at the end keeps nobody waiting."""
        entries = task.part.entries if task.part else 0
        heapq.heappush(self.queue, (task.kind, task.index, -entries, next(self.numbers), task))

    def _rest(self, under_way: dict[Future[Any], _Task]) -> list[_Task]:
        """Everything that is under way, taken back."""
        taken = list(under_way.values())
        under_way.clear()
        return taken

    def _one_by_one(self, crew: Crew, suspects: list[_Task]) -> Iterator[tuple[int, Result]]:
        """Repeat what was under way when a worker died, each alone; a task that dies again is the end of its job."""
        crew.stop()
        for task in sorted(suspects, key=lambda task: task.index):
            state = self.states[task.index]
            if state.over:
                continue
            try:
                alive, result = crew.alone(*self._call(task))
            except NothingSelected as nothing:
                yield self._ended(task.index, nothing)
                continue
            if alive:
                yield from self._note(task, result)
            else:
                yield self._ended(task.index, self._died(state, task, result))

    # When time runs out ---------------------------------------------------------------------------------------------

    def _is_late(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline

    def _patience(self) -> float | None:
        """How long to wait for a task: for ever, but for a look at the clock where there is a deadline."""
        return 0.1 if self.deadline is not None else 1.0

    def _drop_what_is_late(self) -> None:
        """Leave the plans and sweeps that are still in the queue; judge what is known of a job."""
        if not self._is_late():
            return
        waiting = [row[-1] for row in self.queue]
        self.queue = []
        for task in waiting:
            state = self.states[task.index]
            if task.kind == _JUDGE:
                self._queue(task)
            elif task.part is not None:
                self._leave(state, task.part)
                self._next(task.index, planned=False)

    def _leave(self, state: _State, part: Part) -> None:
        state.answered.add(part)
        state.unreached.append(part)

    def _limit(self, state: _State) -> Limit | None:
        parts = sorted({*state.unreached, *state.missing()}, key=lambda part: part.order)
        if not parts or self.orders.max_time is None:
            return None
        return Limit(self.orders.max_time, tuple(part.name for part in parts))

    def _is_stuck(self, under_way: Any) -> bool:
        """Whether a task runs on long after it should have seen that time has run out."""
        if self.deadline is None or time.time() < self.deadline + _GRACE:
            return False
        return any(task.kind != _JUDGE for task in under_way)

    def _give_up(self, crew: Crew, under_way: list[_Task]) -> Iterator[tuple[int, Result]]:
        """End the workers; the jobs whose plan or sweep does not end are over."""
        crew.stop()
        for task in under_way:
            state = self.states[task.index]
            if task.kind == _JUDGE:
                self._queue(task)
            elif not state.over:
                yield self._ended(task.index, self._never_begun(state))

    def _late_ones(self) -> Iterator[tuple[int, Result]]:
        for index, state in enumerate(self.states):
            if not state.over:
                yield self._ended(index, self._never_begun(state))

    # What a job leaves ----------------------------------------------------------------------------------------------

    def _take_answer(self, state: _State, part: Part, answer: Answer) -> None:
        assert state.plan is not None
        if answer.digest != state.plan.digest:
            raise UsageError(
                f"{state.job.path}: two workers read different numbers; all of them must see the same files, and those "
                "must not change while the run lasts"
            )
        if not answer.in_time:
            self._leave(state, part)
            return
        state.answered.add(part)
        self.entries_done += part.entries
        if answer.found is not None:
            state.answers[part.name] = answer.found

    def _ended(self, index: int, result: Result) -> tuple[int, Result]:
        self.states[index].over = True
        self.states[index].answers = {}
        return index, result

    def _never_begun(self, state: _State) -> Outcome:
        assert self.orders.max_time is not None
        seed = self._seed(state)
        return Outcome(never_begun(state.job.path, seed or 0, self.orders.max_time, self._command(state.job, seed)))

    def _died(self, state: _State, task: _Task, layer: str) -> Outcome:
        what = {
            _PLAN: "its first forward and backward pass",
            _SWEEP: f"the sweep of {task.part.name}" if task.part else "",
            _JUDGE: "the checks that follow the sweeps",
        }[task.kind]
        seed = self._seed(state)
        death = Death(what, task.part.name if task.part else None, layer)
        return Outcome(died(state.job.path, seed or 0, death, self._command(state.job, seed)))

    def _seed(self, state: _State) -> int | None:
        return state.plan.seed if state.plan else state.job.overrides.seed

    def _command(self, job: Job, seed: int | None) -> str:
        return repeating(job.path, job.plugins, seed, job.overrides)

    def _known(self) -> int:
        return sum(part.entries for state in self.states if state.plan for part in state.plan.parts)

    def _show(self, done: int, name: str) -> None:
        over = sum(state.over for state in self.states)
        specs = f"{over:,} of {len(self.states):,} specs" if len(self.states) > 1 else ""
        self.progress(done, self._known(), "  ".join(filter(None, (specs, name))))
