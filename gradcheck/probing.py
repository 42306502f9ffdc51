"""Better inputs for every layer alone: those at which mistakes show that hide on the data of a spec.

A layer that is right at ordinary numbers may be wrong at a remainder, a tie, a repeated index, a slope of 0, or where
|x| = 50. Each layer, and each term of the loss, is put into a network of its own, in front of it new inputs, behind it
a random contraction (never a plain sum: a normalised layer hides behind it), and that network is checked as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.losses._base import Loss
from gradcheck.network import Network, Node, Point, Term
from gradcheck.spec.case import Case

Array = NDArray[Any]
#: Samples of a probe: few, and at least three.
_LEAST, _MOST = 3, 5
#: Numbers in an input or parameter of a probe: a layer that has more is probed with fewer samples, or not at all.
_AFFORDABLE = 2**14
_OUTPUT = "probe"
_FAR = 50.0
#: Options that are the slope of a piece: 0 and a negative one are special.
_SLOPES = ("slope", "alpha")


@dataclasses.dataclass(frozen=True)
class Contraction(Loss):
    """The output itself; its reduction `none` contracts it with a random vector.

    forward     l = y

    backward    dy = dl
    """

    def forward(self, *predictions: Any, **data: Any) -> tuple[Any, Any]:
        """The prediction -> (losses, nothing)."""
        return predictions[0], None

    def backward(self, upstream: Any, cache: Any) -> Any:
        """The upstream gradient, as it is."""
        return upstream


class Probe(Struct, frozen=True):
    """A layer, or a term of the loss, in a network of its own.

    name   of the probe, in words: `ties`, `|x| = 50`
    part   the layer's name, or the term's
    layer  what a finding calls it: the layer's own name where it stands in several places, `loss`
    """

    name: str
    part: str
    layer: str
    case: Case


def probes(case: Case) -> Iterator[Probe]:
    """Every probe of every layer and of every term of the loss, as far as they can be made."""
    arrays = case.network.forward(case.point).arrays
    seen = set[str]()
    for node in case.network.nodes:
        if node.written not in seen:
            seen.add(node.written)
            yield from _of_node(case, node, arrays)
    for term in case.network.terms:
        if not term.loss.of_parameters:
            yield from _of_term(case, term, arrays)


def _of_node(case: Case, node: Node, arrays: Mapping[str, Array]) -> Iterator[Probe]:
    taken = {name: arrays[name] for name in (*node.inputs, *node.parameters.values(), *node.constants.values())}
    few = _few(taken, frozenset(case.point.batched) | _activations(case.network), node.parameters.values())
    if any(array.size > _AFFORDABLE for array in few.values()):
        return
    for name, layer, changed in _variants(node, few):
        probed = replace(node, layer=layer, shapes=())
        with suppress(Exception):
            yield Probe(name, node.name, node.written, _alone(case, probed, changed))


def _activations(network: Network) -> frozenset[str]:
    return frozenset(output for node in network.nodes for output in node.outputs)


def _few(arrays: Mapping[str, Array], batched: frozenset[str], parameters: Any) -> dict[str, Array]:
    """The arrays with at least three samples, some of them twice, and not many more."""
    found = {}
    for name, array in arrays.items():
        if name in batched and name not in parameters:
            count = min(max(len(array), _LEAST), _MOST)
            array = array[np.arange(count) % len(array)]
        found[name] = array
    return found


def _alone(case: Case, node: Node, arrays: Mapping[str, Array]) -> Case:
    """A case of one layer. Raises whatever the layer raises at these numbers."""
    outputs, _ = node.apply(arrays)
    finite = [np.asarray(y) for y in outputs]
    if not all(y.dtype.kind != "f" or np.isfinite(y).all() for y in finite):
        raise ValueError("the layer has no finite output here")
    terms, contractions = [], {}
    for k, (name, y) in enumerate(zip(node.outputs, finite, strict=True)):
        if y.dtype.kind == "f":
            term = Term(Contraction(), "none", 1.0, (name,), {}, name=f"{_OUTPUT}_{k}")
            terms.append(term)
            contractions[term.contraction] = np.random.default_rng([k, y.size]).standard_normal(y.shape)
    network = Network((node,), tuple(terms))
    batched = frozenset(name for name in (*node.inputs, *contractions) if name not in node.parameters.values())
    batched |= frozenset(key for local, key in node.constants.items() if local in node.layer.per_sample)
    real = tuple(dict.fromkeys(name for name in node.parameters.values() if arrays[name].dtype.kind == "f"))
    point = Point({**arrays, **contractions}, tuple(dict.fromkeys(node.inputs)), real, batched)
    return _case(case, network, point)


def _case(case: Case, network: Network, point: Point) -> Case:
    plan = replace(case.gradient, entries=(), step=None, method="auto", probe=False)
    return replace(case, network=network, point=point, dtype="float64", checks=("gradient",), gradient=plan,
                   left_out=frozenset())  # fmt: skip


def _of_term(case: Case, term: Term, arrays: Mapping[str, Array]) -> Iterator[Probe]:
    taken = {name: arrays[name] for name in (*term.predictions, *term.data.values())}
    few = _few(taken, frozenset(case.point.batched) | _activations(case.network), ())
    if any(array.size > _AFFORDABLE for array in few.values()):
        return
    for name, changed in _numbers(term.predictions, few, term.data.values()):
        with suppress(Exception):
            yield Probe(name, term.name, "loss", _term_alone(case, term, changed))


def _term_alone(case: Case, term: Term, arrays: Mapping[str, Array]) -> Case:
    term.loss.check_values(*[arrays[name] for name in term.predictions])
    losses, _ = term.apply(arrays)
    if not np.isfinite(losses).all():
        raise ValueError("the loss is not finite here")
    whole = dict(arrays)
    if term.elementwise:
        term = replace(term, reduction="none")
        whole[term.contraction] = np.random.default_rng(np.size(losses)).standard_normal(np.shape(losses))
    point = Point(whole, tuple(dict.fromkeys(term.predictions)), (), frozenset(whole))
    return _case(case, Network((), (term,)), point)


# What is put in -------------------------------------------------------------------------------------------------------


def _variants(node: Node, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Any, dict[str, Array]]]:
    """Name, layer and arrays of every probe."""
    layer = node.layer
    for name, changed in _numbers(node.inputs, arrays, ()):
        yield name, layer, changed
    for name, changed in _indices(node.inputs, arrays):
        yield name, layer, changed
    for name, changed in _sizes(node.inputs, arrays):
        yield name, layer, changed
    for parameter in node.parameters.values():
        if arrays[parameter].dtype.kind == "f" and arrays[parameter].size > 1:
            zero = arrays[parameter].copy()
            zero.flat[0] = 0.0
            yield f"{parameter}[0] = 0", layer, {**arrays, parameter: zero}
    for name in [option.name for option in dataclasses.fields(layer)] if dataclasses.is_dataclass(layer) else []:
        if isinstance(getattr(layer, name), float) and any(word in name for word in _SLOPES):
            for special in (0.0, -0.5):
                with suppress(Exception):
                    both = dict(next(changed for _, changed in _numbers(node.inputs, arrays, ())))
                    yield f"{name} = {special:g}", dataclasses.replace(cast("Any", layer), **{name: special}), both


def _numbers(
    inputs: tuple[str, ...], arrays: Mapping[str, Array], data: Any
) -> Iterator[tuple[str, dict[str, Array]]]:  # fmt: skip
    """Real inputs with numbers of both signs, zeros, ties, far out; and a prediction that meets its target."""
    real = [name for name in dict.fromkeys(inputs) if arrays[name].dtype.kind == "f" and arrays[name].size]
    if not real:
        return
    drawn = {name: _rng(arrays[name], k).standard_normal(arrays[name].shape) for k, name in enumerate(real)}
    positive = [name for name in real if (arrays[name] >= 0).all()]
    for signed, words in ((drawn, ""), ({n: np.abs(x) if n in positive else x for n, x in drawn.items()}, "positive ")):
        if words and not positive:
            break
        yield f"{words}numbers" if words else "both signs", {**arrays, **signed}
        yield f"{words}zeros and ties", {**arrays, **{name: np.round(2 * x) / 2 for name, x in signed.items()}}
        yield f"{words}|x| = {_FAR:.0f}", {**arrays, **{name: _far(x) for name, x in signed.items()}}
    targets = [arrays[key] for key in data if arrays[key].dtype.kind == "f"]
    for target in targets:
        alike = {name: _meeting(arrays[name], target) for name in real if arrays[name].shape == target.shape}
        if alike:
            yield "a prediction that meets its target", {**arrays, **alike}


def _rng(array: Array, draw: int) -> np.random.Generator:
    return np.random.default_rng([array.size, draw])


def _far(x: Array) -> Array:
    found = x.copy()
    found.flat[0] = _FAR
    if found.size > 1 and (x < 0).any():
        found.flat[found.size // 2] = -_FAR
    return found


def _meeting(prediction: Array, target: Array) -> Array:
    found = prediction.copy()
    found.flat[:: max(2, found.size // 4)] = target.flat[:: max(2, found.size // 4)]
    return found


def _indices(inputs: tuple[str, ...], arrays: Mapping[str, Array]) -> Iterator[tuple[str, dict[str, Array]]]:
    """Whole numbers of which one occurs three times and one not at all."""
    for name in dict.fromkeys(inputs):
        ids = arrays[name]
        if ids.dtype.kind in "iu" and ids.size >= 4:
            repeated = ids.copy()
            repeated.flat[:3] = ids.flat[0]
            repeated[repeated == ids.flat[3]] = ids.flat[0]
            yield "an index three times", {**arrays, name: repeated}


def _sizes(inputs: tuple[str, ...], arrays: Mapping[str, Array]) -> Iterator[tuple[str, dict[str, Array]]]:
    """Images and sequences of other sizes, height and width different: a window may leave a remainder there."""
    first = arrays[inputs[0]] if inputs else np.zeros(())
    if first.dtype.kind != "f" or first.ndim < 3 or any(arrays[name].shape != first.shape for name in inputs):
        return
    spatial = range(2, first.ndim) if first.ndim > 3 else (1,)
    for more in (1, 2, 3):
        shape = list(first.shape)
        for k, axis in enumerate(spatial):
            shape[axis] += more + k
        what = " × ".join(str(shape[axis]) for axis in spatial)
        if np.prod(shape) <= _AFFORDABLE:
            yield f"a size of {what}", {
                **arrays, **{name: np.random.default_rng(more).standard_normal(shape) for name in inputs}
            }  # fmt: skip
