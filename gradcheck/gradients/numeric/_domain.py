"""Perturbations that leave the domain of the forward, told apart from those that stay inside.

A forward may refuse arguments outside of its domain (`if (x < 0).any(): raise`). Where it accepts the point and refuses
a perturbed copy of it, that copy is outside. One that raises among many is found by halving. A domain is taken to have
no holes: what is outside by one step is outside by every longer one in the same direction, so that a point on the
border costs its search only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure

Array = NDArray[Any]
#: An entry that leaves the domain by so small a part of a step lies on the border itself.
_ON_THE_BORDER = 2.0**-24


class Border:
    """What is known about it: by array and direction, the shortest step with which each entry was seen to leave."""

    def __init__(self) -> None:
        self._shortest: dict[tuple[str, complex], Array] = {}

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._shortest)

    def is_left(self, name: str, units: Array, steps: Array) -> bool:
        """Whether some of the entries are known to leave by these steps, one a row of units (K, U)."""
        return bool(self.left(name, units, np.broadcast_to(steps[:, None], units.shape)).any())

    def left(self, name: str, units: Array, steps: Array) -> Array:
        """Which entries are known to leave; units are flat positions in the array, steps of the same shape."""
        found = np.zeros(units.shape, dtype=bool)
        for (known, direction), shortest in self._shortest.items():
            if known == name:
                reach = shortest[np.minimum(units, len(shortest) - 1)]
                found |= (units < len(shortest)) & (np.sign(steps) == direction) & (np.abs(steps) >= reach)
        return found

    def remember(self, name: str, unit: int, step: complex) -> None:
        """The entry leaves the domain by this step."""
        key = name, complex(np.sign(step))
        shortest = self._shortest.setdefault(key, np.zeros(0))
        if unit >= len(shortest):
            shortest = np.concatenate([shortest, np.full(unit + 1 - len(shortest), np.inf)])
        shortest[unit] = min(shortest[unit], abs(step))
        self._shortest[key] = shortest


def split_at_border(
    border: Border,
    name: str,
    units: Array,
    steps: Array,
    evaluate: Callable[[Array, float], None],
    failure: LayerFailure | None,
) -> None:
    """Evaluate all units inside the domain, as many together as it takes; remember those outside.

    units     flat positions in the array (K, U), steps likewise
    evaluate  takes some of them (flat indices into units) and a factor on their steps; raises where one is outside
    failure   what all together have raised just now; if they do not raise it again it is no matter of a domain
    """
    candidates = np.flatnonzero(~border.left(name, units, steps))
    if failure is not None and not _raises(evaluate, candidates):
        raise failure
    for unit in outside(evaluate, candidates, known=failure is not None):
        position, step = int(units.flat[unit]), complex(steps.flat[unit])
        on_border = _raises(evaluate, np.array([unit]), _ON_THE_BORDER)
        border.remember(name, position, step * (_ON_THE_BORDER if on_border else 1.0))


def outside(evaluate: Callable[[Array, float], None], units: Array, known: bool = False) -> Iterator[int]:
    """Those units (flat indices) that raise by themselves; all others have been evaluated, many at a time.

    evaluate  takes some units and a factor on their steps; raises GC901 where one of them is outside
    known     whether it is known already that all of them together raise
    """
    if not len(units) or not (known or _raises(evaluate, units)):
        return
    if len(units) == 1:
        yield int(units[0])
        return
    for half in np.array_split(units, 2):
        yield from outside(evaluate, half)


def _raises(evaluate: Callable[[Array, float], None], units: Array, factor: float = 1.0) -> bool:
    try:
        evaluate(units, factor)
    except LayerFailure as failure:
        if failure.code != "GC901":
            raise
        return True
    return False
