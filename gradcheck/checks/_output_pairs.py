"""Layers and losses whose derivatives cancel to prediction - target: which of them a term of the loss ends in.

A pair is recognised by the forward passes that the layers and the loss inherit, whatever their backward passes are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.checks._base import number
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.network import Network, Node, Term

Array = NDArray[Any]
#: What the probabilities of one target may add up to beside 1, in units in the last place for each class.
_ROUNDED = 4


class Pair(Struct, frozen=True):
    """A loss and what may stand in front of it, by their names: a run loads no layer that its spec does not have.

    layers      between the pre-activation z and the loss, in order
    behind      the layer that z must come from, where the pair asks for one
    factor      c of g = c dl (p - y), dl the upstream gradient of the losses
    activation  how p is made of z: `softmax`, `sigmoid`, or nothing
    twice       a layer in front of z with which the activation would be taken twice
    """

    words: str
    loss: str
    layers: tuple[str, ...] = ()
    behind: str = ""
    factor: float = 1.0
    activation: str = ""
    twice: str = ""

    @property
    def of_classes(self) -> bool:
        """Whether the target has a class for each position, and the prediction a number for each class."""
        return self.activation == "softmax"


PAIRS = (
    Pair("linear + mse", "mse", behind="linear", factor=2.0),
    Pair("linear + quadratic", "quadratic", behind="linear"),
    Pair("softmax + cross_entropy", "cross_entropy", activation="softmax", twice="softmax"),
    Pair("log_softmax + nll", "nll", ("log_softmax",), activation="softmax"),
    Pair("softmax + log + nll", "nll", ("softmax", "log"), activation="softmax"),
    Pair("sigmoid + bce_with_logits", "bce_with_logits", activation="sigmoid", twice="sigmoid"),
    Pair("sigmoid + bce", "bce", ("sigmoid",), activation="sigmoid"),
)


class Recognised(Struct, frozen=True):
    """A term of the loss that ends in a pair.

    array   the name of the pre-activation z
    nodes   the layers between z and the loss, in order
    reason  why the gradient at z is no difference of prediction and target after all; empty if it is one
    """

    pair: Pair
    array: str
    nodes: tuple[Node, ...] = ()
    reason: str = ""


class OutputError(Struct, frozen=True):
    """g = scale (p − y) at the pre-activation; all three broadcast to its shape.

    formula  in words, with the names of the spec
    """

    scale: Array
    p: Array
    y: Array
    formula: str


def recognised(network: Network, term: Term, arrays: Mapping[str, Array]) -> Recognised | None:
    """The pair that a term ends in; None where it ends in none."""
    found = None
    for pair in PAIRS:
        nodes = _layers(network, term, pair) if inherits(term.loss, pair.loss) else None
        if nodes is None:
            continue
        array = nodes[0].inputs[0] if nodes else term.predictions[0]
        producer = network.producer(array)
        if not pair.behind or (producer is not None and inherits(producer.layer, pair.behind)):
            found = Recognised(pair, array, nodes, _reason(network, term, pair, nodes, producer, arrays))
    return found


def inherits(part: Layer | Loss, name: str, method: str = "forward") -> bool:
    """Whether a method of a layer or a loss is that of the built-in one of this name."""
    owner = next(kind for kind in type(part).__mro__ if method in vars(kind))
    return owner.__module__ in (f"gradcheck.layers.{name}", f"gradcheck.losses.{name}")


def _layers(network: Network, term: Term, pair: Pair) -> tuple[Node, ...] | None:
    """The pair's layers in front of the loss, in order; None where others stand there."""
    found: list[Node] = []
    name = term.predictions[0]
    for kind in reversed(pair.layers):
        node = network.producer(name)
        if node is None or not inherits(node.layer, kind):
            return None
        found.insert(0, node)
        name = node.inputs[0]
    return tuple(found)


# Why not --------------------------------------------------------------------------------------------------------------


def _reason(
    network: Network, term: Term, pair: Pair, nodes: tuple[Node, ...], producer: Node | None,
    arrays: Mapping[str, Array],
) -> str:  # fmt: skip
    if pair.twice and producer is not None and inherits(producer.layer, pair.twice):
        return (
            f"{term.name} takes the {pair.activation} of what it gets, and {producer.name} has taken it before: what "
            "flows back there is no difference of its prediction and the target"
        )
    for node in nodes:
        others = _users(network, node.outputs[0])
        if len(others) > 1:
            return f"{node.name} is used by {' and '.join(others)}, so more than this error flows back through it"
    return _of_axes(term, nodes, arrays) or _of_options(term, pair, arrays)


def _users(network: Network, name: str) -> list[str]:
    layers = [node.name for node in network.nodes for taken in node.inputs if taken == name]
    return layers + [term.name for term in network.terms if name in (*term.predictions, *term.data.values())]


def _of_axes(term: Term, nodes: tuple[Node, ...], arrays: Mapping[str, Array]) -> str:
    """A softmax that does not run along the classes."""
    axis = getattr(term.loss, "axis", None)
    for node in nodes:
        dim = getattr(node.layer, "dim", None)
        ndim = arrays[node.inputs[0]].ndim
        if dim is not None and axis is not None and dim % ndim != axis % ndim:
            return f"{node.name} runs along axis {dim} and the classes of {term.name} along axis {axis}"
    return ""


