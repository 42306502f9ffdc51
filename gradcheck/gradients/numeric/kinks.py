"""Which perturbed copies leave the smooth piece that the network is on.

Real steps: the branches taken at x + oₖ h are compared with those at x. Complex steps never leave their branch; there
only a unit that lies exactly on a border (a negative branch) can be left, and whether it is follows from the
direction in which the perturbation moves it.

A unit whose branch in another precision is not the one in float64 lies closer to a border than the rounding of that
precision can tell. A backward in that precision rightly gives the slope of the other piece, so the unit counts as one
on a border: every perturbation that moves it at all has met a kink, however short the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients._pieces import all_pieces
from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
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

    def start(self, copies: int, samples: int) -> None:
        """Forget; the next copies are on their way."""
        self.met = np.zeros((copies, samples), dtype=bool)

    def see(self, node: Node, copies: Copies, changed: Mapping[str, Array | Columns]) -> None:
        """Compare the branches of a layer that is about to be evaluated."""
        if not self._can_meet(node.name, changed, node.inputs):
            return
        change = changed[node.inputs[0]] if len(node.inputs) == 1 else None
        if isinstance(change, Columns) and node.layer.elementwise and node.says("elementwise"):
            x = change.values.reshape(-1, *change.values.shape[2:])
            base, still = change.of_base(self.base[node.name]), [change.of_base().reshape(x.shape)]
            undecided = change.of_base(self.undecided[node.name]) if node.name in self.undecided else None
            left = _left(lambda moved: node.branches([moved], {}), [x], still, base, undecided)
        else:
            names = (*node.inputs, *node.parameters.values(), *node.constants.values())
            dense = {k: v.dense() if isinstance(v, Columns) else v for k, v in changed.items() if k in names}
            stacked = copies.stacked(names, dense)
            keywords = node.keywords(stacked)
            left = _left(
                lambda *moved: node.branches(moved, keywords),
                [stacked[name] for name in node.inputs],
                [copies.stacked(names, {})[name] for name in node.inputs],
                self.base[node.name],
                self.undecided.get(node.name),
            )
        self._note(left, copies)

    def see_losses(self, copies: Copies, changed: Mapping[str, Array]) -> None:
        """Compare the branches of the terms of the loss."""
        for term in self.terms:
            if not self._can_meet(term.name, changed, term.predictions):
                continue
            names = (*term.predictions, *term.data.values())
            stacked, still = copies.stacked(names, changed), copies.stacked(names, {})
            left = _left(
                lambda *moved, term=term, data=stacked: term.branches(moved, data),
                [stacked[name] for name in term.predictions],
                [still[name] for name in term.predictions],
                self.base[term.name],
                self.undecided.get(term.name),
            )
            self._note(left, copies)

    def _can_meet(self, name: str, changed: Mapping[str, Any], inputs: tuple[str, ...]) -> bool:
        moving = [changed[i] for i in inputs if i in changed]
        if name not in self.base or not moving:
            return False
        return name in self.borders or name in self.undecided or not all(_is_complex(change) for change in moving)

    def _note(self, left: Array, copies: Copies) -> None:
        self.met |= left.reshape(copies.count, copies.batch_size, -1).any(axis=2)


def _left(branches: Any, moved: list[Array], still: list[Array], base: Array, undecided: Array | None) -> Array:
    """Which units are on another piece than at the base point, or are undecided and move.

    base and undecided are broadcast over the copies.
    """

    def differs(inputs: list[Array]) -> Array:
        return np.asarray(branches(*inputs).reshape(-1, *base.shape) != base)

    if any(np.iscomplexobj(x) for x in moved):
        # the direction of the move, scaled so that it leaves a border but nothing else
        slopes = [np.imag(x) / COMPLEX_STEP for x in moved]
        left = differs(_nudged(still, slopes, _NUDGE)) & (base < 0)
    else:
        slopes = [x - x0 for x, x0 in zip(moved, still, strict=True)]
        left = differs(moved)
    if undecided is not None:
        for nudge in _NUDGES:
            left |= differs(_nudged(still, slopes, nudge)) & undecided
    return left


def _nudged(still: list[Array], slopes: list[Array], nudge: float) -> list[Array]:
    return [x + nudge * _relative(slope, x) for x, slope in zip(still, slopes, strict=True)]


def _relative(slope: Array, x: Array) -> Array:
    greatest = np.max(np.abs(slope), initial=0.0)
    size = np.max(np.abs(x), initial=0.0) or 1.0
    return slope * (size / greatest) if greatest > 0 else slope


def _is_complex(change: Array | Columns) -> bool:
    return np.iscomplexobj(change.values if isinstance(change, Columns) else change)
