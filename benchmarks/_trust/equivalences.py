"""The equivalences and the contract by themselves: what they say about networks whose every backward is right."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from msgspec import structs

from _trust.nets import LARGE, Net, Profile, draw_net
from _trust.recipes import NoRecipe, Units
from gradcheck.pipeline import run_case

#: The checks, in the order in which they run; all but those about single entries.
CHECKS = ("contract", "reduction", "output_error", "per_sample", "accumulation")
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Said:
    """What was said about one net in one precision.

    verdicts  by check, those of the terms of its loss
    against   findings that are more than a note, and exceptions, as sentences
    """

    index: int
    dtype: str
    layers: tuple[str, ...] = ()
    loss: str = ""
    verdicts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    against: tuple[str, ...] = ()


def tasks(seed: int, indices: Iterable[int], profile: Profile = LARGE) -> list[tuple[int, int, Profile]]:
    """One task for each net."""
    return [(seed, index, profile) for index in indices]


def trial(task: tuple[int, int, Profile]) -> list[Said]:
    """Draw the net of (seed, index, profile) and ask for these checks alone; nothing where it cannot be drawn."""
    seed, index, profile = task
    try:
        net = draw_net(units(), seed, index, profile)
    except NoRecipe:
        return []
    return [asked(net, dtype) for dtype in DTYPES]


@cache
def units() -> Units:
    """The catalogue, looked through once in each process."""
    return Units.of_catalogue()


def asked(net: Net, dtype: str) -> Said:
    """One net in one precision."""
    said = Said(net.index, dtype, net.layers, f"{net.loss} {net.reduction}")
    try:
        report = run_case(structs.replace(net.case(dtype), checks=CHECKS), "").report
    except Exception as error:  # whatever escapes is a defect of gradcheck, which is what is measured here
        where = traceback.extract_tb(error.__traceback__)[-1]
        return replace(said, against=(f"{type(error).__name__} at {where.name}:{where.lineno}: {error}",))
    verdicts = {name: tuple(c.verdict for c in report.checks if c.check == name) for name in CHECKS}
    against = tuple(f"{f.code} {f.message}" for f in report.findings if f.severity != "note")
    return replace(said, verdicts=verdicts, against=against)


def tally(found: Sequence[Said]) -> dict[str, dict[str, Counter[str]]]:
    """By precision and check, how often each verdict was given."""
    return {
        dtype: {
            name: Counter(v for said in found if said.dtype == dtype for v in said.verdicts.get(name, ()))
            for name in CHECKS
        }
        for dtype in DTYPES
    }


def alarms(found: Sequence[Said]) -> list[Said]:
    """The nets of which anything bad was said."""
    bad = ("fail", "inconclusive")
    return [said for said in found if said.against or any(v in bad for some in said.verdicts.values() for v in some)]
