"""The sweep of one tensor, cut into blocks that give the same bytes in whichever process they are evaluated.

A block is made of whole chunks: the copies that are stacked in one evaluation are those of the sweep in one piece, and
so is every product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck._scene import Scene
from gradcheck.gradients.numeric.ladder import Rungs, side_by_side
from gradcheck.gradients.numeric.schemes import Scheme
from gradcheck.gradients.numeric.sweep import Stage

Array = NDArray[Any]
#: No tensor is cut into more blocks; each of them goes through all its entries once.
MOST = 32


class Request(Struct, frozen=True):
    """What a sweep of all entries of a tensor is asked for."""

    entries: Array
    scheme: Scheme
    steps: Array


class _Asked(Exception):  # noqa: N818 - it carries what was asked for
    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


def request(scene: Scene, name: str) -> Request:
    """The entries, scheme and steps that the numeric gradient of a tensor asks a sweep for."""

    def ask(
        stage: Stage, name: str, entries: Array, scheme: Scheme, question: Any, steps: Array, *others: Any
    ) -> Rungs:
        raise _Asked(Request(entries, scheme, steps))

    try:
        scene.estimate(name, ask, probe=scene.probe())
    except _Asked as asked:
        return asked.request
    raise AssertionError(f"no sweep was asked for by {name}")


def parts(scene: Scene, name: str) -> list[Array]:
    """What is evaluated of a tensor, block by block: entries (flat indices), or directions, each by itself."""
    if scene.course.directions:
        return [np.array([draw]) for draw in range(scene.course.directions)]
    if name in scene.course.only:
        return [scene.course.only[name]]
    return blocks(scene.stage, name)


def blocks(stage: Stage, name: str) -> list[Array]:
    """All entries of a tensor (flat indices), block by block."""
    array = stage.arrays[name]
    features = int(np.prod(array.shape[1:])) if stage.sample_by_sample(name) else array.size
    chunk = stage.chunk(name)
    chunks = -(-features // chunk)
    size = chunk * -(-chunks // MOST)
    flat = np.arange(array.size)
    return [flat[(flat % features) // size == k] for k in range(-(-features // size))]


def evaluated(scene: Scene, name: str, block: Array, of: Request, tick: Callable[[int], None]) -> Rungs:
    """One block of a sweep."""
    return scene.climb(scene.stage, name, block, of.scheme, scene.question, of.steps, scene.watch, tick)


def joined(of: Sequence[Array], parts: Sequence[Rungs]) -> Rungs:
    """The sweep of all entries from its blocks."""
    order = np.argsort(np.concatenate(of), kind="stable")
    return side_by_side(parts, order)
