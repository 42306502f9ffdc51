"""Racing on a machine that is not ours alone: interleaved rounds, quotients within a round, and their spread.

A machine that slows down for a minute slows down all contestants of that round alike, so a quotient is taken within
each round, and the median of the quotients is the figure.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

#: A sample lasts at least so many seconds: what is faster is called repeatedly.
_LEAST = 0.05
_MOST_CALLS = 2000
#: A first call that takes longer is not repeated to find out how long the others take.
_LONG = 1.0


@dataclass(frozen=True)
class Contestant:
    """What is timed.

    share  of the work that one call does: the time is divided by it, and marked with a star where it is not 1
    """

    name: str
    run: Callable[[], Any]
    share: float = 1.0


@dataclass(frozen=True)
class Timing:
    """Seconds of one contestant in each round."""

    name: str
    seconds: tuple[float, ...]
    starred: bool = False

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """Quotients of two contestants: the median over the rounds, and the least and the greatest."""

    median: float
    low: float
    high: float
    starred: bool = False

    def __str__(self) -> str:
        star = "*" if self.starred else ""
        return f"{self.median:.3g}{star} ({self.low:.3g} to {self.high:.3g})"


def race(contestants: Sequence[Contestant], rounds: int) -> list[Timing]:
    """Call everybody once to warm up, then in so many rounds, each of which begins with another contestant."""
    calls = [_calls(contestant.run) for contestant in contestants]
    seconds: list[list[float]] = [[] for _ in contestants]
    for start in range(rounds):
        for place in range(len(contestants)):
            k = (start + place) % len(contestants)
            seconds[k].append(_sample(contestants[k].run, calls[k]) / contestants[k].share)
    return [
        Timing(contestant.name, tuple(taken), starred=contestant.share != 1)
        for contestant, taken in zip(contestants, seconds, strict=True)
    ]


def ratio(slow: Timing, fast: Timing) -> Ratio:
    """How many times as long the first takes, round by round."""
    quotients = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    return Ratio(median(quotients), min(quotients), max(quotients), slow.starred or fast.starred)


def spread(values: Sequence[float]) -> Ratio:
    """Figures that were taken round by round, summed up like quotients."""
    return Ratio(median(values), min(values), max(values))


def _calls(run: Callable[[], Any]) -> int:
    """How many calls make a sample. The first one warms up: imports, compilation, caches."""
    if _sample(run, 1) > _LONG:
        return 1
    return min(_MOST_CALLS, max(1, math.ceil(_LEAST / _sample(run, 1))))


def _sample(run: Callable[[], Any], calls: int) -> float:
    """Seconds of one call. The garbage of others is collected beforehand, and nobody's meanwhile.

    What is called repeatedly is called once more before, for what the one before has left in the caches of the machine.
    """
    gc.collect()
    gc.disable()
    try:
        if calls > 1:
            run()
        started = perf_counter()
        for _ in range(calls):
            run()
        return (perf_counter() - started) / calls
    finally:
        gc.enable()
