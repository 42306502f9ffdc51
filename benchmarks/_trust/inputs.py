"""What a drawn layer takes: activations of one shape, or, by a row of the table, inputs of the net drawn for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _trust.recipes import arity, more_inputs
from gradcheck.layers._base import Layer
from gradcheck.naming import spec_name

Array = NDArray[Any]
Rng = np.random.Generator
Shape = tuple[int, ...]
#: The activation that the layer stands on, and any activation that fits beside it.
THIS, ANY = "this", "any"
#: How often a layer that takes any number of inputs takes one more than it must.
_MORE = 0.3


@dataclass(frozen=True)
class Fresh:
    """A new input of the net. `shared`: one array for all samples."""

    array: Array
    shared: bool = False


Source = str | Fresh


def sources(rng: Rng, layer: Layer, shape: Shape) -> tuple[Source, ...]:
    """What a layer on an activation of this shape takes. ShapeError where it does not fit on it."""
    recipe = _INPUTS.get(spec_name(type(layer)))
    if recipe is not None:
        return recipe(rng, layer, shape)
    further = arity(layer, shape) - 1 + int(more_inputs(layer) and rng.random() < _MORE)
    return (THIS, *[ANY] * further)


def _of_recurrence(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """A sequence, half of the time with an initial state, of every layer and direction where there are several."""
    layer.check(shape)
    places = layer.num_layers * (1 + layer.bidirectional)
    state = (shape[0], *([places] if places > 1 else []), layer.hidden_size)
    states = [Fresh(rng.standard_normal(state)) for _ in layer.states]
    return (THIS, *states) if rng.random() < 0.5 else (THIS,)


def _of_attention(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """Queries that are keys and values too, or keys and values of another length; half of the time with a mask."""
    layer.check(shape, shape, shape)
    lead, features = shape[:-2], shape[-1]
    keys, values = (THIS, THIS), shape[-2]
    if rng.random() < 0.5:
        values = int(rng.integers(1, 6))
        keys = (Fresh(rng.standard_normal((*lead, values, features))), Fresh(rng.standard_normal((*lead, values, 3))))
    return (THIS, *keys, *_mask(rng, lead, shape[-2], values))


def _of_heads(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """One sequence, or all that attention takes."""
    layer.check(shape)
    return (THIS,) if rng.random() < 0.4 else _of_attention(rng, layer, shape)


def _mask(rng: Rng, lead: Shape, queries: int, keys: int) -> tuple[Fresh, ...]:
    """No mask; or one of booleans, of integers or of numbers to add, for each sample or for all."""
    shared = bool(rng.random() < 0.3)
    scores = rng.standard_normal((*lead, queries, keys)[len(lead) if shared else 0 :])
    kinds = [scores, scores > -0.5, (scores > 0).astype(int)]
    return (Fresh(kinds[int(rng.integers(3))], shared),) if rng.random() < 0.5 else ()


def _of_bilinear(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """A second input of another size; now and then the same one."""
    other = (*shape[:-1], int(rng.integers(1, 6)))
    layer.check(shape, other)
    return (THIS, THIS) if rng.random() < 0.2 else (THIS, Fresh(rng.standard_normal(other)))


def _of_matmul(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """A second matrix for each of the first; now and then the same one, where it can be multiplied by itself."""
    inner, columns = shape[-1], int(rng.integers(1, 6))
    other = (*shape[:-2], *((columns, inner) if layer.transpose_b else (inner, columns)))
    layer.check(shape, other)
    itself = layer.transpose_b and rng.random() < 0.3
    return (THIS, THIS) if itself else (THIS, Fresh(rng.standard_normal(other)))


def _of_cosine(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """A second input of the same shape: of an input and itself the cosine is 1, whatever backward says."""
    layer.check(shape, shape)
    return (THIS, Fresh(rng.standard_normal(shape)))


def _of_gather(rng: Rng, layer: Any, shape: Shape) -> tuple[Source, ...]:
    """Places to gather from, some of them more than once."""
    layer.check(shape, shape)
    chosen = list(shape)
    chosen[layer.dim] = int(rng.integers(1, 6))
    return (THIS, Fresh(rng.integers(0, shape[layer.dim], chosen)))


#: Layers that take positive numbers -> layers that give them: one of these stands before each of those.
PRECEDED = {"log": ("softplus", "exp"), "power": ("softplus", "exp"), "sqrt": ("softplus", "exp", "square")}

#: Layer -> what it takes, where that is not activations of one shape.
_INPUTS: dict[str, Callable[[Rng, Any, Shape], tuple[Source, ...]]] = {
    "bilinear": _of_bilinear,
    "cosine_similarity": _of_cosine,
    "gather": _of_gather,
    "gru": _of_recurrence,
    "lstm": _of_recurrence,
    "matmul": _of_matmul,
    "multi_head_attention": _of_heads,
    "rnn": _of_recurrence,
    "scaled_dot_product_attention": _of_attention,
}
