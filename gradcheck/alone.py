"""Every layer alone, under the upstream gradient that backward delivered to it: who is guilty, and what a kink excuses.

A layer is judged at the arrays that its own backward was called for, in the precision of the analytic side: there it
must be right whatever the layers before it have rounded, and a unit that float64 would put on another piece has the
slopes of the piece that it was on. A layer is guilty when its own backward is not the vector-Jacobian product of its
own forward. One wrong layer taints every gradient on its input side; those layers pass alone, and their rows are its
consequences. At a kink a layer passes when its value lies between the one-sided slopes of each of its outputs, and
where several entries share a kink (a tie) also in the direction in which they move together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.gradients.analytic import Analytic, own_rounding
from gradcheck.gradients.numeric.joint import Along, adds_up, along, directions
from gradcheck.gradients.numeric.local import Interval, Local, plain_vjp, vjp
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: So many entries that a black box seems to have wrong are asked at points beside, where ties are broken.
_PROBED = 32
#: What a layer's backward may round in an entry, in units of roundoff of it, where not every entry is asked.
_ALONG = 64
#: Numbers that may come out of a layer while every entry of one of its operands is asked for by itself.
_AFFORDABLE = 2**31


class Judgement(Struct, frozen=True):
    """One operand of one layer: which entries its backward has right, and the interval that says so.

    right     entries whose value lies inside the interval (operand's shape)
    together  whether the values at kinks also add up in the directions in which those entries move together, with those
              of the layer's other operands too
    slack     how far outside a value may be for rounding and for what cannot be told
    tied      whether the interval is one of several orders of numbers that are tied
    """

    analytic: Array
    interval: Interval
    right: Array
    together: bool
    slack: Array
    tied: bool

    @property
    def outside(self) -> Array:
        """How far each value lies outside its interval; infinite where that is not a number."""
        distance = np.abs(self.analytic - np.clip(self.analytic, self.interval.low, self.interval.high))
        return np.where(np.isfinite(distance), distance, np.inf)

    @property
    def passes(self) -> bool:
        """Whether the layer is right about this operand."""
        return bool(self.right.all()) and self.together


class Accused(Struct, frozen=True):
    """A layer that a finding calls guilty.

    finding  the finding's id
    operand  what its backward is wrong about
    """

    finding: str
    alone: Alone
    part: Node | Term
    operand: str


class _Found(Struct, frozen=True):
    """One operand, entry by entry.

    rounding  what the layer's backward may round
    local     the layer; None where what it receives cannot be used
    """

    analytic: Array
    interval: Interval
    right: Array
    rounding: Array
    local: Local | None
    tied: bool = False


class Alone:
    """Judges layers one by one, when asked, and remembers."""

    def __init__(self, stage: Stage, analytic: Analytic, unsafe: Mapping[str, str]) -> None:
        self.stage, self.analytic, self.unsafe = stage, analytic, unsafe
        self.arrays = {
            name: array.astype(np.float64, copy=False) if array.dtype.kind == "f" else array
            for name, array in analytic.trace.arrays.items()
        }
        self._known: dict[tuple[str, str], Judgement] = {}
        self._found: dict[tuple[str, str], _Found] = {}
        self._joint: dict[str, dict[str, bool]] = {}
        self._rounded: dict[str, Mapping[str, Array]] = {}
        self._numeric: dict[str, tuple[Array, ...]] = {}

    def judge(self, part: Node | Term, operand: str) -> Judgement:
        """The layer's gradient for one of its operands, held against its own forward."""
        key = part.name, operand
        if key not in self._known:
            found = self._find(part, operand)
            if part.name not in self._joint and found.interval.kink.any():
                self._joint[part.name] = self._together(part)
            together = self._joint.get(part.name, {}).get(operand, True)
            self._known[key] = Judgement(
                found.analytic, found.interval, found.right, together, found.interval.bar + found.rounding, found.tied
            )
        return self._known[key]

    def judged(self, part: Node | Term, operand: str) -> Judgement | None:
        """What is known about an operand already; None where it was not asked for."""
        return self._known.get((part.name, operand))

    def along(self, part: Node | Term, operand: str, direction: Array) -> Along:
        """The layer's gradient for one operand along a direction of it, held against its own forward.

        An evaluation or a few, however large the operand is. What its backward may round is taken to be that of its
        greatest numbers: the upstream gradient is what it is, and the direction knows nothing of rounding.
        """
        analytic = self._contribution(part, operand)
        upstream = self.upstream(part)
        if not all(np.isfinite(dy).all() for dy in upstream):
            anything = np.full(1, np.inf)
            unknown = Interval(-anything, anything, np.zeros(1), np.zeros(1), np.zeros(1, dtype=bool))
            return Along(np.zeros(1), unknown, np.zeros(1))
        local = self.local(part, self.arrays, upstream)
        give = np.abs(direction) * _ALONG * self.analytic.units[operand] * np.abs(analytic)
        return along(local, {operand: direction}, {operand: analytic}, {operand: give})

    def is_affordable(self, part: Node | Term, operand: str) -> bool:
        """Whether every entry of an operand may be asked for by itself: a copy of the layer's outputs for each."""
        outputs = sum(dy.size for dy in self.upstream(part))
        return self._is_elementwise(part) or self.arrays[operand].size * outputs <= _AFFORDABLE

    def operands(self, part: Node | Term) -> tuple[str, ...]:
        """What the layer's backward gives a gradient for: its inputs, then its parameters, unless they are frozen."""
        names = part.predictions if isinstance(part, Term) else (*part.inputs, *part.parameters.values())
        frozen = self.stage.point.frozen
        return tuple(dict.fromkeys(n for n in names if self.arrays[n].dtype.kind == "f" and n not in frozen))

    def inputs_pass(self, part: Node | Term) -> bool:
        """Whether the layer is right about the gradients that it hands on."""
        names = part.predictions if isinstance(part, Term) else part.inputs
        return all(self.judge(part, name).passes for name in self.operands(part) if name in names)

    def _find(self, part: Node | Term, operand: str) -> _Found:
        key = part.name, operand
        if key not in self._found:
            self._found[key] = self._entries(part, operand)
        return self._found[key]

    def _entries(self, part: Node | Term, operand: str) -> _Found:
        analytic = self._contribution(part, operand)
        upstream = self.upstream(part)
        if not all(np.isfinite(dy).all() for dy in upstream):
            anything = np.full(analytic.shape, np.inf)
            interval = Interval(-anything, anything, 0 * analytic, 0 * analytic, np.zeros(analytic.shape, dtype=bool))
            return _Found(analytic, interval, np.ones(analytic.shape, dtype=bool), 0 * analytic, None)
        local = self.local(part, self.arrays, upstream)
        own, unit = 10 * self._own_rounding(part, operand), self.analytic.units[operand]
        large = self.arrays[operand].size * sum(dy.size for dy in upstream) > _AFFORDABLE
        interval = _unit_by_unit(local, operand) if large and self._is_elementwise(part) else vjp(local, operand)
        right = interval.contains(analytic, self._rounding(interval, own, unit))
        tied = False
        if not right.all() and not local.smooth and local.branches(local.arrays) is None:
            some = np.flatnonzero(~right)[:_PROBED]
            beside = vjp(local, operand, some, ties=True)
            if beside.contains(analytic, self._rounding(beside, own, unit)).flat[some].any():
                interval, tied = vjp(local, operand, ties=True), True
                right = interval.contains(analytic, self._rounding(interval, own, unit))
        if _chained(part):
            right = right | interval.kink
        return _Found(analytic, interval, right, self._rounding(interval, own, unit), local, tied)

    def _is_elementwise(self, part: Node | Term) -> bool:
        return isinstance(part, Node) and part.layer.elementwise and part.says("elementwise")

    def _rounding(self, interval: Interval, own: Array | float, unit: float) -> Array:
        """What this layer's backward may round, given what it receives: that is rounded already, and does not count."""
        return np.asarray(64 * unit * interval.size + np.where(interval.kink, 0.0, own))

    def _together(self, part: Node | Term) -> dict[str, bool]:
        """Each operand by itself; then all that are right by themselves, as a tie may be one between them."""
        if _chained(part):
            return {}
        found = {operand: self._find(part, operand) for operand in self.operands(part)}
        at_kinks = {operand: one for operand, one in found.items() if (one.interval.kink & one.right).any()}
        holds = {operand: _adds_up({operand: one}) for operand, one in at_kinks.items()}
        joined = {operand: one for operand, one in at_kinks.items() if holds[operand]}
        if len(joined) > 1 and not _adds_up(joined):
            holds.update(dict.fromkeys(joined, False))
        return holds

    def _own_rounding(self, part: Node | Term, operand: str) -> Array | float:
        if part.name not in self._rounded:
            self._rounded[part.name] = own_rounding(self.stage.network, self.stage.point, self.analytic, part)
        return np.nan_to_num(self._rounded[part.name].get(operand, 0.0), nan=0.0, posinf=0.0)

    def _contribution(self, part: Node | Term, operand: str) -> Array:
        found = self.analytic.contributions.get((part.name, operand))
        if found is None:
            return np.zeros(self.arrays[operand].shape)
        return np.asarray(found, dtype=np.float64)

    def numeric_upstream(self, part: Node | Term) -> tuple[Array, ...]:
        """The upstream gradient that the layer would get if all backward passes behind it were right.

        It is made of the vector-Jacobian products of the forwards behind it, from the loss to here; at kinks the middle
        of what they allow.
        """
        if isinstance(part, Term):
            return self.upstream(part)
        if part.name not in self._numeric:
            self._numeric[part.name] = tuple(self._numeric_at(name) for name in part.outputs)
        return self._numeric[part.name]

    def _numeric_at(self, name: str) -> Array:
        network = self.stage.network
        total = np.zeros(self.arrays[name].shape)
        users: list[Node | Term] = [term for term in network.terms if name in term.predictions]
        users += [node for node in network.nodes if name in node.inputs]
        for user in users:
            local = self.local(user, self.arrays, self.numeric_upstream(user))
            found = plain_vjp(local, name) if local.complex_safe else vjp(local, name)
            total = total + (found.low + found.high) / 2
        return np.nan_to_num(total)

    def upstream(self, part: Node | Term) -> tuple[Array, ...]:
        """The upstream gradient that backward has delivered to the layer, in float64."""
        if isinstance(part, Node):
            return tuple(np.asarray(self.analytic.gradients[name], dtype=np.float64) for name in part.outputs)
        position = next(k for k, term in enumerate(self.stage.network.terms) if term is part)
        losses = np.asarray(self.analytic.trace.losses[position])
        if not part.elementwise:
            return (np.asarray(part.weight, dtype=np.float64),)
        if part.reduction == "none":
            return (part.weight * self.arrays[part.contraction],)
        divisor = part.divisor(part.reduction, self.arrays, losses.shape) or 1.0
        return (np.full(losses.shape, part.weight / divisor),)

    def local(self, part: Node | Term, arrays: Mapping[str, Array], upstream: tuple[Array, ...]) -> Local:
        """The layer, cut out of its network: at these arrays, under this upstream gradient."""
        samples = self.stage.samples
        return Local(
            forward=_forward(part),
            branches=_branches(part),
            names=_names(part),
            arrays=arrays,
            upstream=upstream,
            samples=samples,
            coupled=part.name in self.stage.coupled or (isinstance(part, Term) and not part.elementwise),
            complex_safe=part.name not in self.unsafe,
            smooth=part.trusted and _branches(part)(arrays) is None,
        )


def _unit_by_unit(local: Local, operand: str) -> Interval:
    """The interval for every entry of an elementwise layer: each sees itself alone, so they are samples of one."""
    shape = local.arrays[operand].shape

    def apart(array: Array) -> Array:
        return array.reshape(-1, 1)

    def whole(arrays: Mapping[str, Array]) -> dict[str, Array]:
        x = arrays[operand]
        return {operand: x.reshape(x.size // local.arrays[operand].size * shape[0], *shape[1:])}

    def branches(arrays: Mapping[str, Array]) -> Array | None:
        found = local.branches(whole(arrays))
        return None if found is None else apart(found)

    units = replace(
        local,
        forward=lambda arrays: [apart(np.asarray(y)) for y in local.forward(whole(arrays))],
        branches=branches,
        arrays={operand: apart(local.arrays[operand])},
        upstream=tuple(apart(dy) for dy in local.upstream),
        coupled=False,
    )
    found = vjp(units, operand)
    low, high, bar, size, kink = (
        part.reshape(shape) for part in (found.low, found.high, found.bar, found.size, found.kink)
    )
    return Interval(low, high, bar, size, kink)


def _chained(part: Node | Term) -> bool:
    """Whether the layer says that units of its own feed others: then nothing can be told at their borders."""
    return isinstance(part, Node) and part.layer.chained


def _names(part: Node | Term) -> tuple[str, ...]:
    if isinstance(part, Term):
        return (*part.predictions, *part.data.values())
    return (*part.inputs, *part.parameters.values(), *part.constants.values())


def _forward(part: Node | Term) -> Any:
    if isinstance(part, Term):
        return lambda arrays: (part.apply(arrays)[0],)
    return lambda arrays: part.apply(arrays)[0]


def _branches(part: Node | Term) -> Any:
    if isinstance(part, Term):
        return lambda arrays: part.branches([arrays[name] for name in part.predictions], arrays)
    return lambda arrays: part.branches([arrays[name] for name in part.inputs], part.keywords(arrays))


def _adds_up(found: Mapping[str, _Found]) -> bool:
    """Whether entries at kinks that are right one by one are right in the directions in which they move together."""
    local = next(iter(found.values())).local
    assert local is not None
    moving = {operand: one.interval.kink & one.right for operand, one in found.items()}
    analytic = {operand: one.analytic for operand, one in found.items()}
    slack = {operand: one.rounding + one.interval.bar for operand, one in found.items()}
    return all(adds_up(local, direction, analytic, slack) for direction in directions(local.arrays, moving))
