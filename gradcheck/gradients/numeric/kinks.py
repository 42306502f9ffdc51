"""Which perturbed copies leave the smooth piece that the network is on.

Real steps: the branches taken at x + oₖ h are compared with those at x. Complex steps never leave their branch; there
only a unit that lies exactly on a border (a negative branch) can be left, and whether it is follows from the
direction in which the perturbation moves it.

A unit whose branch in another precision is not the one in float64 lies closer to a border than the rounding of that
precision can tell. A backward in that precision rightly gives the slope of the other piece, so the unit counts as one
on a border: every perturbation that moves it at all has met a kink, however short the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.gradients._pieces import all_pieces
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._steps import Change, Step
from gradcheck.layers._columns import Columns
from gradcheck.network import Network, Node

Array = NDArray[Any]
_NUDGE = 2.0**-20
#: Moves of a unit that lies somewhere beside a border, in parts of its size where it moves most: they cross it even
#: where it hardly moves.
_NUDGES = (-(2.0**10), -1.0, 1.0, 2.0**10)


class KinkWatch:
    """Shown the perturbed inputs of every layer, it remembers which copies (and samples) met a kink.

    arrays   every array at the point, activations included
    rounded  the same of a forward pass in the precision of the analytic side; None where that is float64
    met      (K, N) after a sweep's evaluation: whether copy k leaves its piece in sample i
    """

    def __init__(
        self, network: Network, arrays: Mapping[str, Array], rounded: Mapping[str, Array] | None = None
    ) -> None:
        self.arrays = arrays
        self.terms = network.terms
        self.base = all_pieces(network, arrays)
        other = self.base if rounded is None else all_pieces(network, rounded)
        self.undecided = {name: other[name] != base for name, base in self.base.items()}
        self.undecided = {name: units for name, units in self.undecided.items() if units.any()}
        self.borders = {name: branches < 0 for name, branches in self.base.items() if (branches < 0).any()}
        self.met = np.zeros((0, 0), dtype=bool)

    def is_idle(self, complex_steps: bool) -> bool:
        """Whether no such step can meet a kink: nobody has one, or short as they are, no unit lies on a border."""
        return not (self.borders or self.undecided or (self.base and not complex_steps))

    def start(self, copies: int, samples: int) -> None:
        """Forget; the next copies are on their way."""
        self.met = np.zeros((copies, samples), dtype=bool)

    def see(self, node: Node, copies: Copies, changed: Mapping[str, Change], step: Step) -> None:
        """Compare the branches of a layer that is about to be evaluated."""
        if not self._can_meet(node.name, changed, node.inputs, step):
            return
        change = changed.get(node.inputs[0])
        if isinstance(change, Columns) and node.acts_within(change):
            at = _Units(step.is_complex, change.of(self.base[node.name]), self._undecided(node.name, change.of))
            still = change.of(self.arrays[node.inputs[0]])
            left = at.left(lambda x: node.branches([_flat(x)], {}), [still], [change.moves])
        else:
            names = (*node.inputs, *node.parameters.values(), *node.constants.values())
            keywords = node.keywords(copies.stacked(names, _operands(step, changed, node.inputs)))
            left = self._left(node.name, lambda *x: node.branches(x, keywords), node.inputs, copies, changed, step)
        self._note(left, copies)

    def see_losses(self, copies: Copies, changed: Mapping[str, Change], step: Step) -> None:
        """Compare the branches of the terms of the loss."""
        for term in self.terms:
            if not self._can_meet(term.name, changed, term.predictions, step):
                continue
            data = copies.stacked(tuple(term.data.values()), {})
            self._note(
                self._left(
                    term.name, lambda *x, t=term, d=data: t.branches(x, d), term.predictions, copies, changed, step
                ),
                copies,
            )

    def _left(
        self, name: str, branches: Any, inputs: tuple[str, ...], copies: Copies, changed: Mapping[str, Change],
        step: Step,
    ) -> Array:  # fmt: skip
        """Which units of whole copies leave their piece."""
        at = _Units(step.is_complex, self.base[name], self._undecided(name))
        still = copies.stacked(inputs, {})
        moves = {i: _flat(step.moves(i, changed[i])) for i in inputs if i in changed}
        return at.left(branches, [still[i] for i in inputs], [moves.get(i, np.zeros_like(still[i])) for i in inputs])

    def _undecided(self, name: str, of: Callable[[Array], Array] | None = None) -> Array | None:
        units = self.undecided.get(name)
        return units if units is None or of is None else of(units)

    def _can_meet(self, name: str, changed: Mapping[str, Change], inputs: tuple[str, ...], step: Step) -> bool:
        if name not in self.base or not any(i in changed for i in inputs):
            return False
        return name in self.borders or name in self.undecided or not step.is_complex

    def _note(self, left: Array, copies: Copies) -> None:
        self.met |= left.reshape(copies.count, copies.batch_size, -1).any(axis=2)


class _Units(Struct, frozen=True):
    """Units of a layer, and on which piece each is at the point; base and undecided are broadcast over the copies."""

    is_complex: bool
    base: Array
    undecided: Array | None

    def left(self, branches: Any, still: list[Array], moves: list[Array]) -> Array:
        """Which are on another piece than at the point, or are undecided and move."""

        def differs(inputs: list[Array]) -> Array:
            return np.asarray(branches(*inputs).reshape(-1, *self.base.shape) != self.base)

        if self.is_complex:  # the direction of the move, scaled so that it leaves a border but nothing else
            moves = [move.imag if np.iscomplexobj(move) else move for move in moves]
            left = differs(_nudged(still, moves, _NUDGE)) & (self.base < 0)
        else:
            left = differs([x + move for x, move in zip(still, moves, strict=True)])
        if self.undecided is not None:
            for nudge in _NUDGES:
                left |= differs(_nudged(still, moves, nudge)) & self.undecided
        return left


def _nudged(still: list[Array], moves: list[Array], nudge: float) -> list[Array]:
    return [x + nudge * _relative(move, x) for x, move in zip(still, moves, strict=True)]


def _relative(slope: Array, x: Array) -> Array:
    greatest = np.max(np.abs(slope), initial=0.0)
    size = np.max(np.abs(x), initial=0.0) or 1.0
    return slope * (size / greatest) if greatest > 0 else slope


def _operands(step: Step, changed: Mapping[str, Change], names: tuple[str, ...]) -> dict[str, Array]:
    return {name: step.operand(name, changed[name]) for name in names if name in changed}


def _flat(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])
