"""A run of several specs: how far each of them has got, and what it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from gradcheck.endings import Limit, never_begun
from gradcheck.errors import NothingSelected, UsageError
from gradcheck.gradients.numeric.ladder import Rungs
from gradcheck.pipeline import Outcome, repeating
from gradcheck.workers.tasks import Answer, Job, Part, Plan

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Called with (entries done, entries in all, what is under way); the total is that of the specs known so far.
Progress = Callable[[int, int, str], None]
#: What a job leaves: an outcome, or why nothing of it was selected.
Result = Outcome | NothingSelected


class Crew(Protocol):
    """Workers: an executor, and what to do about deaths."""

    count: int

    def swept(self) -> int:
        """How many entries the workers have swept, those of unfinished sweeps included, as far as that is known."""

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task to a worker."""

    def is_death(self, error: BaseException) -> bool:
        """Whether a task failed because a worker died."""

    def alone(self, task: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Run a task with nothing else beside it -> (True, its result), or (False, the layer its worker died in)."""

    def stop(self) -> None:
        """End the workers, or what they do for us."""


class Orders(Struct, frozen=True):
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


class State(Struct):
    """How far a job has got."""

    job: Job
    plan: Plan | None = None
    answers: dict[Part, Rungs] = field(default_factory=dict)
    answered: set[Part] = field(default_factory=set)
    unreached: list[Part] = field(default_factory=list)
    judging: bool = False
    over: bool = False

    def missing(self) -> list[Part]:
        """The parts without an answer."""
        return [part for part in (self.plan.parts if self.plan else ()) if part not in self.answered]


class Run:
    """The state of a run, and what both ways to do it have in common."""

    def __init__(self, jobs: list[Job], orders: Orders, progress: Progress) -> None:
        self.states = [State(job) for job in jobs]
        self.orders, self.progress = orders, progress
        self.started = time.time()
        self.deadline = None if orders.max_time is None else self.started + orders.max_time
        self.entries_done = 0

    @property
    def is_late(self) -> bool:
        """Whether time has run out."""
        return self.deadline is not None and time.time() > self.deadline

    @property
    def known(self) -> int:
        """How many entries there are in the specs that are planned."""
        return sum(part.entries for state in self.states if state.plan for part in state.plan.parts)

    def take(self, state: State, part: Part, answer: Answer) -> None:
        """Note what a sweep has found."""
        assert state.plan is not None
        if answer.digest != state.plan.digest:
            raise UsageError(
                f"{state.job.path}: two workers read different numbers; all of them must see the same files, and those "
                "must not change while the run lasts"
            )
        if not answer.in_time:
            self.leave(state, part)
            return
        state.answered.add(part)
        self.entries_done += part.entries
        if answer.found is not None:
            state.answers[part] = answer.found

    def leave(self, state: State, part: Part) -> None:
        """A part that is not to be swept any more."""
        state.answered.add(part)
        state.unreached.append(part)

    def limit(self, state: State) -> Limit | None:
        """What of a job was not reached before time ran out; None where all was."""
        parts = sorted({*state.unreached, *state.missing()}, key=lambda part: part.order)
        if not parts or self.orders.max_time is None:
            return None
        return Limit(self.orders.max_time, tuple(dict.fromkeys(part.name for part in parts)))

    def ended(self, index: int, result: Result) -> tuple[int, Result]:
        """A job is over."""
        self.states[index].over = True
        self.states[index].answers = {}
        return index, result

    def never_begun(self, state: State) -> Outcome:
        """What a job leaves that time did not suffice for."""
        assert self.orders.max_time is not None
        seed, command = self.repeat(state)
        return Outcome(never_begun(state.job.path, seed, self.orders.max_time, command))

    def repeat(self, state: State) -> tuple[int, str]:
        """The seed of a job as far as it is known, and the command that repeats it."""
        job = state.job
        seed = state.plan.seed if state.plan else job.overrides.seed
        return seed or 0, repeating(job.path, job.plugins, seed, job.overrides)

    def show(self, done: int, name: str = "") -> None:
        """Show how far the run has got."""
        over, total = sum(state.over for state in self.states), self.known
        specs = f"{over:,} of {len(self.states):,} specs" if len(self.states) > 1 else ""
        self.progress(min(done, total), total, "  ".join(filter(None, (specs, name))))
