"""What changes when something is moved: arrays carried through the layers that take them, compared bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.schemes import SCHEMES, scale_of, step_for
from gradcheck.network import Network, Node

Array = NDArray[Any]


def carried(
    network: Network, arrays: Mapping[str, Array], moved: Mapping[str, Array], until: Node | None = None
) -> dict[str, Array]:
    """What differs when some arrays are replaced: they, and the outputs that change for it, by name.

    arrays  every array at the point, activations included
    moved   the replaced ones
    until   the layer that is not evaluated any more, nor what comes after it
    """
    changed = dict(moved)
    for node in network.affected(moved):
        if until is not None and node.name == until.name:
            break
        if any(name in changed for name in (*node.inputs, *node.parameters.values())):
            outputs = node.apply({**arrays, **changed})[0]
            changed |= {
                name: y for name, y in zip(node.outputs, outputs, strict=True) if differs(y, arrays[name]).any()
            }
    return changed


def differs(array: Array, base: Array) -> Array:
    """Entry by entry, whether two arrays differ; NaN equals NaN."""
    return np.asarray((array != base) & ~((array != array) & (base != base)))


def small_moves(arrays: Mapping[str, Array], names: Sequence[str], draws: int = 2) -> list[dict[str, Array]]:
    """The named arrays, moved in a few random directions and in the opposite ones, by steps as differences take them.

    No two entries move by the same amount: what depends on their difference alone moves too. Integers stay.
    """
    real = [name for name in names if arrays[name].dtype.kind == "f"]
    moves = []
    for draw in range(draws):
        steps = {name: small_step(arrays[name], draw, position) for position, name in enumerate(real)}
        moves += [{name: arrays[name] + sign * steps[name] for name in real} for sign in (-1, 1)]
    return moves


def small_step(array: Array, *seed: int) -> Array:
    """A step for every entry, of random sign and somewhat random size."""
    rng = np.random.default_rng([*seed, array.size])
    sizes = rng.uniform(0.5, 1.0, array.shape) * rng.choice([-1.0, 1.0], array.shape)
    return np.asarray(step_for(SCHEMES["central"], array) * sizes)


def random_like(array: Array, *seed: int) -> Array:
    """Random numbers of the size of the array's own; of size 1 where it is zero."""
    return np.asarray(scale_of(array) * np.random.default_rng([*seed, array.size]).standard_normal(array.shape))


def given_else(node: Node, arrays: Mapping[str, Array], factor: float = 1.0) -> dict[str, Array]:
    """All arrays, if a layer were given other inputs: random ones of the size of its own, times a factor."""
    real = [name for name in node.inputs if arrays[name].dtype.kind == "f"]
    return {**arrays, **{name: factor * random_like(arrays[name], k) for k, name in enumerate(real)}}
