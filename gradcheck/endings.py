"""How the run of a spec ends before everything was said: time ran out, or a worker died of it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gradcheck.findings import CheckResult, Finding, SpecReport

_SHOWN = 5
#: The text of every code that is given here.
TEXTS = {
    "GC902": """A layer or loss of a plugin that ends the process it runs in.

## What it is
A worker process died while it evaluated this spec. The task was repeated in a fresh worker that had nothing else to do,
and that one died, too. The finding says what was under evaluation, and which layer of a plugin was entered last.

## Why it is bad
Nothing can be said about this spec: a process that is gone leaves no gradient to be judged. The other specs of the run
are not touched by it.

## Typical causes
A crash in compiled code (a wrong pointer or size), os._exit or sys.exit deep in a library, a batch that takes more
memory than there is: copies of the batch are stacked in a sweep, so that forward sees more samples than a spec has.

## How to repair
Call forward by hand on the shapes that the finding names, under a debugger or `python -X faulthandler`; call it with
several times as many samples, and with complex numbers.

## How to silence
It cannot be checked as it is: leave the spec out. `--ignore GC902` ignores the finding.
""",
    "GC903": """A run that was cut short by --max-time.

## What it is
Time ran out before every entry was evaluated. What was evaluated by then is judged as ever; the entries of the tensors
that the finding names are counted as not checked.

## Why it is bad
It says nothing about the gradient. But a gate that passes because it stopped looking would be worse than none, so this
is an error.

## Typical causes
A limit for a smaller network, a machine that others use at the same time, a batch that is larger than the check needs,
a layer whose forward is slow.

## How to repair
Allow more time, use more workers (`--jobs`), or make the check smaller: a few samples show every mistake in a formula.

## How to silence
`--ignore GC903` lets a run pass on what it has reached.
""",
}


class Limit(Struct, frozen=True):
    """A run that took longer than it was allowed to.

    seconds    how long it was allowed to take
    unreached  the tensors whose entries were not all evaluated
    """

    seconds: float
    unreached: tuple[str, ...]


class Death(Struct, frozen=True):
    """What was under evaluation when a worker died of it, twice.

    task    in words: `the sweep of linear_1.weight`
    tensor  the tensor whose sweep it was; None where it was none
    layer   the layer of a plugin that was entered last, empty where that could not be seen
    """

    task: str
    tensor: str | None = None
    layer: str = ""


def out_of_time(limit: Limit, entries: int, layer: str, replay: str) -> Finding:
    """The finding about the tensors that were not reached; `entries` is how many entries they have."""
    names = ", ".join(limit.unreached[:_SHOWN])
    if len(limit.unreached) > _SHOWN:
        names += f" and {len(limit.unreached) - _SHOWN:,} more"
    message = (
        f"time ran out after {limit.seconds:g} s: {entries:,} entries were not checked ({names}); nothing is known "
        "about them. Allow more time with --max-time, or use more workers with --jobs."
    )
    return Finding("time-1", "GC903", "error", layer, message, limit.unreached[0], replay=replay)


def never_begun(path: str, seed: int, seconds: float, replay: str) -> SpecReport:
    """The report on a spec that was not begun, or not prepared, before time ran out."""
    message = (
        f"time ran out after {seconds:g} s, before any entry of this spec was checked; nothing is known about it. "
        "Allow more time with --max-time, or use more workers with --jobs."
    )
    finding = Finding("time-1", "GC903", "error", "", message, replay=replay)
    return _report(path, "inconclusive", seed, finding)


def died(path: str, seed: int, death: Death, replay: str) -> SpecReport:
    """The report on a spec whose evaluation ends the process that it runs in."""
    whose = f"layer {death.layer} of a plugin was being evaluated" if death.layer else "its plugins come into question"
    message = (
        f"the worker process died twice in {death.task}, the second time with nothing else to do: {whose}. Code that "
        "ends its process (a crash in compiled code, os._exit, too much memory) leaves no gradient to be judged."
    )
    finding = Finding("worker-1", "GC902", "error", death.layer, message, death.tensor, replay=replay)
    return _report(path, "fail", seed, finding)


def _report(path: str, verdict: str, seed: int, finding: Finding) -> SpecReport:
    result = CheckResult("gradient", finding.code, verdict, finding.message)
    name = "stdin" if path == "-" else Path(path).stem
    return SpecReport(path, name, verdict, seed, checks=(result,), findings=(finding,), replay=finding.replay)
