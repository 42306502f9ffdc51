"""One of several uses is lost, or counted twice.

## What it is
Every entry is used several times (copied, repeated, taken by two paths), and a - n is a whole multiple of what one of
the uses gives.

## Why it is bad
The gradient of what is shared is the sum over all its uses; each one that is lost is a way that does not learn.

## Typical causes
A copy's gradient that is not added up; a residual path without its own gradient, or with half of it; the same layer
called twice with one cache.

## How to repair
Add up: one term for every use, with nothing overwritten.

## How to silence
`--ignore GC121`.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck.diagnosis._paths import copies, uses
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.suspect import Suspect

CODE = "GC121"
_MOST_USES = 16


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """Σ of the uses but one; Σ with one of them twice; one alone."""
    small = suspect.small
    yield from _other_places(suspect)
    if not copies(small):
        return
    for gives, does, count in uses(small):
        most = int(count.max(initial=0))
        by_samples = suspect.is_parameter and most == small.count
        if not 2 <= most <= _MOST_USES or (count != most).any() or by_samples:
            continue
        flat, present = gives.reshape(-1, gives.shape[-1]), does.reshape(-1, does.shape[-1])
        rank = present.cumsum(axis=0)
        total = flat.sum(axis=0)
        for use in range(1, most + 1):
            one = (flat * (present & (rank == use))).sum(axis=0)
            said = f"use {use} of the {most} that every entry has"
            for times, how in ((-1, "is lost"), (1, "is counted twice")):
                yield Prediction(
                    small.unflat(total + times * one),
                    f"a = n {'-' if times < 0 else '+'} use {use}",
                    f"in {suspect.what}, {said} {how}",
                    _LOOK,
                    small,
                )
            if most > 2:
                yield Prediction(
                    small.unflat(one),
                    f"a = use {use}",
                    f"in {suspect.what}, {said} is all there is",
                    _LOOK,
                    small,
                )


_LOOK = "a sum over all uses: nothing is overwritten, nothing added twice"


def _other_places(suspect: Suspect) -> Iterator[Prediction]:
    """What the gradient is with the inputs of another place of the same layer."""
    if suspect.is_loss:
        return
    part = suspect.part
    for node in suspect.alone.stage.network.nodes:
        if node.name == part.name or node.written != part.written:  # type: ignore[union-attr]
            continue
        there = {mine: suspect.alone.arrays[its] for mine, its in zip(suspect.inputs, node.inputs, strict=True)}
        if all(there[name].shape == suspect.arrays[name].shape for name in there):
            yield Prediction(
                suspect.numeric(arrays=there),
                f"a = n at the inputs of {node.name}",
                f"{suspect.what} is computed with the inputs that the layer has had in another place, {node.name}",
                "a cache on the layer instead of the one that forward returns",
            )


ASKED = ((48, predict),)
