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
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]
_ROUNDING = 1e-12
_OTHER_BLOCKING = 1e-9
#: Smaller and greater values in the other batch: a minimum or a maximum over all samples is found by one of them.
_FACTORS = (0.5, 1.0), (1.0, 2.0)


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
    forward: Forward,
    names: Sequence[str],
    samples: frozenset[str],
    arrays: Mapping[str, Array],
) -> bool:
    """Whether the outputs of a batch depend on another batch behind it or before it."""
    at = {name: arrays[name] for name in names}
    batched = [name for name in dict.fromkeys(names) if name in samples]
    try:
        alone = forward(at)
        first, second = (_beside_another(forward, at, batched, factors) for factors in _FACTORS)
    except (LayerFailure, ValueError, IndexError):
        return True
    return any(
        not (_close(a, b, _ROUNDING) and _close(y, a, _OTHER_BLOCKING) and _close(y, b, _OTHER_BLOCKING))
        for place in range(2)
        for y, a, b in zip(alone, first[place], second[place], strict=True)
    )


def _beside_another(
    forward: Forward, at: Mapping[str, Array], batched: Sequence[str], factors: tuple[float, float]
) -> tuple[list[Array], list[Array]]:
    """The outputs for the batch with another batch behind it, and with the other one before it.

    The other batch is made from it: samples in another order, values times random factors.
    """
    rng = np.random.default_rng(int(2 * factors[1]))
    n = len(at[batched[0]]) if batched else 0
    order = rng.permutation(n)
    other = {name: _varied(at[name][order], rng, factors) for name in batched}
    behind = forward({**at, **{name: np.concatenate([at[name], other[name]]) for name in batched}})
    before = forward({**at, **{name: np.concatenate([other[name], at[name]]) for name in batched}})
    return [y[:n] for y in behind], [y[n:] for y in before]


def _varied(array: Array, rng: np.random.Generator, factors: tuple[float, float]) -> Array:
    if array.dtype.kind != "f":
        return array
    varied: Array = array * rng.uniform(*factors, array.shape)
    return varied


def _close(found: Array, expected: Array, relative: float) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind not in "fc":
        return bool(np.array_equal(found, expected))
    scale = np.max(np.abs(expected), initial=0.0)
    return bool(np.all(np.abs(found - expected) <= relative * scale))