def _of_options(term: Term, pair: Pair, arrays: Mapping[str, Array]) -> str:
    """Options and targets under which the target of the difference is another one than that of the spec."""
    loss: Any = term.loss
    target = arrays[term.data["target"]]
    soft = target.dtype.kind == "f"
    if not pair.of_classes:
        weighs = not _counts_once(getattr(loss, "pos_weight", 1.0)) and not np.isin(target, (0, 1)).all()
        return "pos_weight changes a target between 0 and 1 itself, and not only its weight" if weighs else ""
    if loss.class_weight is not None and (soft or getattr(loss, "label_smoothing", 0.0) != 0):
        return "class_weight changes a target of several classes itself, and not only its weight"
    if soft:
        off = np.abs(target.sum(axis=loss.axis) - 1)
        if np.max(off, initial=0.0) > _ROUNDED * target.shape[loss.axis] * np.finfo(target.dtype).eps:
            return "the probabilities of a target do not add up to 1"
    return ""


def _counts_once(weight: Any) -> bool:
    return bool(np.all(np.asarray(weight) == 1))


# What it is -----------------------------------------------------------------------------------------------------------


def output_error(
    found: Recognised, term: Term, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
) -> OutputError:  # fmt: skip
    """scale, p and y in the widest precision that there is, from the options of the loss alone."""
    pair, z = found.pair, arrays[found.array].astype(np.longdouble)
    p = _PREDICTIONS[pair.activation](z, getattr(term.loss, "axis", -1))
    y, target = _target(term, pair, arrays, z.shape)
    divisor = term.divisor(term.reduction, arrays, losses_shape) or 1.0
    constant = pair.factor * term.weight
    factors = _factors(term, pair, arrays, losses_shape)
    scale = np.asarray(constant / np.longdouble(divisor))
    for factor in factors.values():
        scale = scale * factor
    prediction = f"{pair.activation}({found.array})" if pair.activation else found.array
    words = [number(constant)] * (constant != 1) + list(factors) + [f"({prediction} - {target})"]
    over = f" / {number(divisor)}" if divisor != 1 else ""
    return OutputError(scale, p, y, " × ".join(words) + over)


def _softmax(z: Array, axis: int) -> Array:
    e: Array = np.exp(z - z.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _sigmoid(z: Array, axis: int) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def _itself(z: Array, axis: int) -> Array:
    return z


_PREDICTIONS: Mapping[str, Callable[[Array, int], Array]] = {"": _itself, "softmax": _softmax, "sigmoid": _sigmoid}


def _target(term: Term, pair: Pair, arrays: Mapping[str, Array], shape: tuple[int, ...]) -> tuple[Array, str]:
    """y, and what it is called: the target, or the classes of it as rows of 0 and 1, perhaps smoothed."""
    loss: Any = term.loss
    words = term.data["target"]
    y = arrays[words]
    if not pair.of_classes:
        return y.astype(np.longdouble), words
    classes = shape[loss.axis]
    if y.dtype.kind != "f":
        y, words = np.expand_dims(y, loss.axis) == _along(np.arange(classes), loss.axis, len(shape)), f"onehot({words})"
    smoothing = np.longdouble(getattr(loss, "label_smoothing", 0.0))
    return np.asarray((1 - smoothing) * y + smoothing / classes), f"smoothed {words}" if smoothing else words


def _factors(
    term: Term, pair: Pair, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]
) -> dict[str, Array]:  # fmt: skip
    """By name, what multiplies the difference beside constants: weights, masks, the random vector of `none`."""
    loss: Any = term.loss
    given = {name: arrays[term.data[name]] for name in ("sample_weight", "mask") if name in term.data}
    if term.reduction == "none":
        given["the random vector"] = arrays[term.contraction]
    if pair.of_classes:
        given |= _of_classes(loss, arrays[term.data["target"]])
    shape = arrays[term.predictions[0]].shape
    found = {}
    for name, array in given.items():
        behind = np.broadcast_to(array.reshape(*array.shape, *[1] * (len(losses_shape) - array.ndim)), losses_shape)
        inner = [1] * (len(shape) - len(losses_shape))  # one loss for all the outputs of a sample
        found[name] = np.expand_dims(behind, loss.axis) if pair.of_classes else behind.reshape(*losses_shape, *inner)
    if getattr(loss, "output_weight", None) is not None:
        found["output_weight"] = np.array(loss.output_weight)
    if not _counts_once(getattr(loss, "pos_weight", 1.0)):
        found["pos_weight of what is 1"] = np.where(arrays[term.data["target"]] == 1, np.asarray(loss.pos_weight), 1.0)
    return found


def _of_classes(loss: Any, target: Array) -> dict[str, Array]:
    """What the class of a target makes of its error: nothing where it is ignored."""
    if target.dtype.kind == "f":
        return {}
    found: dict[str, Array] = {}
    valid = target != loss.ignore_index
    if not valid.all():
        found["(target not ignored)"] = valid.astype(np.float64)
    if loss.class_weight is not None:
        found["class_weight of the target"] = np.array(loss.class_weight)[np.where(valid, target, 0)]
    return found


def _along(row: Array, axis: int, ndim: int) -> Array:
    """A row in a shape that broadcasts along an axis."""
    shape = [1] * ndim
    shape[axis] = -1
    return row.reshape(shape)
