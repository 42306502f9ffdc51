"""Which layers and losses couple the samples of a batch, found out by measuring.

Stacked perturbed copies may ride in one batch only where the samples do not see each other. What refuses every batch
that is offered is taken to couple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.network import Network, Point

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]
Others = Callable[[Mapping[str, Array], Sequence[str]], Iterator[dict[str, Array]]]
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
    for others in (_scaled, _mixed):
        with suppress(LayerFailure, ValueError, IndexError):
            return _changes(forward, at, batched, others)
    return True


def _changes(forward: Forward, at: Mapping[str, Array], batched: Sequence[str], others: Others) -> bool:
    """Whether other samples change the outputs; LayerFailure where they are outside the domain of the forward."""
    alone = forward(at)
    first, second = (_beside(forward, at, batched, other) for other in others(at, batched))
    beside = any(
        not (_close(a, b, _ROUNDING) and _close(y, a, _OTHER_BLOCKING) and _close(y, b, _OTHER_BLOCKING))
        for place in range(2)
        for y, a, b in zip(alone, first[place], second[place], strict=True)
    )
    return beside or (others is _mixed and _misses_the_rest(forward, at, batched, alone))


def _scaled(at: Mapping[str, Array], batched: Sequence[str]) -> Iterator[dict[str, Array]]:
    """Two other batches: samples in another order, values times random factors."""
    for factors in _FACTORS:
        rng = np.random.default_rng(int(2 * factors[1]))
        order = rng.permutation(len(at[batched[0]]) if batched else 0)
        yield {name: _varied(at[name][order], rng, factors) for name in batched}


def _mixed(at: Mapping[str, Array], batched: Sequence[str]) -> Iterator[dict[str, Array]]:
    """Two other batches from inside every convex domain that holds this one: means of two samples each."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        n = len(at[batched[0]]) if batched else 0
        first, second, share = rng.integers(n, size=n), rng.integers(n, size=n), rng.uniform(size=n)
        yield {name: _between(at[name][first], at[name][second], share) for name in batched}


def _between(first: Array, second: Array, share: Array) -> Array:
    if first.dtype.kind != "f":
        return first
    weight = share.reshape(-1, *[1] * (first.ndim - 1))
    mixed: Array = np.clip(first + weight * (second - first), np.minimum(first, second), np.maximum(first, second))
    return mixed


def _misses_the_rest(forward: Forward, at: Mapping[str, Array], batched: Sequence[str], alone: Sequence[Array]) -> bool:
    """Whether the outputs of either half of the batch are others without the other half.

    A batch of one has no halves, and no other samples that are not itself.
    """
    n = len(at[batched[0]]) if batched else 0
    halves = (slice(0, n // 2), slice(n // 2, n)) if n > 1 else ()
    for half in halves:
        outputs = forward({**at, **{name: at[name][half] for name in batched}})
        if not all(_close(y, whole[half], _OTHER_BLOCKING) for y, whole in zip(outputs, alone, strict=True)):
            return True
    return n == 1


def _beside(
    forward: Forward, at: Mapping[str, Array], batched: Sequence[str], other: Mapping[str, Array]
) -> tuple[list[Array], list[Array]]:
    """The outputs for the batch with another batch behind it, and with the other one before it."""
    n = len(at[batched[0]]) if batched else 0
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
