"""Random correct networks over every layer, loss and reduction of the catalogue.

A net is drawn from (seed, index) alone. Its featured layer is index modulo the number of layers, so every layer comes
up as often as every other; the layers around it, the loss, the data and the parameters are drawn, with the traits of
real nets that make gradient checks difficult (zero backgrounds, zero biases, ties, other scales).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _trust.inputs import PRECEDED, THIS, Fresh, sources
from _trust.planting import real_only
from _trust.recipes import (
    DATA_NAMES,
    INTEGERS,
    NoRecipe,
    Sizes,
    Units,
    draw_unit,
    options,
    predictions,
    reads_integers,
    reductions,
    takes,
    targets,
)
from gradcheck.assembly import Assembly
from gradcheck.errors import LayerFailure, ShapeError
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.naming import spec_name
from gradcheck.network import Term
from gradcheck.spec.case import Case, GradientPlan

Array = NDArray[Any]
Rng = np.random.Generator
#: The method's name for differences where the complex step cannot help.
REAL = "real"
#: How often a net, and a layer on one place of it, is drawn anew before it counts as impossible.
_ATTEMPTS, _TRIES = 4000, 40
#: Activations beyond this would overflow in float32 sooner or later: not what is measured here.
_GREATEST = 1e6
#: Ranges of the sizes of one sample: features, a sequence of features, an image, a volume.
_SPACES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((5, 15),), ((2, 6), (3, 10)), ((1, 4), (5, 11), (5, 11)), ((1, 2), (2, 4), (3, 5), (3, 5)),
)  # fmt: skip
#: The same for one of integers, and the share of the nets that start from such a sample.
_INTEGER_SPACE, _INTEGER_SHARE = ((3, 8),), 0.12
#: 1 - |cos| of what counts as parallel.
_PARALLEL = 1e-6
#: How often a layer with several inputs takes another activation than the last one for each of them, if any fits.
_OTHER_OPERANDS = 0.8
#: How often a layer with the parameters of another is put in a place, if any fits: the same layer again, or one that is
#: tied to another's transposed weight.
_REUSED = 0.08


@dataclass(frozen=True)
class Profile:
    """How large nets are drawn, and whether with traits.

    depth       fewest and most layers
    batch       smallest and largest batch
    activation  most numbers in one activation
    entries     fewest and most numbers in all parameters and the input
    """

    depth: tuple[int, int] = (3, 8)
    batch: tuple[int, int] = (2, 9)
    activation: int = 1200
    entries: tuple[int, int] = (200, 1500)
    traits: bool = True


LARGE = Profile()
SMALL = Profile(depth=(2, 4), batch=(2, 4), activation=400, entries=(20, 300), traits=False)


@dataclass(frozen=True)
class Step:
    """One layer in its place; `written` is the name of the first place where it stands in several."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    written: str = ""


