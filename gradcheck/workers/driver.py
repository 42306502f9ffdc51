"""Many specs, and the tensors of each, over the workers that there are.

Every job goes the same way: plan, one sweep for each of its parts, judge. Without workers these tasks are done here,
one after the other; with workers by them, as soon as it is known that there is enough to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.workers import tasks
from gradcheck.workers.here import here
from gradcheck.workers.run import Orders, Progress, Result, Run
from gradcheck.workers.tasks import Job


def run_jobs(jobs: list[Job], orders: Orders, progress: Progress) -> Iterator[tuple[int, Result]]:
    """Run all jobs -> the place of each and what it leaves, as they are finished.

    GradcheckError where the run cannot be done as asked.
    """
    run = Run(jobs, orders, progress)
    try:
        if not orders.isolated:
            yield from here(run)
        if orders.crew is not None and not all(state.over for state in run.states):
            from gradcheck.workers.spread import Spread

            yield from Spread(run, orders.crew).finish()
    finally:
        tasks.forget()
        if orders.crew is not None:
            orders.crew.stop()
