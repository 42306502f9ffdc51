"""Which layers and losses couple the samples of a batch, found out by measuring.

Stacked perturbed copies may ride in one batch only where the samples do not see each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.network import Network, Point

Array = NDArray[Any]
_ROUNDING = 1e-12
_OTHER_BLOCKING = 1e-9


def coupling(network: Network, point: Point, arrays: Mapping[str, Array]) -> frozenset[str]:
    """The names of the layers, and of the elementwise losses, in which one sample can change another.

    arrays  the activations at the point, as a forward pass leaves them
    """
    found = set()
    samples = frozenset(point.batched).union(*(node.outputs for node in network.nodes))
    for node in network.nodes:
        names = (*node.inputs, *node.parameters.values(), *node.constants.values())
        if _couples(lambda a, node=node: node.apply(a)[0], names, samples, arrays):  # type: ignore[misc]
            found.add(node.name)
    for term in network.terms:
        names = (*term.predictions, *term.data.values())
        if term.elementwise and _couples(lambda a, term=term: (term.apply(a)[0],), names, samples, arrays):  # type: ignore[misc]
            found.add(term.name)
    return frozenset(found)


def _couples(
    forward: Callable[[Mapping[str, Array]], Sequence[Array]],
    names: Sequence[str],
    samples: frozenset[str],
    arrays: Mapping[str, Array],
) -> bool:
    """Whether the first half of a double batch depends on the second half, or on its being there."""
    at = {name: arrays[name] for name in names}
    batched = [name for name in dict.fromkeys(names) if name in samples]
    try:
        alone = forward(at)
        first, second = (forward({**at, **_joined(at, batched, seed)}) for seed in (1, 2))
    except (LayerFailure, ValueError, IndexError):
        return True
    return any(
        not _close(a[: len(y)], b[: len(y)], _ROUNDING) or not _close(y, a[: len(y)], _OTHER_BLOCKING)
        for y, a, b in zip(alone, first, second, strict=True)
    )


def _joined(at: Mapping[str, Array], batched: Sequence[str], seed: int) -> dict[str, Array]:
    """The batch, followed by another one made from it: samples in another order, values of the same signs."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(at[batched[0]])) if batched else np.zeros(0, dtype=int)
    return {name: np.concatenate([at[name], _varied(at[name][order], rng)]) for name in batched}


def _varied(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    varied: Array = array * rng.uniform(0.5, 1.0, array.shape)
    return varied


def _close(found: Array, expected: Array, relative: float) -> bool:
    if found.shape != expected.shape:
        return False
    scale = np.max(np.abs(expected), initial=0.0)
    return bool(np.all(np.abs(found - expected) <= relative * scale))
