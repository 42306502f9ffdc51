"""A tensor that the loss does not depend on.

## What it is
A parameter or an input that was moved by its own size and by a thousand times that, here and at other points, and no
loss changed. Its layer's forward takes no notice of it, or a later layer ignores its input, or what it feeds is used by
nothing. Its gradient is zero, backward says so, and nothing was tested.

## Why it is bad
Such a parameter is never trained: an optimizer only carries it along. Mostly it is a mistake in the forward, where no
comparison of a backward with a forward can find it.

## Typical causes
A parameter that `init` returns and `forward` forgets to use; an option that switches the use off, but not the
parameter; a branch of the network that is connected to nothing; a constant mask of zeros; a factor 0 left from an
experiment.

## How to repair
The note says where the influence ends. Use the parameter in that layer's forward, or do not return it from `init`.

## How to silence
`--ignore GC603`. A note never changes the exit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._influence import carried, differs, given_else, random_like
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.network import Network, Node, Term

Array = NDArray[Any]
#: Moves of the tensor, and moves of everything to the other points, in units of their own size.
_SIZES, _ELSEWHERE = (1.0, 2.0**10), (4.0, 16.0, 64.0, 2.0**-3, 2.0**-6)


def where_influence_ends(evidence: Evidence, name: str) -> str:
    """Why a tensor has no influence on any loss, in words; empty where it has, or where that cannot be told.

    At the point alone it cannot: weights behind a zero would do something elsewhere. So all parameters and inputs are
    moved, too: far, and less far where the forward is at home in a small domain only.
    """
    network = evidence.case.network
    found: list[str] = []
    for arrays in chain([evidence.stage.arrays], _elsewhere(evidence)):
        changed = _unfelt(network, arrays, name)
        if changed is None:
            return ""
        found.append(_end(network, arrays, name, changed))
    return found[-1] if len(found) > 1 else ""


def _unfelt(network: Network, arrays: Mapping[str, Array], name: str) -> dict[str, Array] | None:
    """What changes when the tensor moves far in both directions; None where a loss does, or a forward raises."""
    losses = [term.apply(arrays)[0] for term in network.terms]
    changed: dict[str, Array] = {}
    for moved in _great_moves(arrays[name]):
        try:
            changed = carried(network, arrays, {name: moved})
            if any(_changes(term, arrays, changed, base) for term, base in zip(network.terms, losses, strict=True)):
                return None
        except LayerFailure:
            return None
    return changed


def _great_moves(array: Array) -> Iterator[Array]:
    for draw, size in enumerate(_SIZES):
        direction = size * random_like(array, draw)
        yield array + direction
        yield array - direction


def _elsewhere(evidence: Evidence) -> Iterator[Mapping[str, Array]]:
    """All arrays at a few other points; only those at which the losses are finite."""
    network, point = evidence.case.network, evidence.case.point
    names = point.differentiable((*point.parameters, *point.inputs))
    for (draw, size), sign in product(enumerate(_ELSEWHERE), (1, -1)):
        other = {n: point.arrays[n] + sign * size * random_like(point.arrays[n], draw, k) for k, n in enumerate(names)}
        with suppress(LayerFailure):
            trace = network.forward(point.with_arrays(other))
            if all(np.isfinite(losses).all() for losses in trace.losses):
                yield trace.arrays


def _changes(term: Term, arrays: Mapping[str, Array], changed: Mapping[str, Array], base: Array) -> bool:
    """Whether the losses of a term change; its target is held constant."""
    predictions = {name: changed[name] for name in term.predictions if name in changed}
    return bool(predictions) and bool(differs(term.apply({**arrays, **predictions})[0], base).any())


def _end(network: Network, arrays: Mapping[str, Array], name: str, changed: Mapping[str, Array]) -> str:
    """What does not pass on the change of a tensor."""
    takers = {node.name: (*node.inputs, *node.parameters.values()) for node in network.nodes}
    takers |= {term.name: term.predictions for term in network.terms}
    outputs = {node.name: node.outputs for node in network.nodes}
    ends = [
        taker
        for taker, takes in takers.items()
        if any(n in changed for n in takes) and not any(n in changed for n in outputs.get(taker, ()))
    ]
    if not ends:
        fed = [n for n in changed if n != name]
        return f"{fed[-1]}, which it feeds, is used by nothing" if fed else "no layer and no loss takes it"
    users = network.users(name)
    owner = users[0] if len(users) == 1 else None
    if owner is None or owner.name not in ends:
        return f"its influence ends at {' and '.join(ends)}: the same comes out whatever goes in"
    if _notices(owner, arrays, changed):
        return f"what {owner.name} is given never leaves anything of it"
    return f"the forward of {owner.name} takes no notice of it"


def _notices(owner: Node, arrays: Mapping[str, Array], moved: Mapping[str, Array]) -> bool:
    """Whether the layer takes notice of a parameter if it is given something else."""
    given = given_else(owner, arrays)
    with suppress(LayerFailure):
        outputs = owner.apply(given)[0], owner.apply({**given, **moved})[0]
        return any(differs(after, before).any() for before, after in zip(*outputs, strict=True))
    return False
