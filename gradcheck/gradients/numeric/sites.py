"""Where the perturbation of one entry meets a kink: in which units of which layers, found by sampling the forward.

The entry is moved from x to x ± h and x ± 2h, and the layers behind it are walked in their order, then the terms of the
loss. With the slopes of an output y on both sides,

    left(s) = (y(x - s) - y(x - 2s)) / s        right(s) = (y(x + 2s) - y(x + s)) / s        s = h, h/2, h/4

a layer that says on which pieces its units are is believed: a unit meets a kink where it is on another piece at x - h
or x + h than at x, and left(h) is not right(h). In a black box an output meets one where they differ by more than noise
at every s: a smooth gap shrinks with s, a kink's gap stays. Behind a kink every output has two slopes, those of smooth
layers included; a black box there is moved along straight lines instead, in both directions in which its inputs leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric.noise import measured_noise
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: So many units of one layer are described; the others are counted.
MOST_UNITS = 3
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Offsets, in steps: those that a site is described by; the sizes of s, and all that they need.
_PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)
_SHRINKING = (1.0, 0.5, 0.25)
_SAMPLED = tuple(sign * factor for factor in (0.25, 0.5, 1.0, 2.0) for sign in (-1, 1))
#: A gap that halves with the step is smooth, one that keeps more than this is a kink's.
_STAYS = 0.75
#: Differences of slopes that are smaller than this part of them are no kink that anyone could tell.
_SMALLEST_GAP = 1e-3


class Site(Struct, frozen=True):
    """A unit that has no derivative where the entry is.

    layer    the layer, or the term of the loss, that the unit belongs to
    output   the name of the array that it is an entry of: the layer's, `split_1.0` where it has several outputs
    unit     its index there; in the losses for a term
    sampled  of what the values are: `input` for an elementwise layer, else `output`
    values   the unit's input (output) at x - h, x and x + h
    slopes   ∂ unit / ∂ entry below and above, over [x - 2h, x - h] and [x + h, x + 2h]
    """

    layer: str
    output: str
    unit: tuple[int, ...]
    sampled: str
    values: tuple[float, float, float]
    slopes: tuple[float, float]


class Sites(Struct, frozen=True):
    """Where one entry meets kinks: the first few units of every layer, from the entry to the loss; how many in all.

    told  whether it could be told
    """

    step: float
    first: tuple[Site, ...] = ()
    count: int = 0
    told: bool = True


def sites(
    stage: Stage, name: str, entries: Sequence[tuple[int, ...]], step: float, on_border: bool = False
) -> list[Sites]:
    """Where each of some entries of the named array (an activation's, too) meets kinks within ± step.

    on_border  of layers that say where their kinks are, only those units count that lie exactly on one

    Empty for an entry of which it cannot be told, be it because the forward raises at x ± 2h.
    """
    noises: dict[tuple[str, int], Array] = {}
    with np.errstate(all="ignore"):
        return [_sites(_Line(stage, name, index, step, noises), on_border) for index in entries]


def _sites(line: _Line, on_border: bool) -> Sites:
    found: list[Site] = []
    count = 0
    try:
        for part in line.parts:
            for output, marked in enumerate(_marked(line, part, on_border)):
                units = np.argwhere(marked)
                count += len(units)
                found += [_site(line, part, output, tuple(unit.tolist())) for unit in units[:MOST_UNITS]]
    except LayerFailure:
        return Sites(line.step, told=False)
    return Sites(line.step, tuple(found), count)


class _Part(Struct, frozen=True):
    """A layer, or a term of the loss.

    operands  what it takes that can move
    outputs   their names; empty for a term, whose losses have none
    smooth    whether it has no kinks if it says nothing about them
    """

    name: str
    operands: tuple[str, ...]
    outputs: tuple[str, ...]
    forward: Callable[[Mapping[str, Array]], tuple[Array, ...]]
    branches: Callable[[Mapping[str, Array]], Array | None]
    smooth: bool
    elementwise: bool


def _of_node(node: Node) -> _Part:
    return _Part(
        node.name,
        (*node.inputs, *node.parameters.values()),
        node.outputs,
        lambda arrays: node.apply(arrays)[0],
        lambda arrays: node.branches([arrays[name] for name in node.inputs], node.keywords(arrays)),
        node.trusted,
        node.layer.elementwise and node.says("elementwise"),
    )


def _of_term(term: Term, still: Mapping[str, Array]) -> _Part:
    """A term sees the predictions move; its data stay, whatever arrays they are."""

    def seen(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**still, **{name: arrays[name] for name in term.predictions}}

    return _Part(
        term.name,
        term.predictions,
        (),
        lambda arrays: (np.asarray(term.apply(seen(arrays))[0]),),
        lambda arrays: term.branches([arrays[name] for name in term.predictions], still),
        term.trusted,
        elementwise=False,
    )


class _Sample(Struct, frozen=True):
    """The network with the entry at one place: every array, and the outputs of each part by its name."""

    arrays: Mapping[str, Array]
    outputs: Mapping[str, tuple[Array, ...]]


class _Line:
    """The line on which the entry moves; offsets are counted in steps.

    noises  of outputs where the network is, by part and output: measured once for all lines through that point
    """

    def __init__(
        self, stage: Stage, name: str, index: tuple[int, ...], step: float, noises: dict[tuple[str, int], Array]
    ) -> None:
        self.stage, self.name, self.index, self.step, self.noises = stage, name, index, step, noises
        nodes = (_of_node(node) for node in stage.network.affected([name]))
        self.parts = [*nodes, *(_of_term(term, stage.arrays) for term in stage.network.terms)]
        self._samples: dict[float, _Sample] = {}

    def at(self, offset: float) -> _Sample:
        """The sample at that offset, taken when it is first asked for."""
        if offset not in self._samples:
            moved = self.stage.arrays[self.name].copy()
            moved[self.index] += offset * self.step
            arrays = {**self.stage.arrays, self.name: moved}
            outputs = {}
            for part in self.parts:
                outputs[part.name] = part.forward(arrays)
                arrays.update(zip(part.outputs, outputs[part.name], strict=False))
            self._samples[offset] = _Sample(arrays, outputs)
        return self._samples[offset]

    def ways(self, part: _Part, output: int) -> list[dict[float, Array]]:
        """One output at every offset that tells a kink from a bend; on two straight lines where the inputs have a kink.

        The straight lines go where the inputs go below and above.
        """
        here = self.at(0.0).arrays
        moving = [name for name in part.operands if here[name].dtype.kind == "f"]
        if not any(_gap({k: self.at(k).arrays[name] for k in _PLACES}, 1.0)[1].any() for name in moving):
            return [{k: self.at(k).outputs[part.name][output] for k in _SAMPLED}]
        ways = [{name: side * (self.at(side).arrays[name] - here[name]) for name in moving} for side in (-1.0, 1.0)]
        return [
            {k: part.forward({**here, **{name: here[name] + k * way[name] for name in way}})[output] for k in _SAMPLED}
            for way in ways
        ]

    def noise(self, part: _Part, output: int) -> Array:
        """Standard deviation of the rounding error of an output."""
        arrays = self.at(0.0).arrays
        moving = [name for name in part.operands if arrays[name].dtype.kind == "f"]

        def along(factor: float) -> Array:
            return np.asarray(part.forward({**arrays, **{name: factor * arrays[name] for name in moving}})[output])

        if (part.name, output) not in self.noises:
            self.noises[part.name, output] = measured_noise(along)
        return self.noises[part.name, output]


def _marked(line: _Line, part: _Part, on_border: bool) -> Iterator[Array]:
    """Which units meet a kink, one mask per output."""
    here = line.at(0.0)
    base = part.branches(here.arrays)
    if base is None and part.smooth:
        return
    for output, y in enumerate(here.outputs[part.name]):
        if y.dtype.kind != "f":
            yield np.zeros(y.shape, dtype=bool)
        elif base is not None:
            yield _told(line, part, output, base, on_border)
        else:
            yield _measured(line.ways(part, output), partial(line.noise, part, output))


def _told(line: _Line, part: _Part, output: int, base: Array, on_border: bool) -> Array:
    """Which units of an output leave their piece, as the layer says, for another slope."""
    beside = [line.at(offset) for offset in (-1.0, 1.0)]
    left = np.any([part.branches(sample.arrays) != base for sample in beside], axis=0)
    if on_border:
        left &= base < 0
    y = {offset: line.at(offset).outputs[part.name][output] for offset in _PLACES}
    where = left if left.shape == y[0.0].shape else _of_its_samples(left, y[0.0])
    return np.asarray(where & _gap(y, 1.0)[1])


def _of_its_samples(left: Array, y: Array) -> Array:
    """Which outputs belong to samples in which some unit has left its piece, for units that are not the outputs."""
    if y.ndim == 0:
        return np.asarray(left.any())
    return np.broadcast_to(left.reshape(len(y), -1).any(axis=1).reshape(-1, *[1] * (y.ndim - 1)), y.shape)


def _gap(y: Mapping[float, Array], s: float, noise: Array | float = 0.0) -> tuple[Array, Array]:
    """|right(s) - left(s)|, and whether that is more than noise; slopes are per step."""
    left, right = (y[-s] - y[-2 * s]) / s, (y[2 * s] - y[s]) / s
    gap, size = np.abs(right - left), np.maximum(np.abs(left), np.abs(right))
    rounding = 8 * _UNIT * np.maximum(np.abs(y[-2 * s]), np.abs(y[2 * s])) + noise
    return gap, np.asarray(gap > _SMALLEST_GAP * size + 64 * rounding / s)


def _measured(ways: list[dict[float, Array]], noise: Callable[[], Array]) -> Array:
    """Which units of an output keep their gap while the step shrinks, on one of the ways at least.

    The noise is measured only if there is something to hold against it.
    """
    if not any(_stays(y, 0.0).any() for y in ways):
        return np.zeros(ways[0][1.0].shape, dtype=bool)
    deviation = noise()
    return np.asarray(np.any([_stays(y, 6 * deviation) for y in ways], axis=0))


def _stays(y: Mapping[float, Array], noise: Array | float) -> Array:
    gaps = [_gap(y, s, noise) for s in _SHRINKING]
    stays = [shorter[0] > _STAYS * longer[0] for longer, shorter in pairwise(gaps)]
    return np.asarray(np.all([*stays, *(clear for _, clear in gaps)], axis=0))


def _site(line: _Line, part: _Part, output: int, unit: tuple[int, ...]) -> Site:
    y = {offset: line.at(offset).outputs[part.name][output][unit] for offset in _PLACES}
    x = {offset: line.at(offset).arrays[line.name][line.index] for offset in _PLACES}
    seen = {offset: line.at(offset).arrays[part.operands[0]][unit] for offset in _PLACES} if part.elementwise else y
    return Site(
        layer=part.name,
        output=part.outputs[output] if part.outputs else part.name,
        unit=unit,
        sampled="input" if part.elementwise else "output",
        values=(float(seen[-1.0]), float(seen[0.0]), float(seen[1.0])),
        slopes=(float((y[-1.0] - y[-2.0]) / (x[-1.0] - x[-2.0])), float((y[2.0] - y[1.0]) / (x[2.0] - x[1.0]))),
    )
