"""What every layer must obey, whatever its inputs, options and parameters are.

The test file of a layer subclasses `LayerLaws` and says what is its own: cases, options drawn at random, the value by
obvious loops, PyTorch's name for it, mistakes to be found, and what it refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import laws
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ALL, check

from gradcheck.layers._base import Layer
from gradcheck.naming import spec_name

Array = np.ndarray[Any, Any]
Case = tuple[Any, tuple[Array, ...]]

#: Every subclass runs the laws that it inherits, on its own layer.
few = settings(laws.few, max_examples=10)


def checked(layer: Layer, inputs: Sequence[Array], **options: Any) -> Any:
    """The checker's report about one layer; several inputs are called a, b, c."""
    x = inputs[0] if len(inputs) == 1 else dict(zip("abc", inputs, strict=False))
    return check(layer, x=x, **options)


def entries(layer: Layer, inputs: Sequence[Array], named: Sequence[str]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """All entries of these parameters and inputs of a layer that `checked` checks."""
    own = {f"{spec_name(type(layer))}_1.{name}": array for name, array in laws.drawn(layer, *inputs).items()}
    given = {"input": inputs[0]} if len(inputs) == 1 else dict(zip("abc", inputs, strict=False))
    wanted = {name: array for name, array in {**given, **own}.items() if name.rpartition(".")[2] in named}
    return tuple((name, index) for name, array in wanted.items() for index in np.ndindex(array.shape))


class LayerLaws:
    """Subclass as `TestLaws`."""

    #: The layer with options that matter, and its inputs.
    cases: ClassVar[Sequence[Case]]
    #: A layer whose class overrides `backward` alone, wrongly; its inputs; the parameters and inputs that are wrong.
    mistakes: ClassVar[Sequence[tuple[Layer, tuple[Array, ...], tuple[str, ...]]]]
    #: A layer, shapes that it does not take, and what it says.
    refused: ClassVar[Sequence[tuple[Layer, tuple[tuple[int, ...], ...], str]]] = ()

    def draw(self, rng: np.random.Generator) -> Case:
        """The layer with random options, and inputs that fit."""
        raise NotImplementedError

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Any:
        """The output, or a tuple of them, by obvious loops."""
        raise NotImplementedError

    def is_its_value(self, layer: Any, inputs: tuple[Array, ...]) -> None:
        parameters = laws.drawn(layer, *inputs)
        expected = self.value(layer, *inputs, **parameters)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for found, each in zip(laws.outputs(layer, *inputs, **parameters), expected, strict=True):
            laws.close(found, each, f"forward of {layer}", rtol=1e-12)

    def test_laws(self):
        for layer, inputs in self.cases:
            layer.check(*[x.shape for x in inputs])
            laws.hold(layer, *inputs)

    def test_is_the_obvious_loop(self):
        for layer, inputs in self.cases:
            self.is_its_value(layer, inputs)

    @few
    @given(st.integers(0, 9999))
    def test_any_options_are_the_obvious_loop_and_differentiated(self, seed):
        layer, inputs = self.draw(np.random.default_rng(seed))
        layer.check(*[x.shape for x in inputs])
        self.is_its_value(layer, inputs)
        laws.backward_is_the_derivative(layer, *inputs, **laws.drawn(layer, *inputs))

    def test_the_checker_passes_it(self):
        for layer, inputs in self.cases:
            laws.assert_passes(checked(layer, inputs, trusted=True, checks=ALL))
        laws.assert_no_false_alarm(checked(layer, inputs, dtype="float32", checks=["gradient"], trusted=True))

    def test_planted_mistakes_are_caught(self):
        """By the entries of what is wrong alone: that the rest is right is no part of being caught."""
        for layer, inputs, named in self.mistakes:
            report = checked(layer, inputs, checks=["gradient"], trusted=True, entries=entries(layer, inputs, named))
            assert named, f"nothing is named for {spec_name(type(layer))}"
            for name in named:
                laws.assert_caught(report, layer, name)

    def test_shapes_are_refused(self):
        for layer, shapes, message in self.refused:
            laws.assert_refuses(layer, *shapes, message=message)
