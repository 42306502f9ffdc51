"""What every normalisation must obey.

The test file of a layer subclasses `NormLaws` and says what is its own: which numbers share their mean and variance,
which entry of weight and bias goes with a number, PyTorch's function, and layers to be tested.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import laws
import numpy as np
import pytest
from core_nets import blamed
from hypothesis import given
from hypothesis import strategies as st
from layer_laws import entries
from support import ALL, check

from gradcheck.layers._base import Layer
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.naming import spec_name

# Planted mistakes, each to be mixed into a layer ----------------------------------------------------------------------


class StatisticsHeldConstant:
    named = "input"

    def backward(self, dy, cache):
        _, s, weight = cache
        return self.scaled(dy, weight) / s, super().backward(dy, cache)[1]


class MeanHeldConstant:
    named = "input"

    def backward(self, dy, cache):
        z, s, weight = cache
        dz = self.scaled(dy, weight)
        return (dz - z * self.mean(dz * z)) / s, super().backward(dy, cache)[1]


class VarianceHeldConstant:
    named = "input"

    def backward(self, dy, cache):
        _, s, weight = cache
        dz = self.scaled(dy, weight)
        return (dz - self.mean(dz)) / s, super().backward(dy, cache)[1]


class DividedByVariance:
    named = "input"

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx / cache[1], gradients


class WeightForgotten:
    named = "input"

    def backward(self, dy, cache):
        z, s, weight = cache
        dx, _ = super().backward(dy, (z, s, np.ones_like(weight)))
        return dx, super().backward(dy, cache)[1]


class OtherAxes:
    named = "input"

    def backward(self, dy, cache):
        z, s, weight = cache
        dz = self.scaled(dy, weight)
        return (dz - self.other_mean(dz) - z * self.other_mean(dz * z)) / s, super().backward(dy, cache)[1]


class UpstreamNotNormalised:
    named = "weight"

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["bias"]}


class LastSampleOnly:
    named = "bias"

    def backward(self, dy, cache):
        last = np.zeros_like(dy)
        last[-1] = dy[-1]
        return super().backward(dy, cache)[0], super().backward(last, cache)[1]


class AveragedOverBatch:
    named = "weight"

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradient / len(dy) for name, gradient in gradients.items()}


MISTAKES = (
    StatisticsHeldConstant, MeanHeldConstant, VarianceHeldConstant, DividedByVariance, WeightForgotten, OtherAxes,
    UpstreamNotNormalised, LastSampleOnly, AveragedOverBatch,
)  # fmt: skip


# Laws -----------------------------------------------------------------------------------------------------------------


class NormLaws:
    """Subclass as `TestLaws`."""

    #: Layers with inputs for them; the first has weight and bias, and is what mistakes are planted in.
    cases: ClassVar[dict[str, tuple[Layer, Any]]]
    #: Whether samples are normalised together.
    couples: ClassVar[bool] = False
    #: The axes that somebody might take instead.
    other_axes: ClassVar[tuple[int, ...]]

    def group(self, layer: Any, index: tuple[int, ...]) -> Any:
        """What the numbers at two places of x have in common if they share mean and variance."""
        raise NotImplementedError

    def place(self, layer: Any, index: tuple[int, ...]) -> tuple[int, ...]:
        """The entry of weight and bias for the number at a place of x."""
        raise NotImplementedError

    def axes(self, layer: Any, x: Any) -> tuple[int, ...]:
        """The axes that are normalised."""
        raise NotImplementedError

    def along(self, array: Any, ndim: int) -> Any:
        """Weight or bias in a shape that is broadcast over x."""
        raise NotImplementedError

    def draw(self, draw: st.DrawFn) -> tuple[Layer, Any]:
        """A layer with random options, and an input for it."""
        raise NotImplementedError

    def reference(self, layer):
        """The whole Jacobian of every group, entry by entry: ∂zⱼ/∂xᵢ = (δᵢⱼ − 1/n − zᵢ zⱼ/n) / s."""

        def loops(x, dy, weight=None, bias=None):
            groups = {}
            for index in np.ndindex(*x.shape):
                groups.setdefault(self.group(layer, index), []).append(index)
            y, dx = np.zeros(x.shape), np.zeros(x.shape)
            gradients = {} if weight is None else {"weight": np.zeros(weight.shape)}
            gradients |= {} if bias is None else {"bias": np.zeros(bias.shape)}
            for members in groups.values():
                n = len(members)
                mean = sum(x[i] for i in members) / n
                s = (sum((x[i] - mean) ** 2 for i in members) / n + layer.eps) ** 0.5
                z = {i: (x[i] - mean) / s for i in members}
                w = {i: 1.0 if weight is None else weight[self.place(layer, i)] for i in members}
                for i in members:
                    y[i] = w[i] * z[i] + (0 if bias is None else bias[self.place(layer, i)])
                    dx[i] = sum(dy[j] * w[j] * ((i == j) - 1 / n - z[i] * z[j] / n) / s for j in members)
                    if weight is not None:
                        gradients["weight"][self.place(layer, i)] += dy[i] * z[i]
                    if bias is not None:
                        gradients["bias"][self.place(layer, i)] += dy[i]
            return y, dx, gradients

        return loops

    def test_laws(self):
        for layer, x in self.cases.values():
            laws.hold(layer, x, but=(laws.samples_are_independent,) if self.couples else ())

    def test_says_what_loops_say(self):
        for layer, x in self.cases.values():
            laws.assert_matches_reference(layer, self.reference(layer), x, **laws.drawn(layer, x))

    @laws.few
    @given(st.data())
    def test_any_options_say_what_loops_say(self, data):
        layer, x = self.draw(data.draw)
        layer.check(x.shape)
        laws.assert_matches_reference(layer, self.reference(layer), x, **laws.drawn(layer, x))

    @laws.few
    @given(st.data())
    def test_neither_a_shift_nor_a_scale_of_a_group_moves_the_loss(self, data):
        layer, x = self.draw(data.draw)
        layer, axes = replace(layer, eps=1e-300), self.axes(layer, x)
        dx = laws.run(layer, x, **laws.drawn(layer, x)).dx[0]
        for change in (dx, dx * x):
            assert np.all(np.abs(change.sum(axis=axes)) <= 1e-9 * np.abs(change).sum(axis=axes) + 1e-9)

    @laws.few
    @given(st.data(), st.sampled_from([50.0, -50.0]))
    def test_a_shift_by_fifty_changes_nothing_but_rounding(self, data, shift):
        layer, x = self.draw(data.draw)
        x = np.round(x * 2**20) / 2**20
        parameters = laws.drawn(layer, x)
        here, there = laws.run(layer, x, **parameters), laws.run(layer, x + shift, **parameters)
        laws.close(there.y[0], here.y[0], "y", rtol=1e-10)
        laws.close(there.dx[0], here.dx[0], "dx", rtol=1e-9)

    def test_constant_input_is_smooth_and_finite(self):
        for layer, x in self.cases.values():
            flat = np.full(x.shape, 0.1)
            laws.backward_is_the_derivative(layer, flat, **laws.drawn(layer, flat))

    def test_nan_is_not_hidden(self):
        for layer, x in self.cases.values():
            assert np.isnan(laws.outputs(layer, np.full(x.shape, np.nan), **laws.drawn(layer, x))[0]).all()

    def test_the_checker_passes_it(self):
        for layer, x in self.cases.values():
            laws.assert_passes(check(layer, *head(x), x=x, trusted=True, checks=ALL))

    @pytest.mark.parametrize(("dtype", "method"), [("float64", "central"), ("float32", "auto"), ("float32", "central")])
    def test_the_checker_accuses_it_of_nothing(self, dtype, method):
        layer, x = next(iter(self.cases.values()))
        laws.assert_no_false_alarm(check(layer, *head(x), x=x, dtype=dtype, method=method, trusted=True))

    @pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
    def test_planted_mistake_is_named(self, mistake):
        layer, x = next(iter(self.cases.values()))
        wrong = planted(mistake, self, layer, x)
        wanted = entries(wrong, [x], [mistake.named])
        report = check(wrong, *head(x), x=x, checks=("gradient",), trusted=True, entries=wanted)
        laws.assert_caught(report, wrong, mistake.named)
        assert {name for name, _ in blamed(report)} == {f"{spec_name(type(wrong))}_1"}

    def test_parameters_are_drawn_around_one_and_zero(self):
        layer, x = next(iter(self.cases.values()))
        drawn = laws.drawn(layer, x)
        assert set(drawn) == {"weight", "bias"}
        assert np.all(np.abs(drawn["weight"] - 1) <= 0.5)
        assert np.all(np.abs(drawn["bias"]) <= 0.5)
        assert np.ptp(drawn["weight"]) > 0


def head(x: Any) -> list[Layer]:
    """Layers behind a normalisation: a loss that is quadratic in z alone is hardly moved by its input."""
    return [*([Flatten()] if x.ndim > 2 else []), Linear(2), Tanh()]


def planted(mistake: type, laws_of: NormLaws, layer: Any, x: Any) -> Any:
    """The layer with a mistake in its backward."""
    axes = laws_of.axes(layer, x)
    methods = {
        "scaled": lambda self, dy, weight: dy * laws_of.along(weight, dy.ndim),
        "mean": lambda self, a: a.mean(axis=axes, keepdims=True),
        "other_mean": lambda self, a: a.mean(axis=laws_of.other_axes, keepdims=True),
    }
    wrong = object.__new__(type(mistake.__name__, (mistake, type(layer)), methods))
    vars(wrong).update(vars(layer))
    return wrong
