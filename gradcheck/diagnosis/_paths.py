"""Entries that several outputs depend on: how many, and what is left if only some of them count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.suspect import Suspect

Array = NDArray[Any]


def _groupings(ndim: int) -> Iterator[tuple[int, ...]]:
    """Axes of the output along which all numbers belong to one place: none, the channels, the features."""
    yield ()
    if ndim >= 2:
        yield (ndim - 1,)
    if ndim >= 3:
        yield (1,)


def uses(suspect: Suspect) -> Iterator[tuple[Array, Array, Array]]:
    """For each way to group the outputs into places: what each place gives to each entry (places, K), whether it does,
    and the number of places that each entry is used at (K,). Places are in the row-major order of the output.
    """
    if not suspect.affordable or len(suspect.upstream) > 1:
        return
    g, J = suspect.upstream[0], suspect.jacobian
    gives, does = (J * suspect.flat_upstream[:, None]).reshape(*g.shape, -1), (J != 0).reshape(*g.shape, -1)
    for axes in _groupings(g.ndim):
        yield (
            gives.sum(axis=axes, keepdims=True),
            does.any(axis=axes, keepdims=True),
            does.any(axis=axes).reshape(-1, J.shape[1]).sum(axis=0),
        )


def chosen(gives: Array, does: Array) -> Iterator[tuple[str, Array]]:
    """What an entry is given by the last place that uses it, by the first, in every order of every axis."""
    axes = [k for k in range(gives.ndim - 1) if gives.shape[k] > 1]
    for ascending in product((True, False), repeat=min(len(axes), 3)):
        flipped = tuple(axis for axis, up in zip(axes[-3:], ascending, strict=False) if not up)
        last = np.flip(gives, flipped).reshape(-1, gives.shape[-1]), np.flip(does, flipped).reshape(-1, gives.shape[-1])
        position = last[1].shape[0] - 1 - np.argmax(last[1][::-1], axis=0)
        found = np.where(last[1].any(axis=0), last[0][position, np.arange(position.size)], 0.0)
        yield "last" if not flipped else ("first" if len(flipped) == len(axes[-3:]) else "last in another order"), found


def copies(suspect: Suspect) -> bool:
    """Whether every entry goes into outputs as it is, up to one factor for all: it is looked up, or repeated."""
    if not suspect.affordable or len(suspect.upstream) > 1:
        return False
    J = suspect.jacobian[suspect.jacobian != 0]
    return bool(J.size) and float(np.ptp(J)) <= 1e-6 * float(np.max(np.abs(J)))


def mixed(suspect: Suspect) -> bool:
    """Whether some entries are used once and others more often: else every entry is, and nothing was to be merged."""
    counts = next(uses(suspect), None)
    return counts is not None and bool((counts[2] <= 1).any() and (counts[2] > 1).any())
