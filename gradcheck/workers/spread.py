"""A run whose tasks are done by workers."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from msgspec import Struct

from gradcheck.endings import Death, died
from gradcheck.errors import NothingSelected
from gradcheck.pipeline import Outcome
from gradcheck.workers import tasks
from gradcheck.workers.here import whole
from gradcheck.workers.run import Crew, Result, Run, State
from gradcheck.workers.tasks import Part

#: Every so many seconds the clock and the workers' progress are looked at.
_LOOK = 0.2
#: Tasks handed out for each worker: one that it does, and one that waits for it.
_AHEAD = 2
#: How long a task may run after time has run out, in seconds: those that look at the clock stop long before.
_GRACE = 10.0
_JUDGE, _SWEEP, _PLAN, _WHOLE = range(4)


class _Task(Struct, frozen=True):
    kind: int
    index: int
    part: Part | None = None


class Spread:
    """The queue of what can be done, and what is under way.

    apart  the jobs that a worker has died of: they are done part by part, so that it is known of which
    """

    def __init__(self, run: Run, crew: Crew) -> None:
        self.run, self.crew = run, crew
        self.queue: list[tuple[int, int, int, int, _Task]] = []
        self.numbers = itertools.count()
        self.under_way: dict[Future[Any], _Task] = {}
        self.apart: set[int] = set()

    def finish(self) -> Iterator[tuple[int, Result]]:
        """Do what is left -> the place of each job and what it leaves, as they are finished."""
        before = self.run.entries_done
        for index, state in enumerate(self.run.states):
            if not state.over:
                self._next(index)
        while self.queue or self.under_way:
            self._drop_what_is_late()
            self._hand_out()
            done, _ = wait(self.under_way, _LOOK, FIRST_COMPLETED)
            self.run.show(max(self.run.entries_done, before + self.crew.swept()))
            yield from self._take(done)
        for index, state in enumerate(self.run.states):
            if not state.over:
                yield self.run.ended(index, self.run.never_begun(state))

    def _take(self, done: Iterable[Future[Any]]) -> Iterator[tuple[int, Result]]:
        suspects = []
        for future in sorted(done, key=lambda future: self.under_way[future].index):
            task, error = self.under_way.pop(future), future.exception()
            if isinstance(error, NothingSelected):
                yield self.run.ended(task.index, error)
            elif error is not None and self.crew.is_death(error):
                suspects.append(task)
            else:
                yield from self._note(task, future.result())
        if suspects:
            yield from self._one_by_one(suspects + self._taken_back())
        elif self._is_stuck():
            yield from self._give_up(self._taken_back())

    def _hand_out(self) -> None:
        while self.queue and len(self.under_way) < _AHEAD * self.crew.count:
            row = heapq.heappop(self.queue)
            task = row[-1]
            if self.run.states[task.index].over:
                continue
            if task.kind == _PLAN and self._are_plenty(task.index):
                task = _Task(_WHOLE, task.index)
            try:
                self.under_way[self.crew.submit(*self._call(task))] = task
            except Exception as error:
                if not self.crew.is_death(error):
                    raise
                heapq.heappush(self.queue, row)
                if not self.under_way:
                    self.crew.stop()
                return

    def _are_plenty(self, index: int) -> bool:
        """Whether a job is one of so many that each worker is best left to jobs of its own.

        Not where time may run out, which is looked at between the parts, nor where a worker died of one.
        """
        begun = {task.index for task in self.under_way.values()}
        left = sum(not state.over and not state.plan and k not in begun for k, state in enumerate(self.run.states))
        return left >= self.crew.count and self.run.deadline is None and index not in self.apart

    def _call(self, task: _Task) -> tuple[Any, ...]:
        state = self.run.states[task.index]
        if task.kind == _WHOLE:
            return whole, state.job, self.run.orders.dump
        if task.kind == _PLAN:
            return tasks.plan, state.job
        if task.kind == _SWEEP:
            return tasks.sweep, state.job, task.part, self.run.deadline
        return tasks.judge, state.job, state.answers, self.run.limit(state), self.run.orders.dump

    def _note(self, task: _Task, result: Any) -> Iterator[tuple[int, Result]]:
        """Note what a task has found, and queue what follows from it."""
        state = self.run.states[task.index]
        if task.kind == _WHOLE:
            state.plan, result = result
            self.run.entries_done += sum(part.entries for part in state.plan.parts)
        if task.kind in (_JUDGE, _WHOLE):
            yield self.run.ended(task.index, result)
            return
        if task.kind == _PLAN:
            state.plan = result
        elif task.part is not None:
            self.run.take(state, task.part, result)
        self._next(task.index, planned=task.kind == _PLAN)

    def _next(self, index: int, planned: bool = True) -> None:
        """Queue what comes next for a job; its sweeps only once, when it is `planned`."""
        state = self.run.states[index]
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

    def _taken_back(self) -> list[_Task]:
        taken = list(self.under_way.values())
        self.under_way.clear()
        return taken

    def _one_by_one(self, suspects: list[_Task]) -> Iterator[tuple[int, Result]]:
        """Repeat what was under way when a worker died, each alone; a task that dies again is the end of its job."""
        self.crew.stop()
        for task in sorted(suspects, key=lambda task: task.index):
            state = self.run.states[task.index]
            if state.over:
                continue
            if task.kind == _WHOLE:
                self.apart.add(task.index)
                self._next(task.index)
                continue
            try:
                alive, result = self.crew.alone(*self._call(task))
            except NothingSelected as nothing:
                yield self.run.ended(task.index, nothing)
                continue
            if alive:
                yield from self._note(task, result)
            else:
                yield self.run.ended(task.index, self._died(state, task, result))

    def _died(self, state: State, task: _Task, layer: str) -> Outcome:
        what = {
            _PLAN: "the preparation of the network",
            _SWEEP: f"the sweep of {task.part.name}" if task.part else "",
            _JUDGE: "the checks that follow the sweeps",
        }[task.kind]
        death = Death(what, task.part.name if task.part else None, layer)
        seed, command = self.run.repeat(state)
        return Outcome(died(state.job.path, seed, death, command))

    def _drop_what_is_late(self) -> None:
        """Leave the plans and sweeps that are still in the queue; judge what is known of a job."""
        if not self.run.is_late:
            return
        waiting = [row[-1] for row in self.queue]
        self.queue = []
        for task in waiting:
            state = self.run.states[task.index]
            if task.kind == _JUDGE:
                self._queue(task)
            elif task.part is not None:
                self.run.leave(state, task.part)
                self._next(task.index, planned=False)

    def _is_stuck(self) -> bool:
        """Whether a plan or sweep runs on long after it should have seen that time has run out."""
        if self.run.deadline is None or time.time() < self.run.deadline + _GRACE:
            return False
        return any(task.kind != _JUDGE for task in self.under_way.values())

    def _give_up(self, under_way: list[_Task]) -> Iterator[tuple[int, Result]]:
        """End the workers; the jobs whose plan or sweep does not end are over."""
        self.crew.stop()
        for task in under_way:
            state = self.run.states[task.index]
            if task.kind == _JUDGE:
                self._queue(task)
            elif not state.over:
                yield self.run.ended(task.index, self.run.never_begun(state))
