"""A run without workers: everything here, one after the other, until there is enough to do for the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gradcheck.errors import NothingSelected
from gradcheck.workers import tasks
from gradcheck.workers.run import Orders, Result, Run
from gradcheck.workers.tasks import Job, Plan

#: A worker is ready after so many seconds; they start where they gain more than twice that.
STARTING = 0.6
#: How long a sweep is watched before its rate is believed, in seconds.
_WATCHED = 0.1


class _Elsewhere(Exception):  # noqa: N818 - it hands a sweep over to the workers
    """There is enough to do for the workers."""


def here(run: Run) -> Iterator[tuple[int, Result]]:
    """Do everything in this process; stop where the rest is better done by the workers."""
    for index, state in enumerate(run.states):
        if run.is_late:
            yield run.ended(index, run.never_begun(state))
            continue
        try:
            state.plan = tasks.plan(state.job)
        except NothingSelected as nothing:
            yield run.ended(index, nothing)
            continue
        try:
            _sweep(run, index)
        except _Elsewhere:
            return
        if _pays(run, _waiting(run, index)):
            return
        yield run.ended(index, tasks.judge(state.job, state.answers, run.limit(state), run.orders.dump))


def whole(job: Job, dump: bool) -> tuple[Plan, Result]:
    """The whole of one job, which a worker does by itself: it prepares the spec once for all that follows."""
    run = Run([job], Orders(dump=dump), lambda *shown: None)
    ((_, result),) = here(run)
    return run.states[0].plan or Plan((), None, ""), result


def _sweep(run: Run, index: int) -> None:
    state = run.states[index]
    for part in state.missing():
        if run.is_late:
            return
        before, begun = run.entries_done, time.perf_counter()

        def tick(done: int, before: int = before, begun: float = begun, name: str = part.name) -> None:
            run.show(before + done, name)
            if _is_enough(run, index, before + done, done, time.perf_counter() - begun):
                raise _Elsewhere

        run.take(state, part, tasks.sweep(state.job, part, run.deadline, tick))


def _is_enough(run: Run, index: int, done_in_all: int, done: int, seconds: float) -> bool:
    """Whether workers would finish the rest so much earlier that it is worth starting them."""
    if seconds < _WATCHED or not done:
        return False
    return _pays(run, (run.known - done_in_all) * seconds / done + _waiting(run, index))


def _waiting(run: Run, index: int) -> float:
    """About how long the specs behind this one will take, at least: as long as those until now have taken already."""
    return (len(run.states) - index - 1) * (time.time() - run.started) / (index + 1)


def _pays(run: Run, remaining: float) -> bool:
    """Whether workers save more than twice what it takes to start them, where so many seconds of work are left."""
    crew = run.orders.crew
    return crew is not None and crew.count > 1 and remaining * (1 - 1 / crew.count) > 2 * STARTING
