"""What plain and gated recurrences have in common: states in and out, and both directions of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import laws
import numpy as np
from image_laws import whole
from layer_laws import Case, LayerLaws

Array = np.ndarray[Any, Any]


class RecurrentLaws(LayerLaws):
    """Subclass as `TestLaws`, and say in `step` what one sample's next state is."""

    kind: Callable[..., Any]

    def step(self, layer: Any, a_i: dict[str, Array], a_h: dict[str, Array], *before: Array) -> tuple[Array, ...]:
        raise NotImplementedError

    def drawn_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {}

    def draw(self, rng: np.random.Generator) -> Case:
        """Two directions of two layers with states of one number, else up to two."""
        layers = whole(rng, 1, 2)
        bias, both, state = (bool(rng.integers(2)) for _ in range(3))
        layer = type(self).kind(
            1 if both and layers > 1 else whole(rng, 1, 2), layers, bias=bias, bidirectional=both, return_state=state,
            **self.drawn_options(rng),
        )  # fmt: skip
        x = rng.standard_normal((whole(rng, 1, 2), whole(rng, 1, 3), whole(rng, 1, 2)))
        return layer, ((x, *states_for(layer, x, rng)) if rng.integers(2) else (x,))

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Any:
        """One sample after the other; each layer reads what the one below it wrote."""
        x, *given = inputs
        shape = (len(x), layer.num_layers, 1 + layer.bidirectional, layer.hidden_size)
        starts = [each.reshape(shape) for each in given] or [np.zeros(shape)] * len(layer.states)
        ends = [np.zeros(shape) for _ in starts]
        read = x
        for k in range(layer.num_layers):
            written = np.zeros((*x.shape[:2], *shape[2:]))
            for n, way in np.ndindex(len(x), shape[2]):
                suffix = ("" if k == 0 else f"_l{k}") + ("_reverse" if way else "")
                state = tuple(start[n, k, way] for start in starts)
                for t in reversed(range(x.shape[1])) if way else range(x.shape[1]):
                    sides = [
                        {
                            g: parameters[f"weight_{side}{g}{suffix}"] @ vector
                            + parameters.get(f"bias_{side}{g}{suffix}", 0)
                            for g in layer.gates
                        }
                        for side, vector in (("i", read[n, t]), ("h", state[0]))
                    ]
                    state = self.step(layer, *sides, *state)
                    written[n, t, way] = state[0]
                for end, each in zip(ends, state, strict=True):
                    end[n, k, way] = each
            read = written.reshape(*x.shape[:2], -1)
        one = layer.num_layers * shape[2] == 1
        last = [end.reshape(len(x), *([] if one else [-1]), layer.hidden_size) for end in ends]
        return (read, *last) if layer.return_state else read

    def test_a_sequence_is_its_first_part_and_then_the_rest(self) -> None:
        layer, x = type(self).kind(3, 2, return_state=True), laws.normal(2, 4, 2)
        parameters = laws.drawn(layer, x)
        expected, *ends = laws.outputs(layer, x, **parameters)
        first, *states = laws.outputs(layer, x[:, :1], **parameters)
        rest, *last = laws.outputs(layer, x[:, 1:], *states, **parameters)
        laws.close(np.concatenate([first, rest], axis=1), expected, "the sequence", rtol=1e-14)
        for found, end in zip(last, ends, strict=True):
            laws.close(found, end, "the last state", rtol=1e-14)

    def test_large_numbers_stay_finite(self) -> None:
        layer, x = type(self).kind(2), 50 * laws.normal(2, 3, 2)
        outcome = laws.run(layer, x, **laws.drawn(layer, x))
        assert all(np.isfinite(array).all() for array in (*outcome.y, *outcome.dx, *outcome.gradients.values()))

    def test_no_step_sees_a_later_one(self) -> None:
        layer, x = type(self).kind(3, 2), laws.normal(2, 4, 2)
        outcome = laws.run(layer, x, dy=(np.eye(4)[1][:, None] * np.ones((2, 4, 3)),), **laws.drawn(layer, x))
        assert not outcome.dx[0][:, 2:].any()
        assert outcome.dx[0][:, :2].all()

    def test_parameters_are_the_blocks_of_pytorch(self) -> None:
        """One array for each of the blocks that PyTorch stacks, and no `_l0`."""
        drawn = type(self).kind(25, 2, bidirectional=True).init(np.random.default_rng(0), (8, 3, 100))
        expected = {
            f"{name}{side}{k}{layer}{way}": shape
            for layer, width in (("", 100), ("_l1", 50))
            for way in ("", "_reverse")
            for name, side, shape in (
                ("weight_", "i", (25, width)), ("weight_", "h", (25, 25)), ("bias_", "i", (25,)), ("bias_", "h", (25,)),
            )
            for k in type(self).kind.gates
        }  # fmt: skip
        assert {name: array.shape for name, array in drawn.items()} == expected
        assert all(0.1 < np.abs(array).max() <= 0.2 for array in drawn.values())
        plain = type(self).kind(5, bias=False).init(np.random.default_rng(0), (8, 3, 2))
        assert plain.keys() == {f"weight_{side}{k}" for side in "ih" for k in type(self).kind.gates}


def states_for(layer: Any, x: Array, rng: np.random.Generator) -> list[Array]:
    places = layer.num_layers * (1 + layer.bidirectional)
    shape = (len(x), *([places] if places > 1 else []), layer.hidden_size)
    return [rng.standard_normal(shape) for _ in layer.states]
