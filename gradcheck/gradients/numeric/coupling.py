"""Which layers and losses couple the samples of a batch, found out by measuring.

Stacked perturbed copies may ride in one batch only where the samples do not see each other: where the outputs depend
neither on the number of the samples beside them nor on their values. Those differ from the ones at the point by factors
and by noise of their own scale, as a factor leaves zeros zero. What refuses every batch that is offered is taken to
couple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.network import Network, Point

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]
Others = Callable[[Mapping[str, Array], Sequence[str]], Iterator[dict[str, Array]]]
_REFUSALS = (LayerFailure, ValueError, IndexError)
_ROUNDING = 1e-12
_OTHER_BLOCKING = 1e-9
#: Smaller and greater values in the other batch: a minimum or a maximum over all samples is found by one of them.
_FACTORS = (0.5, 1.0), (1.0, 2.0)


class _Noise(Struct, frozen=True):
    """What is added to the numbers of the other batch, in parts of their scale.

    sides  for the smaller and for the greater values: -1 towards 0 and through it, 1 away from it, 0 none
    zeros  the signs that zeros may get
    """

    sides: tuple[int, int]
    zeros: tuple[int, ...]


_ANYWHERE = _Noise((-1, 1), (-1, 1))
#: For a forward that is defined on one side of 0 alone.
_POSITIVE, _NEGATIVE = _Noise((0, 1), (1,)), _Noise((0, 1), (-1,))
_NOWHERE = _Noise((0, 0), (0,))


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
    ask = partial(_changes, forward, at, batched)
    found = ask(partial(_varied, noise=_ANYWHERE), defined=True)
    if found is None and any(ask(partial(_varied, noise=noise), defined=True) for noise in (_POSITIVE, _NEGATIVE)):
        return True
    if found is None:
        found = ask(partial(_varied, noise=_NOWHERE))
    if found is None:
        found = ask(_mixed) is not False or _misses_the_rest(forward, at, batched)
    return found


def _changes(
    forward: Forward, at: Mapping[str, Array], batched: Sequence[str], others: Others, defined: bool = False
) -> bool | None:
    """Whether other samples change the outputs; None where they are outside the domain of the forward.

    defined  whether that is told by values that are not finite, too
    """
    try:
        alone = forward(at)
        with np.errstate(all="ignore"):  # the other samples may lie outside the domain of the forward
            first, second = (_beside(forward, at, batched, other) for other in others(at, batched))
    except _REFUSALS:
        return None
    if defined and not all(np.isfinite(y).all() for outputs in (*first, *second) for y in outputs):
        return None
    n = _samples(at, batched)
    return any(
        not (_close(a, b, _ROUNDING) and _close(y, a, _OTHER_BLOCKING) and _close(y, b, _OTHER_BLOCKING))
        for place, own in enumerate((slice(0, n), slice(n, None)))
        for y, a, b in zip(alone, (y[own] for y in first[place]), (y[own] for y in second[place]), strict=True)
    )


def _varied(at: Mapping[str, Array], batched: Sequence[str], noise: _Noise) -> Iterator[dict[str, Array]]:
    """Two other batches: samples in another order, values times random factors, and noise."""
    for factors, side in zip(_FACTORS, noise.sides, strict=True):
        rng = np.random.default_rng(int(2 * factors[1]))
        order = rng.permutation(_samples(at, batched))
        yield {name: _moved(at[name][order], rng, factors, side, noise.zeros) for name in batched}


def _moved(
    array: Array, rng: np.random.Generator, factors: tuple[float, float], side: int, zeros: Sequence[int]
) -> Array:
    """x f + s r sign x, with s the greatest |x|, and at least 1 on the way to greater values."""
    if array.dtype.kind != "f":
        return array
    size = float(np.max(np.abs(array), initial=0.0)) or 1.0
    scale = max(size, 1.0) if side > 0 else size
    to = np.where(array != 0, side * np.sign(array), rng.choice(zeros, array.shape))
    varied: Array = array * rng.uniform(*factors, array.shape) + scale * rng.uniform(0.5, 1.0, array.shape) * to
    return varied


def _mixed(at: Mapping[str, Array], batched: Sequence[str]) -> Iterator[dict[str, Array]]:
    """Two other batches from inside every convex domain that holds this one: means of two samples each."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        n = _samples(at, batched)
        first, second, share = rng.integers(n, size=n), rng.integers(n, size=n), rng.uniform(size=n)
        yield {name: _between(at[name][first], at[name][second], share) for name in batched}


def _between(first: Array, second: Array, share: Array) -> Array:
    if first.dtype.kind != "f":
        return first
    weight = share.reshape(-1, *[1] * (first.ndim - 1))
    mixed: Array = np.clip(first + weight * (second - first), np.minimum(first, second), np.maximum(first, second))
    return mixed


def _misses_the_rest(forward: Forward, at: Mapping[str, Array], batched: Sequence[str]) -> bool:
    """Whether the outputs of either half of the batch are others without the other half, or cannot be asked for.

    A batch of one has no halves, and no other samples that are not itself.
    """
    n = _samples(at, batched)
    halves = (slice(0, n // 2), slice(n // 2, n)) if n > 1 else ()
    try:
        alone = forward(at)
        for half in halves:
            outputs = forward({**at, **{name: at[name][half] for name in batched}})
            if not all(_close(y, whole[half], _OTHER_BLOCKING) for y, whole in zip(outputs, alone, strict=True)):
                return True
    except _REFUSALS:
        return True
    return n == 1


def _beside(
    forward: Forward, at: Mapping[str, Array], batched: Sequence[str], other: Mapping[str, Array]
) -> tuple[Sequence[Array], Sequence[Array]]:
    """The outputs for the batch with another batch behind it, and with the other one before it."""
    behind = forward({**at, **{name: np.concatenate([at[name], other[name]]) for name in batched}})
    before = forward({**at, **{name: np.concatenate([other[name], at[name]]) for name in batched}})
    return behind, before


def _samples(at: Mapping[str, Array], batched: Sequence[str]) -> int:
    return len(at[batched[0]]) if batched else 0


def _close(found: Array, expected: Array, relative: float) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind not in "fc":
        return bool(np.array_equal(found, expected))
    scale = np.max(np.abs(expected), initial=0.0)
    return bool(np.all(np.abs(found - expected) <= relative * scale))