@dataclass(frozen=True)
class Net:
    """A drawn network that can be built in any precision.

    data         the inputs, the target and the sample weights, by name; with samples on axis 0 unless they are `shared`
    predictions  the names of the activations that the loss takes
    weights      parameters that a trait has changed, by full name; the others are drawn from the seed
    ties         parameters that are others, of layers before them: by full name, its name and whether it is transposed
    """

    seed: int
    index: int
    data: Mapping[str, Array]
    steps: tuple[Step, ...]
    loss: Loss
    reduction: str
    predictions: tuple[str, ...]
    weight: float = 1.0
    weights: Mapping[str, Array] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    ties: Mapping[str, tuple[str, bool]] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names in a spec, in order."""
        return tuple(spec_name(type(step.layer)) for step in self.steps)

    def assembled(self, dtype: str = "float64") -> Assembly:
        """The layers, without the loss."""
        assembly = _assembly(self.seed, self.index, self.data, self.shared, dtype, self.weights, self.ties)
        return _with_steps(assembly, self.steps)

    def case(self, dtype: str = "float64", method: str = "auto") -> Case:
        """The net as the reader of a spec would hand it to the pipeline, with all checks on.

        The method `real` is auto on a loss that refuses complex numbers.
        """
        assembly = self.assembled(dtype)
        named = {name: name for name in self.data if name in DATA_NAMES}
        assembly.add_term(Term(self.loss, self.reduction, self.weight, self.predictions, named))
        network, point = assembly.network()
        name = f"net-{self.index}"
        plan = GradientPlan(method="auto" if method == REAL else method)
        case = Case(name, name, self.seed, dtype, network, point, gradient=plan)
        return real_only(case) if method == REAL else case

    def described(self) -> list[str]:
        """One line for each part of the net."""
        assembly = self.assembled()
        lines = [f"{name} {assembly.arrays[name].shape}" for name in assembly.inputs]
        for node in assembly.nodes:
            shapes = ", ".join(str(assembly.arrays[output].shape) for output in node.outputs)
            lines.append(f"{node.name} = {node.layer} of {', '.join(node.inputs)} -> {shapes}")
        lines.append(f"{self.weight:g} × {self.loss} of {', '.join(self.predictions)}, reduction {self.reduction}")
        return [*lines, f"traits: {', '.join(self.traits) or 'none'}"]


def draw_net(units: Units, seed: int, index: int, profile: Profile = LARGE) -> Net:
    """The net of that index. NoRecipe names its featured layer and loss if nothing that was drawn goes with them."""
    rng = np.random.default_rng([seed, index])
    layers, losses = sorted(units.layers), sorted(units.losses)
    featured = layers[index % len(layers)]
    loss = losses[(index + index // math.lcm(len(layers), len(losses))) % len(losses)]
    reason = ""
    with np.errstate(all="ignore"):
        for _ in range(_ATTEMPTS):
            try:
                return _Drawing(units, profile, rng, (seed, index), featured).net(loss)
            except (ShapeError, LayerFailure, _Misfit) as error:
                reason = str(error)
    raise NoRecipe(f"{featured} before {loss}", f"{_ATTEMPTS} nets (seed {seed}, net {index}), all in vain: {reason}")


class _Misfit(Exception):  # noqa: N818 - never leaves this module
    """What was drawn does not go together; the net is drawn again."""


class _Drawing:
    """A net on its way: drawn layer by layer, each on the shapes that are there."""

    def __init__(self, units: Units, profile: Profile, rng: Rng, origin: tuple[int, int], featured: str) -> None:
        self.units, self.profile, self.rng, self.origin, self.featured = units, profile, rng, origin, featured
        self.traits: list[str] = []
        self.readers = [name for name, kind in sorted(units.layers.items()) if reads_integers(kind)]
        self.shared: frozenset[str] = frozenset()
        self.ties: dict[str, tuple[str, bool]] = {}
        x = self._integers() if self._starts_from_integers() else self._numbers()
        self.assembly = _assembly(*origin, {"input": x}, self.shared, "float64", {}, self.ties)
        self.activations = ["input"]
        self.steps: list[Step] = []

    def _starts_from_integers(self) -> bool:
        by_chance = bool(self.readers) and self.profile.traits and self.rng.random() < _INTEGER_SHARE
        return self.featured in self.readers or by_chance

    def _integers(self) -> Array:
        sizes = Sizes(self.rng)
        shape = (sizes.draw(*self.profile.batch), *[sizes.draw(*limits) for limits in _INTEGER_SPACE])
        self.traits.append("integer input")
        return self.rng.integers(0, INTEGERS, shape)

    def _numbers(self) -> Array:
        x: Array = self.rng.standard_normal(self._shape())
        return _INPUTS[self._trait(_INPUTS)][1](self.rng, x)

    def _shape(self) -> tuple[int, ...]:
        """The shape of an input on which the featured layer can stand."""
        for place in self.rng.permutation(len(_SPACES)):
            sizes = Sizes(self.rng)
            shape = (sizes.draw(*self.profile.batch), *[sizes.draw(*limits) for limits in _SPACES[place]])
            for _ in range(_TRIES):
                with suppress(ShapeError):
                    sources(self.rng, draw_unit(self.units.layers[self.featured], sizes, shape), shape)
                    return shape
        raise _Misfit(f"{self.featured} fits on none of the inputs that are drawn here")

    def net(self, loss_name: str) -> Net:
        """The finished net, with the featured layer on a random place."""
        depth = int(self.rng.integers(self.profile.depth[0], self.profile.depth[1] + 1))
        integers = self.assembly.arrays["input"].dtype.kind == "i"
        place = 0 if self.featured in self.readers else int(self.rng.integers(integers, depth))
        for position in range(depth):
            first = [str(name) for name in self.rng.permutation(self.readers)] if integers and not position else []
            reuses = position != place and not first and self.profile.traits and self.rng.random() < _REUSED
            if reuses and (self._used_again() or self._tied_to_another()):
                continue
            self._add_layer([self.featured] if position == place else first or self._candidates())
        weights = self._weights()
        shape = self.assembly.arrays[self.activations[-1]].shape
        loss = draw_unit(self.units.losses[loss_name], Sizes(self.rng), shape)
        reduction = str(self.rng.choice(reductions(loss)))
        weight = 10 ** self.rng.uniform(-8, 8) if self.profile.traits and self.rng.random() < 0.15 else 1.0
        self.traits += ["scaled loss"] if weight != 1 else []
        data = {name: self.assembly.arrays[name] for name in self.assembly.inputs}
        chosen = self._in_domain(loss, self._predictions(loss))
        net = Net(
            *self.origin, data, tuple(self.steps), loss, reduction, chosen, weight, weights, shared=self.shared,
            ties=self.ties,
        )  # fmt: skip
        net = self._with_target(net)
        net.case("float32")
        return replace(net, traits=tuple(trait for trait in self.traits if trait))

    def _candidates(self) -> list[str]:
        """Layers to try, in order; half of the time `linear` first, which gives most nets their parameters."""
        names = [str(name) for name in self.rng.permutation(sorted(self.units.layers))]
        return ["linear", *names] if "linear" in names and self.rng.random() < 0.4 else names

    def _add_layer(self, kinds: list[str]) -> None:
        for kind in kinds:
            before = [name for name in PRECEDED.get(kind, ()) if name in self.units.layers]
            if before:
                self._added(str(self.rng.choice(before)))
            for _ in range(_TRIES if options(self.units.layers[kind]) else 1):
                if self._added(kind):
                    return
        shape = self.assembly.arrays[self.activations[-1]].shape
        raise _Misfit(f"{' and '.join(kinds)} fit on no activation of shape {shape}")

    def _used_again(self) -> bool:
        """Whether a layer that learns and stands already could be put on the last activation, with its parameters."""
        previous = self.activations[-1]
        arrays = self.assembly.arrays
        for place in self.rng.permutation(len(self.steps)):
            step = self.steps[place]
            learns = any(name.startswith(f"{step.written or step.name}.") for name in self.assembly.parameters)
            if learns and len(step.inputs) == 1 and arrays[step.inputs[0]].shape == arrays[previous].shape:
                kind = spec_name(type(step.layer))
                self._stands(Step(f"{kind}_{len(self.steps) + 1}", step.layer, (previous,), step.written or step.name))
                self.traits.append("shared layer")
                return True
        return False

    def _tied_to_another(self) -> bool:
        """Whether a linear layer could be put on the last activation whose weight is another's transposed."""
        previous = self.activations[-1]
        width = self.assembly.arrays[previous].shape[-1]
        for step in self.steps:
            weight = self.assembly.arrays.get(f"{step.name}.weight")
            linear = spec_name(type(step.layer)) == "linear" and f"{step.name}.weight" not in self.ties
            if linear and weight is not None and weight.shape[1] == width and self.assembly.arrays[previous].ndim > 1:
                name = f"linear_{len(self.steps) + 1}"
                self.ties[f"{name}.weight"] = f"{step.name}.weight", True
                self._stands(Step(name, replace(step.layer, out_features=weight.shape[0]), (previous,)))
                self.traits.append("tied weight")
                return True
        return False

    def _stands(self, step: Step) -> None:
        """Put a layer in its place."""
        node = self.assembly.add(step.name, step.layer, step.inputs, written=step.written)
        if any(not np.all(np.abs(self.assembly.arrays[name]) < _GREATEST) for name in node.outputs):
            raise _Misfit(f"{node.name} has too large outputs")
        self.activations += node.outputs
        self.steps.append(step)

    def _added(self, kind: str) -> bool:
        """Whether an instance of this kind fits on the last activation; if so it is there now."""
        arrays = self.assembly.arrays
        used = {size for name in (*self.activations, *self.assembly.parameters) for size in arrays[name].shape}
        previous, name = self.activations[-1], f"{kind}_{len(self.steps) + 1}"
        layer = draw_unit(self.units.layers[kind], Sizes(self.rng, used), arrays[previous].shape)
        try:
            inputs, fresh = self._inputs(name, layer)
            shared = self.shared.union(key for key, new in fresh.items() if new.shared)
            assembly = self._with(fresh, shared) if fresh else self.assembly
            node = assembly.add(name, layer, inputs)
        except ShapeError:
            return False
        outputs = [assembly.arrays[name] for name in node.outputs]
        if any(y.size > self.profile.activation or not np.all(np.abs(y) < _GREATEST) for y in outputs):
            raise _Misfit(f"{node.name} has too many or too large outputs")
        self.assembly, self.shared = assembly, shared
        self.activations += [str(name) for name in self.rng.permutation(node.outputs)]
        self.steps.append(Step(node.name, layer, inputs))
        return True

    def _inputs(self, name: str, layer: Layer) -> tuple[tuple[str, ...], dict[str, Fresh]]:
        """The names of what the layer takes, and the inputs of the net that are new with it."""
        previous, fresh = self.activations[-1], {}
        inputs = [previous]
        found = sources(self.rng, layer, self.assembly.arrays[previous].shape)
        for place, source in enumerate(found[1:], start=1):
            if isinstance(source, Fresh):
                inputs.append(f"{name}_input_{place}")
                fresh[inputs[-1]] = source
            else:
                inputs.append(previous if source == THIS else self._operand(layer, previous))
        return tuple(inputs), fresh

    def _with(self, fresh: Mapping[str, Fresh], shared: frozenset[str]) -> Assembly:
        """The same layers with more inputs of the net."""
        data = {**self.assembly.data, **{name: new.array for name, new in fresh.items()}}
        return _with_steps(_assembly(*self.origin, data, shared, "float64", {}, self.ties), self.steps)

    def _operand(self, layer: Layer, previous: str) -> str:
        """An activation that fits beside the last one; seldom that one again."""
        shapes = {name: self.assembly.arrays[name].shape for name in self.activations}
        fitting = []
        for name in self.activations:
            with suppress(ShapeError):
                layer.check(shapes[previous], shapes[name])
                fitting.append(name)
        others = [name for name in fitting if name != previous]
        chosen = others if others and self.rng.random() < _OTHER_OPERANDS else fitting
        return str(self.rng.choice(chosen or self.activations))

    def _weights(self) -> dict[str, Array]:
        """The parameters as a trait has changed them."""
        names = self.assembly.parameters
        arrays = self.assembly.arrays
        total = sum(arrays[name].size for name in (*self.assembly.inputs, *names) if arrays[name].dtype.kind == "f")
        if not self.profile.entries[0] <= total <= self.profile.entries[1]:
            raise _Misfit(f"the net has {total} entries")
        trait = self._trait(_PARAMETERS)
        return {name: _PARAMETERS[trait][1](self.rng, arrays[name], name) for name in names} if trait else {}

    def _trait(self, table: Mapping[str, tuple[float, Callable[..., Array]]]) -> str:
        """One trait of the table by its share; the first, which changes nothing, where the profile has none."""
        shares = [share for share, _ in table.values()]
        trait = str(self.rng.choice(list(table), p=shares)) if self.profile.traits else next(iter(table))
        self.traits.append(trait)
        return trait

    def _predictions(self, loss: Loss) -> tuple[str, ...]:
        """The last activation and as many others of its shape as the loss takes; all parameters for a penalty.

        What is a multiple of the last one in every sample is no other: nothing depends on their angle. Where there are
        too few of them, the others stand behind a linear layer each.
        """
        if loss.of_parameters:
            placed = dict.fromkeys(name for node in self.assembly.nodes for name in node.parameters.values())
            if not placed:
                raise _Misfit("the net has no parameters that could be penalised")
            return tuple(placed)
        last, arrays, count = self.activations[-1], self.assembly.arrays, predictions(loss) - 1
        alike = [name for name in self.activations[:-1] if not _no_pair(arrays[name], arrays[last])]
        chosen = [str(name) for name in self.rng.permutation(alike)[:count]]
        while len(chosen) < count and arrays[last].ndim > 1:
            chosen.append(self._behind(last, self.units.layers["linear"](out_features=arrays[last].shape[-1])))
        if len(chosen) < count or any(_no_pair(arrays[name], arrays[last]) for name in chosen):
            raise _Misfit(f"{loss} takes more predictions of the shape {arrays[last].shape} than there are")
        return (last, *chosen)

    def _in_domain(self, loss: Loss, chosen: tuple[str, ...]) -> tuple[str, ...]:
        """Those activations, where the loss has no value at one of them behind a layer after which it has."""
        known = [str(name) for name in self.rng.permutation(_HEADS) if name in self.units.layers]
        for heads in product([None, *known], repeat=len(chosen)):
            layers = [self.units.layers[head]() if head else None for head in heads]
            arrays = [self.assembly.arrays[name] for name in chosen]
            values = [layer.forward(x)[0] if layer else x for layer, x in zip(layers, arrays, strict=True)]
            with suppress(ShapeError):
                loss.check_values(*[np.asarray(y, dtype=np.float32) for y in values])
                return tuple(self._behind(name, layer) for name, layer in zip(chosen, layers, strict=True))
        raise _Misfit(f"nothing brings {', '.join(chosen)} into the domain of {loss}")

    def _behind(self, name: str, layer: Layer | None) -> str:
        """The name of the activation behind a layer, if there is one, that is put on another activation."""
        if layer is None:
            return name
        node = self.assembly.add(f"{spec_name(type(layer))}_{len(self.steps) + 1}", layer, (name,))
        self.steps.append(Step(node.name, layer, (name,)))
        return node.name

    def _with_target(self, net: Net) -> Net:
        """The net with a target that its loss takes, and sample weights and a mask now and then."""
        prediction = net.assembled().arrays[net.predictions[0]]
        if not np.all(np.abs(prediction) < _GREATEST):
            raise _Misfit("the prediction is too large")
        data = dict(net.data)
        if takes(net.loss, "sample_weight") and self.rng.random() < 0.3:
            data["sample_weight"] = self.rng.uniform(-0.5, 2.0, len(prediction))
        if takes(net.loss, "mask") and self.rng.random() < 0.2:
            data["mask"] = self.rng.integers(0, 2, len(prediction))
        drawn = targets(self.rng, prediction.shape) if takes(net.loss, "target") else []
        for found in [{**data, "target": target} for target in drawn] or [data]:
            if self._accepts(net.loss, prediction, found):
                tied = {name: self._tied(found[name], prediction) for name in found if name == "target"}
                return replace(net, data={**found, **tied})
        raise _Misfit(f"no kind of target fits {net.loss} of {prediction.shape}")

    def _accepts(self, loss: Loss, prediction: Array, data: Mapping[str, Array]) -> bool:
        shapes = [prediction.shape] * predictions(loss)
        try:
            loss.check(*shapes, **{name: array for name, array in data.items() if name in DATA_NAMES})
        except ShapeError:
            return False
        return True

    def _tied(self, target: Array, prediction: Array) -> Array:
        """Now and then, half of a real target equals the prediction."""
        real = target.shape == prediction.shape and target.dtype.kind == "f"
        if not (real and self.profile.traits and self.rng.random() < 0.2) or (target.min() >= 0 > prediction.min()):
            return target
        self.traits.append("tied target")
        return np.where(self.rng.random(target.shape) < 0.5, prediction, target)


