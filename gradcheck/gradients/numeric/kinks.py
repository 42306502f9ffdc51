"""Which perturbed copies leave the smooth piece that the network is on.

Real steps: the branches taken at x + oₖ h are compared with those at x. Complex steps never leave their branch; there
only a unit that lies exactly on a border (a negative branch) can be left, and whether it is follows from the
direction in which the perturbation moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
from gradcheck.layers._columns import Columns
from gradcheck.network import Network, Node

Array = NDArray[Any]
_NUDGE = 2.0**-20


class KinkWatch:
    """Shown the perturbed inputs of every layer, it remembers which copies (and samples) met a kink.

    met    (K, N) after a sweep's evaluation: whether copy k leaves its piece in sample i
    """

    def __init__(self, network: Network, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.terms = network.terms
        self.base: dict[str, Array] = {}
        for node in network.nodes:
            branches = node.branches([arrays[name] for name in node.inputs], node.keywords(arrays))
            if branches is not None:
                self.base[node.name] = branches
        for term in network.terms:
            branches = term.branches([arrays[name] for name in term.predictions], arrays)
            if branches is not None:
                self.base[term.name] = branches
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
            base = change.of_base(self.base[node.name])
            left = _left(lambda moved: node.branches([moved], {}), [x], [change.of_base().reshape(x.shape)], base)
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
            )
            self._note(left, copies)

    def _can_meet(self, name: str, changed: Mapping[str, Any], inputs: tuple[str, ...]) -> bool:
        moving = [changed[i] for i in inputs if i in changed]
        if name not in self.base or not moving:
            return False
        return name in self.borders or not all(_is_complex(change) for change in moving)

    def _note(self, left: Array, copies: Copies) -> None:
        self.met |= left.reshape(copies.count, copies.batch_size, -1).any(axis=2)


def _left(branches: Any, moved: list[Array], still: list[Array], base: Array) -> Array:
    """Which units are on another piece than at the base point; `base` is broadcast over the copies."""
    if not any(np.iscomplexobj(x) for x in moved):
        return np.asarray(branches(*moved).reshape(-1, *base.shape) != base)
    # the direction of the move, scaled so that it leaves a border but nothing else
    slopes = [np.imag(x) / COMPLEX_STEP for x in moved]
    nudged = [x + _NUDGE * _relative(slope, x) for slope, x in zip(slopes, still, strict=True)]
    return np.asarray((branches(*nudged).reshape(-1, *base.shape) != base) & (base < 0))


def _relative(slope: Array, x: Array) -> Array:
    greatest = np.max(np.abs(slope), initial=0.0)
    size = np.max(np.abs(x), initial=0.0) or 1.0
    return slope * (size / greatest) if greatest > 0 else slope


def _is_complex(change: Array | Columns) -> bool:
    return np.iscomplexobj(change.values if isinstance(change, Columns) else change)
