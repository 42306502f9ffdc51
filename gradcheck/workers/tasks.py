"""What a worker does: prepare a spec, sweep a block of one of its tensors, judge what the sweeps found.

A task is a function of plain data: a worker reads the spec itself, from its text, with its plugins and its seed, and
keeps the network for the tasks to come. So a task gives the same bytes in whichever process it runs, and a run with
one worker is made of the same tasks as a run with many.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gradcheck import pipeline
from gradcheck._scene import Scene
from gradcheck.catalogue import Catalogue
from gradcheck.endings import Limit
from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.ladder import Rungs
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.pipeline import Outcome
from gradcheck.spec.read import Overrides
from gradcheck.workers.blocks import Array, Request, evaluated, joined, parts, request

#: How many specs a worker keeps prepared.
_KEPT = 4
#: A cluster may give a process several tasks at once, in threads; what is kept serves one at a time.
_ONE_AT_A_TIME = RLock()


class Job(Struct, frozen=True):
    """One spec to be run, as plain data. Relative paths, plugins included, start at `folder`."""

    path: str
    text: str
    plugins: tuple[str, ...]
    overrides: Overrides
    folder: str


class Part(Struct, frozen=True):
    """A block of the sweep of one tensor.

    order    the tensor's place in the report
    block    the block's place in the tensor
    entries  how many it has
    """

    order: int
    name: str
    block: int
    entries: int


class Plan(Struct, frozen=True):
    """The parts of a job; none where there is nothing to sweep, because the spec is refused or a plugin fails.

    digest  of all numbers at the point: workers that see other files have another one
    """

    parts: tuple[Part, ...]
    seed: int | None
    digest: str


class Answer(Struct, frozen=True):
    """What a sweep found.

    found     None where a plugin failed on the way, which is met again by whoever judges
    in_time   whether it was finished before the deadline
    """

    found: Rungs | None
    in_time: bool
    digest: str


class Meter:
    """Entries that this process has swept, for whoever watches: called with every few more."""

    def __init__(self) -> None:
        self.watch: Callable[[int], object] | None = None

    def of_sweep(self) -> Callable[[int], None]:
        """A function that is told how many entries of one sweep are done."""
        before = 0

        def tick(done: int) -> None:
            nonlocal before
            if self.watch is not None:
                self.watch(done - before)
            before = done

        return tick


#: What a pool of processes connects to a counter of its own.
METER = Meter()


class OutOfTime(Exception):  # noqa: N818 - it ends a sweep, and is no error of anybody's
    """A sweep has met its deadline."""


def plan(job: Job) -> Plan:
    """Read and prepare a spec -> its parts. GradcheckError where the job cannot be run as asked."""
    with _at_home(job):
        kept = _kept(job)
        if kept.scene is None:
            return Plan((), None, "")
        parts = tuple(
            Part(order, name, number, len(block))
            for order, name in enumerate(kept.scene.schemes)
            for number, block in enumerate(kept.blocks(name))
        )
        return Plan(parts, kept.scene.case.seed, kept.digest)


def sweep(job: Job, part: Part, deadline: float | None = None, tick: Callable[[int], None] | None = None) -> Answer:
    """Sweep one block, until `deadline` at most (as time.time() counts)."""
    measure = METER.of_sweep()

    def watched(done: int) -> None:
        if deadline is not None and time.time() > deadline:
            raise OutOfTime
        measure(done)
        if tick is not None:
            tick(done)

    with _at_home(job):
        kept = _kept(job)
        assert kept.scene is not None, "a job without a scene has no parts"
        try:
            block, of = kept.blocks(part.name)[part.block], kept.request(part.name)
            return Answer(evaluated(kept.scene.fresh(), part.name, block, of, watched), True, kept.digest)
        except LayerFailure:
            return Answer(None, True, kept.digest)
        except OutOfTime:
            return Answer(None, False, kept.digest)


def judge(job: Job, answers: Mapping[Part, Rungs], limit: Limit | None = None, dump: bool = False) -> Outcome:
    """Run the checks on what the sweeps found. A tensor that lacks an answer is swept here, unless time ran out first.

    limit  what was not reached before time ran out
    dump   whether the gradients are wanted, and not only the report
    """
    with _at_home(job):
        kept = _kept(job)
        if isinstance(kept.opened, Outcome):
            return kept.opened

        def answered(stage: Stage, name: str, *arguments: Any) -> Rungs:
            of = kept.blocks(name)
            found = {part.block: rungs for part, rungs in answers.items() if part.name == name}
            if len(found) < len(of):
                return kept.climb(stage, name, *arguments)
            return joined(of, [found[number] for number in range(len(of))])

        opened = kept.opened
        outcome = pipeline.run_case(opened.case, opened.replay, sweep=answered, scene=kept.scene, limit=limit)
        return outcome if dump else replace(outcome, gradients={})


def forget() -> None:
    """Let go of all specs that are kept."""
    for kept in (_kept, _catalogue):
        kept.cache_clear()


class _Kept:
    """One spec, read and prepared, and what its tasks ask for again and again: all of it about one and the same case.

    opened  the case, or why it cannot be run
    """

    def __init__(self, job: Job) -> None:
        catalogue = _catalogue(job.plugins, job.folder)
        self.opened = pipeline.open_spec(job.path, job.text, catalogue, job.overrides)
        self._blocks: dict[str, list[Array]] = {}
        self._requests: dict[str, Request] = {}

    @cached_property
    def scene(self) -> Scene | None:
        """Everything that sweeps need; None where the spec cannot be run, or a plugin fails on the way."""
        if isinstance(self.opened, Outcome):
            return None
        with suppress(LayerFailure):
            return pipeline.prepared(self.opened.case)
        return None

    @cached_property
    def digest(self) -> str:
        """Of all numbers at the point."""
        assert self.scene is not None
        found = hashlib.sha256()
        for name, array in sorted(self.scene.case.point.arrays.items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def climb(self, *arguments: Any) -> Rungs:
        """Evaluate what has no answer yet."""
        assert self.scene is not None
        return self.scene.climb(*arguments)

    def blocks(self, name: str) -> list[Array]:
        """The blocks of the sweep of a tensor: flat indices, or draws."""
        assert self.scene is not None
        if name not in self._blocks:
            self._blocks[name] = parts(self.scene, name)
        return self._blocks[name]

    def request(self, name: str) -> Request:
        """What the sweep of a tensor is asked for."""
        assert self.scene is not None
        if name not in self._requests:
            self._requests[name] = request(self.scene.fresh(), name)
        return self._requests[name]


@lru_cache(maxsize=_KEPT)
def _kept(job: Job) -> _Kept:
    return _Kept(job)


@lru_cache(maxsize=_KEPT)
def _catalogue(plugins: tuple[str, ...], folder: str) -> Catalogue:
    return Catalogue(plugins)


@contextmanager
def _at_home(job: Job) -> Iterator[None]:
    """One task at a time, in the folder in which the command was given."""
    with _ONE_AT_A_TIME, np.errstate(all="ignore"):
        here = Path.cwd()
        if str(here) == job.folder:
            yield
            return
        os.chdir(job.folder)
        try:
            yield
        finally:
            os.chdir(here)
