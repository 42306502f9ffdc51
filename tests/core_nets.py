"""What the tests of the mathematical core share: layers and losses with an oddity each, and networks made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import OF_GRADIENTS, ships

from gradcheck.assembly import Assembly
from gradcheck.findings import Finding, Row, SpecReport
from gradcheck.gradients.numeric.coupling import coupling
from gradcheck.gradients.numeric.observables import Observables
from gradcheck.gradients.numeric.sweep import Stage
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.relu import Relu
from gradcheck.losses._base import Loss
from gradcheck.network import Term
from gradcheck.spec.case import Case, GradientPlan

Array = NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    """Standard normal numbers; the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


# Networks -------------------------------------------------------------------------------------------------------------


def graph(
    data: Mapping[str, Array],
    layers: Sequence[tuple[str, Layer, tuple[str, ...]]],
    terms: Sequence[Term],
    inputs: tuple[str, ...] = ("input",),
    seed: int = 7,
    dtype: str = "float64",
    checks: Sequence[str] = OF_GRADIENTS,
    trusted: bool | None = None,
    parameters: Mapping[str, Array] | None = None,
    **plan: Any,
) -> Case:
    """A network in which every layer says by name where its inputs come from."""
    assembly = Assembly(data, inputs, frozenset(data), seed, dtype, parameters or {})
    for name, layer, sources in layers:
        assembly.add(name, layer, sources, trusted=ships(layer) if trusted is None else trusted)
    for term in terms:
        assembly.add_term(term)
    network, point = assembly.network()
    return Case("test.yaml", "test", seed, dtype, network, point, tuple(checks), GradientPlan(**plan))


def stage_of(case: Case) -> Stage:
    """The case's network at its point, ready to be perturbed."""
    arrays = case.network.forward(case.point).arrays
    observables = Observables(case.network, case.point, per_sample=True)
    return Stage(case.network, case.point, coupling(case.network, case.point, arrays), observables, arrays)


# Reports --------------------------------------------------------------------------------------------------------------


def row(report: SpecReport, name: str) -> Row:
    """The row of one parameter or input."""
    return next(row for row in report.rows if row.name == name)


def verdict(report: SpecReport, check: str) -> str:
    """The verdict of one check, of its first term."""
    return next(result.verdict for result in report.checks if result.check == check)


def errors(report: SpecReport) -> list[Finding]:
    """Findings of severity error that are nobody's consequence."""
    return [f for f in report.findings if f.severity == "error" and f.consequence_of is None]


def blamed(report: SpecReport) -> list[tuple[str, str | None]]:
    """Layer and parameter of each of them."""
    return [(finding.layer, finding.parameter) for finding in errors(report)]


def notes(report: SpecReport) -> list[tuple[str, str | None]]:
    """Code and parameter of every note."""
    return [(f.code, f.parameter) for f in report.findings if f.severity == "note"]


def told(report: SpecReport) -> str:
    """Everything that a failing assertion should show."""
    rows = [f"{r.name}: {r.verdict} {r.counts} bar {r.error_bar:.1e} {r.reason}" for r in report.rows]
    found = [
        f"{f.severity} {f.code} {f.layer} {f.parameter} <- {f.consequence_of}: {f.message}" for f in report.findings
    ]
    return "\n".join([report.verdict, *rows, *[f"{c.check} {c.verdict} {c.reason}" for c in report.checks], *found])


# Layers ---------------------------------------------------------------------------------------------------------------


def plug(forward: Callable[[Array], Array], slope: Callable[[Array], Any]) -> Layer:
    """The layer `plug_1`: y = forward(x) and dx = slope(x) dy, entry by entry."""

    class Plug(Layer):
        def forward(self, x: Array) -> Any:
            return forward(x), x

        def backward(self, dy: Array, cache: Any) -> Any:
            return slope(cache) * dy, {}

    return Plug()


def double(backward: Callable[[Array], Any]) -> Layer:
    """The layer `double_1`: y = 2 x, with a backward that returns whatever the function makes of dy."""

    class Double(Layer):
        def forward(self, x: Array) -> Any:
            return 2 * x, None

        def backward(self, dy: Array, cache: Any) -> Any:
            return backward(dy)

    return Double()


