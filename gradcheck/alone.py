"""Every layer alone, under the upstream gradient that backward delivered to it: who is guilty, and what a kink excuses.

A layer is judged at the arrays that its own backward was called for, in the precision of the analytic side: there it
must be right whatever the layers before it have rounded, and a unit that float64 would put on another piece has the
slopes of the piece that it was on. A layer is guilty when its own backward is not the vector-Jacobian product of its
own forward. One wrong layer taints every gradient on its input side; those layers pass alone, and their rows are its
consequences. At a kink a layer passes when its value lies between the one-sided slopes of each of its outputs, and
where several entries share a kink (a tie) also in the direction in which they move together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.analytic import Analytic, own_rounding
from gradcheck.gradients.numeric.local import Interval, Local, joint_vjp, vjp
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: So many entries that a black box seems to have wrong are asked at points beside, where ties are broken.
_PROBED = 32


@dataclass(frozen=True)
class Judgement:
    """One operand of one layer: which entries its backward has right, and the interval that says so.

    right     entries whose value lies inside the interval (operand's shape)
    together  whether the values at kinks also add up in the direction in which those entries move together
    """

    analytic: Array
    interval: Interval
    right: Array
    together: bool

    @property
    def passes(self) -> bool:
        """Whether the layer is right about this operand."""
        return bool(self.right.all()) and self.together


class Alone:
    """Judges layers one by one, when asked, and remembers."""

    def __init__(self, stage: Stage, analytic: Analytic, unsafe: Mapping[str, str]) -> None:
        self.stage, self.analytic, self.unsafe = stage, analytic, unsafe
        self.arrays = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in analytic.trace.arrays.items()
        }
        self._known: dict[tuple[str, str], Judgement] = {}
        self._rounded: dict[str, Mapping[str, Array]] = {}

    def judge(self, part: Node | Term, operand: str) -> Judgement:
        """The layer's gradient for one of its operands, held against its own forward."""
        key = part.name, operand
        if key not in self._known:
            self._known[key] = self._judge(part, operand)
        return self._known[key]

    def operands(self, part: Node | Term) -> tuple[str, ...]:
        """What the layer's backward gives a gradient for: its inputs, then its parameters."""
        names = part.predictions if isinstance(part, Term) else (*part.inputs, *part.parameters.values())
        return tuple(dict.fromkeys(name for name in names if self.arrays[name].dtype.kind == "f"))

    def inputs_pass(self, part: Node | Term) -> bool:
        """Whether the layer is right about the gradients that it hands on."""
        names = part.predictions if isinstance(part, Term) else part.inputs
        return all(self.judge(part, name).passes for name in self.operands(part) if name in names)

    def _judge(self, part: Node | Term, operand: str) -> Judgement:
        analytic = self._contribution(part, operand)
        upstream = self._upstream(part)
        if not all(np.isfinite(dy).all() for dy in upstream):
            anything = np.full(analytic.shape, np.inf)
            interval = Interval(-anything, anything, 0 * analytic, 0 * analytic, np.zeros(analytic.shape, dtype=bool))
            return Judgement(analytic, interval, np.ones(analytic.shape, dtype=bool), together=True)
        local = self._local(part, upstream)
        own = 10 * self._own_rounding(part, operand)
        interval = vjp(local, operand)
        right = interval.contains(analytic, self._rounding(interval, own))
        if not right.all() and not local.smooth and local.branches(local.arrays) is None:
            some = np.flatnonzero(~right)[:_PROBED]
            beside = vjp(local, operand, some, ties=True)
            if beside.contains(analytic, self._rounding(beside, own)).flat[some].any():
                interval = vjp(local, operand, ties=True)
                right = interval.contains(analytic, self._rounding(interval, own))
        together = self._together(local, operand, analytic, interval, self._rounding(interval, own))
        return Judgement(analytic, interval, right, together)

    def _rounding(self, interval: Interval, own: Array | float) -> Array:
        """What this layer's backward may round, given what it receives: that is rounded already, and does not count."""
        return np.asarray(64 * self.analytic.unit * interval.size + np.where(interval.kink, 0.0, own))

    def _together(self, local: Local, operand: str, analytic: Array, interval: Interval, rounding: Array) -> bool:
        if not interval.kink.any() or operand not in local.samples or local.coupled:
            return True
        slack = rounding + interval.bar
        return all(
            _holds_along(direction, joint_vjp(local, operand, direction), analytic, slack)
            for direction in _directions(local.arrays[operand], interval.kink)
        )

    def _own_rounding(self, part: Node | Term, operand: str) -> Array | float:
        if part.name not in self._rounded:
            self._rounded[part.name] = own_rounding(self.stage.network, self.stage.point, self.analytic, part)
        return np.nan_to_num(self._rounded[part.name].get(operand, 0.0), nan=0.0, posinf=0.0)

    def _contribution(self, part: Node | Term, operand: str) -> Array:
        found = self.analytic.contributions.get((part.name, operand))
        if found is None:
            return np.zeros(self.arrays[operand].shape)
        return np.asarray(found, dtype=np.float64)

    def _upstream(self, part: Node | Term) -> tuple[Array, ...]:
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

    def _local(self, part: Node | Term, upstream: tuple[Array, ...]) -> Local:
        arrays, samples = self.arrays, self.stage.samples
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


def _directions(array: Array, kink: Array) -> Iterator[Array]:
    """Directions in which the entries at kinks move together: all alike, then with signs drawn by value.

    Entries that are tied have equal values, so they stay tied; other ties get other signs and cannot cancel them.
    """
    yield kink.astype(np.float64)
    values, which = np.unique(array, return_inverse=True)
    for seed in range(6):
        signs = np.random.default_rng([seed, len(values)]).choice([-1.0, 1.0], len(values))
        yield kink * signs[which].reshape(array.shape)


def _holds_along(direction: Array, joint: Interval, analytic: Array, slack: Array) -> bool:
    along = (analytic * direction).reshape(len(analytic), -1).sum(axis=1)
    return bool(joint.contains(along, slack.reshape(len(analytic), -1).sum(axis=1)).all())