def _assembly(
    seed: int, index: int, data: Mapping[str, Array], shared: frozenset[str], dtype: str,
    weights: Mapping[str, Array], ties: Mapping[str, tuple[str, bool]],
) -> Assembly:  # fmt: skip
    inputs = tuple(name for name in data if name not in DATA_NAMES)
    return Assembly(data, inputs, frozenset(data) - shared, seed * 1_000_003 + index, dtype, weights, ties)


def _with_steps(assembly: Assembly, steps: Sequence[Step]) -> Assembly:
    for step in steps:
        assembly.add(step.name, step.layer, step.inputs, written=step.written)
    return assembly


def _no_pair(x: Array, y: Array) -> bool:
    """Whether their shapes differ, or every sample of the one is a multiple of that of the other."""
    if x.shape != y.shape:
        return True
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return bool(np.all(np.abs(np.abs(np.sum(x * y, axis=1)) - lengths) <= _PARALLEL * lengths))


def _background(rng: Rng, x: Array) -> Array:
    """The first half of the last axis is zero, and one sample is zero altogether."""
    x = x.copy()
    x[..., : (x.shape[-1] + 1) // 2] = 0
    x[int(rng.integers(len(x)))] = 0
    return x


def _scaled(rng: Rng, x: Array, name: str = "") -> Array:
    scaled: Array = x * 10 ** rng.uniform(-2, 1)
    return scaled


def _on_grid(rng: Rng, x: Array, name: str = "") -> Array:
    """Multiples of 1/4, so that sums are exact and ties and zeros frequent."""
    rounded: Array = np.round(4 * x) / 4
    return rounded


#: Layers that bring numbers into the domain of a loss of probabilities, of their logarithms, or of positive numbers.
_HEADS = ("sigmoid", "softmax", "log_softmax", "softplus")
#: Trait -> its share of the nets, and what it does to the normal numbers that were drawn.
_INPUTS: dict[str, tuple[float, Callable[..., Array]]] = {
    "normal input": (0.45, lambda rng, x: x),
    "zero background": (0.25, _background),
    "non-negative input": (0.1, lambda rng, x: np.maximum(x, 0)),
    "input on a grid": (0.1, _on_grid),
    "scaled input": (0.1, _scaled),
}
#: The same for parameters, by their full name.
_PARAMETERS: dict[str, tuple[float, Callable[..., Array]]] = {
    "": (0.55, lambda rng, w, name: w),
    "zero biases": (0.25, lambda rng, w, name: np.zeros_like(w) if name.endswith("bias") else w),
    "parameters on a grid": (0.1, _on_grid),
    "scaled parameters": (0.1, _scaled),
}