class WrongLinear(Linear):
    """Linear whose gradients are changed afterwards: the layer `wrong_linear_1`."""

    def change(self, dx: Array, gradients: dict[str, Array]) -> Any:
        raise NotImplementedError

    def backward(self, dy: Array, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return self.change(dx.copy(), {name: gradient.copy() for name, gradient in gradients.items()})


def wrong(change: Callable[[Array, dict[str, Array]], Any], out_features: int = 3) -> Layer:
    """The layer `wrong_linear_1`, whose backward returns change(dx, gradients)."""

    class Changed(WrongLinear):
        spec_name = "wrong_linear"

        def change(self, dx: Array, gradients: dict[str, Array]) -> Any:
            return change(dx, gradients)

    return Changed(out_features)


class Centred(Layer):
    """y = x - mean over the batch: couples all samples."""

    def forward(self, x: Array) -> Any:
        return x - x.mean(axis=0), None

    def backward(self, dy: Array, cache: Any) -> Any:
        return dy - dy.mean(axis=0), {}


class Normalised(Layer):
    """Batch normalisation without parameters: a bias in front of it has the true gradient zero."""

    def forward(self, x: Array) -> Any:
        centred = x - x.mean(axis=0)
        deviation = np.sqrt((centred * centred).mean(axis=0) + 1e-5)
        return centred / deviation, (centred / deviation, deviation)

    def backward(self, dy: Array, cache: Any) -> Any:
        y, deviation = cache
        return (dy - dy.mean(axis=0) - y * (dy * y).mean(axis=0)) / deviation, {}


class Gate(Layer):
    """Two inputs and an index, two outputs, a parameter, and one constant a sample.

    forward     u = a w[k] + m b,  v = a b        a, b, m (N, F)  k (N,) integers  w (3, F)
    """

    per_sample = ("noise",)

    def init(self, rng: np.random.Generator, *x_shapes: Any) -> dict[str, Array]:
        return {"table": rng.standard_normal((3, x_shapes[0][1]))}

    def constants(self, rng: np.random.Generator, *x_shapes: Any) -> dict[str, Array]:
        return {"noise": rng.standard_normal(x_shapes[0])}

    def forward(self, a: Array, b: Array, k: Array, table: Array, noise: Array) -> Any:
        return (a * table[k] + noise * b, a * b), (a, b, k, table, noise)

    def backward(self, dy: Any, cache: Any) -> Any:
        du, dv = dy
        a, b, k, table, noise = cache
        d_table = np.zeros_like(table)
        np.add.at(d_table, k, du * a)
        return (du * table[k] + dv * b, du * noise + dv * a, None), {"table": d_table}


class Add(Layer):
    """y = a + b."""

    def forward(self, a: Array, b: Array) -> Any:
        return a + b, None

    def backward(self, dy: Array, cache: Any) -> Any:
        return (dy, dy), {}


class ReluAt(Relu):
    """ReLU whose backward takes the given slope at zero: the layer `relu_at_1`."""

    slope = 0.0

    def backward(self, dy: Array, cache: Any) -> Any:
        return np.where(cache > 0, dy, np.where(cache < 0, 0, self.slope * dy)), {}


class BlackRelu(Layer):
    """The same without telling its branches: the layer `black_relu_1`."""

    slope = 0.0

    def forward(self, x: Array) -> Any:
        return np.where(x.real > 0, x, 0), x

    def backward(self, dy: Array, cache: Any) -> Any:
        return np.where(cache > 0, dy, np.where(cache < 0, 0, self.slope * dy)), {}


def relu_with(slope: float, black_box: bool = False) -> Layer:
    """A ReLU with a slope of choice at zero."""
    layer: Any = BlackRelu() if black_box else ReluAt()
    layer.slope = slope
    return layer


class PairMax(Layer):
    """Maximum of neighbours: y[j] = max(x[2j], x[2j+1]); at a tie backward hands out `shares` of dy.

    The layer `pair_max_1`, a black box.
    """

    shares = (1.0, 0.0)

    def forward(self, x: Array) -> Any:
        first, second = x[:, 0::2], x[:, 1::2]
        return np.where(first.real >= second.real, first, second), x

    def backward(self, dy: Array, cache: Any) -> Any:
        first, second = cache[:, 0::2], cache[:, 1::2]
        dx = np.empty_like(cache)
        for k, (own, other) in enumerate(((first, second), (second, first))):
            dx[:, k::2] = dy * np.where(own > other, 1, np.where(own < other, 0, self.shares[k]))
        return dx, {}


class TellingPairMax(PairMax):
    """The same, and it tells its branches."""

    spec_name = "pair_max"

    def branches(self, *inputs: Array, **parameters: Array) -> Array:
        first, second = inputs[0].real[:, 0::2], inputs[0].real[:, 1::2]
        return np.where(first == second, -1, np.where(first > second, 1, 0))


def pair_max(shares: tuple[float, float], black_box: bool = False) -> Layer:
    """A maximum of neighbours that shares the gradient of a tie as told."""
    layer: Any = PairMax() if black_box else TellingPairMax()
    layer.shares = shares
    return layer


# Losses ---------------------------------------------------------------------------------------------------------------


class Reducing(Loss):
    """Squared error in the reducing form; under `mean` each loss is multiplied by `share`, a scalar or an array.

    The share given here is the right one: one over the number of elements.
    """

    reductions = ("sum", "mean")

    def share(self, target: Array) -> Any:
        return 1 / target.size

    def forward(self, prediction: Array, target: Array, reduction: str) -> Any:
        factor = self.share(target) if reduction == "mean" else 1
        return (factor * (prediction - target) ** 2).sum(), (prediction - target, factor)

    def backward(self, upstream: Any, cache: Any) -> Any:
        error, factor = cache
        return 2 * upstream * factor * error


class Declared(Reducing):
    """The same with its divisor declared: the number of elements."""

    def divisor(self, target: Array, reduction: str) -> float:
        return target.size if reduction == "mean" else 1
