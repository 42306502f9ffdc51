"""What a sweep of every entry would cost, counted and not timed: the same network has the same cost on every machine.

Counted are the numbers that come out of the layers behind an entry, and the products that linear maps add up, for every
copy that is evaluated:

    one copy = Σ over layers behind the entry   K |y| + |y| |W| / units      units: the axis that W and y have in common

Where a layer says cheaply what changes, one column of its output, only that column counts, until it is spread again.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.network import Node

#: What a number costs on its way through a layer, in products of a linear map.
_NUMBER = 16
#: What a call costs where copies cannot be stacked.
_CALL = 40_000
#: Products in a second, complex ones, on an ordinary core.
_RATE = 4e9


def seconds_of_sweep(stage: Stage, names: Iterable[str], evaluations: float = 1.0) -> float:
    """About how long a sweep of all entries of the named tensors takes.

    evaluations  how often each copy is evaluated, in complex evaluations
    """
    return evaluations * sum(_copies(stage, name) * products_of_copy(stage, name) for name in names) / _RATE


def _copies(stage: Stage, name: str) -> int:
    """How many perturbed copies a tensor has: of an input whose samples do not see each other, one for each feature."""
    shape = stage.arrays[name].shape
    return prod(shape[1:] if stage.sample_by_sample(name) else shape)


def products_of_copy(stage: Stage, name: str) -> float:
    """What one copy costs, with one entry of the tensor moved."""
    total, narrow = 0.0, False
    moved = {name}
    for node in stage.network.affected([name]):
        owned = name in node.parameters.values()
        size = sum(stage.arrays[output].size for output in node.outputs)
        units = max(1, stage.arrays[node.outputs[0]].shape[-1])
        if owned and len(moved) == 1 and node.says("perturbed") and node.name not in stage.coupled:
            narrow, cost = True, _NUMBER * size / units
        elif narrow and node.layer.elementwise and node.says("elementwise"):
            cost = _NUMBER * size / units
        elif narrow and node.says("carry") and node.name not in stage.coupled:
            narrow, cost = False, _NUMBER * size
        else:
            narrow, cost = False, _NUMBER * size + _products(stage, node)
        moved.update(node.outputs)
        total += cost
        total += _CALL * (node.name in stage.coupled)
    reached = stage.network.reached([name])
    terms = stage.network.terms
    total += _CALL * sum(block.width for block in stage.observables.blocks if not terms[block.term].elementwise)
    return total + _NUMBER * sum(stage.arrays[p].size for term in reached for p in term.predictions)


def _products(stage: Stage, node: Node) -> float:
    """|y| |W| / units for every parameter: what a linear map, or a convolution, adds up."""
    y = stage.arrays[node.outputs[0]]
    total = 0.0
    for name in node.parameters.values():
        weight = stage.arrays[name]
        if weight.ndim > 1:
            shared = [axis for axis in weight.shape if axis in y.shape[1:]]
            total += y.size * weight.size / max(shared, default=1)
    return total
