"""Changes a correct network in one place: a gradient that is off by a known relative amount, a forward without complex.

The changed layer or loss is of a subclass that overrides one method, so everything else about it stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.network import Node, Term
from gradcheck.spec.case import Case

Array = NDArray[Any]
Unit = TypeVar("Unit", Layer, Loss)


@dataclass(frozen=True)
class Mistake:
    """The gradient of `name`, a parameter or an input, is multiplied by 1 + r: one entry of it, or all (index None)."""

    name: str
    index: tuple[int, ...] | None
    r: float

    def in_array(self, gradient: Array) -> Array:
        """The gradient with the mistake. A batch without the entry's sample is left alone."""
        wrong = gradient.copy()
        where = ... if self.index is None else self.index
        if self.index is None or self.index[0] < len(wrong):
            wrong[where] *= 1 + self.r
        return wrong


def plant(case: Case, mistake: Mistake) -> Case:
    """The case with a backward that makes the mistake: that of the layer (or loss) that the gradient comes from.

    A parameter's gradient is wrong in its layer, or in the term of the loss that penalises it; an input's, in the first
    layer or term of the loss that takes it.
    """
    network = case.network
    penalised = mistake.name in case.point.parameters and any(mistake.name in t.predictions for t in network.terms)
    for node in () if penalised else network.nodes:
        if mistake.name in (*node.parameters.values(), *node.inputs):
            wrong = replace(node, layer=_wrong_layer(node, mistake))
            nodes = tuple(wrong if other is node else other for other in network.nodes)
            return replace(case, network=replace(network, nodes=nodes))
    for term in network.terms:
        if mistake.name in term.predictions:
            terms = tuple(replace(t, loss=_wrong_loss(t, mistake)) if t is term else t for t in network.terms)
            return replace(case, network=replace(network, terms=terms))
    raise ValueError(f"nothing in the network takes {mistake.name}")


def _wrong_layer(node: Node, mistake: Mistake) -> Layer:
    local = next((key for key, name in node.parameters.items() if name == mistake.name), None)

    def backward(self: Any, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        dx, gradients = type(node.layer).backward(self, dy, cache)
        if local is not None:
            return dx, {**gradients, local: mistake.in_array(gradients[local])}
        return _among(dx, node.inputs, mistake), gradients

    return _overridden(node.layer, backward=backward)


def _wrong_loss(term: Term, mistake: Mistake) -> Loss:
    def backward(self: Any, upstream: Any, cache: Any) -> Any:
        return _among(type(term.loss).backward(self, upstream, cache), term.predictions, mistake)

    return _overridden(term.loss, backward=backward)


def _among(gradients: Any, names: tuple[str, ...], mistake: Mistake) -> Any:
    """Input gradients with the mistake in the one of that name, wherever it is given."""
    if not isinstance(gradients, tuple):
        return mistake.in_array(np.asarray(gradients))
    pairs = zip(names, gradients, strict=True)
    return tuple(mistake.in_array(gradient) if name == mistake.name else gradient for name, gradient in pairs)


def real_only(case: Case) -> Case:
    """The case with losses of plugins that refuse complex numbers, as some do: only differences are left."""
    terms = tuple(replace(term, loss=_refusing(term.loss), trusted=False) for term in case.network.terms)
    return replace(case, network=replace(case.network, terms=terms))


def _refusing(loss: Loss) -> Loss:
    def forward(self: Any, *predictions: Any, **data: Any) -> Any:
        if any(np.iscomplexobj(prediction) for prediction in predictions):
            raise TypeError("this loss takes real numbers")
        return type(loss).forward(self, *predictions, **data)

    return _overridden(loss, forward=forward)


def _overridden(unit: Unit, **methods: Any) -> Unit:
    """The same unit, options included, of a subclass that differs in these methods alone."""
    kind = type(unit)
    other: Unit = object.__new__(type(kind.__name__, (kind,), methods))
    vars(other).update(vars(unit))
    return other
