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

    def step(self, layer: Any, a_i: dict[str, Array], a_h: dict[str, Array], h: Array) -> Array:
        raise NotImplementedError

    def drawn_options(self, rng: np.random.Generator) -> dict[str, Any]:
        return {}

    def draw(self, rng: np.random.Generator) -> Case:
        bias, both, state = (bool(rng.integers(2)) for _ in range(3))
        layer = type(self).kind(
            whole(rng, 1, 3), bias=bias, bidirectional=both, return_state=state, **self.drawn_options(rng)
        )
        x = rng.standard_normal((whole(rng, 1, 2), whole(rng, 1, 3), whole(rng, 1, 2)))
        return layer, ((x, state_for(layer, x, rng)) if rng.integers(2) else (x,))

    def value(self, layer: Any, *inputs: Array, **parameters: Array) -> Any:
        x, *given = inputs
        ways = ("", "_reverse") if layer.bidirectional else ("",)
        y, last = (
            np.zeros((*x.shape[:2], len(ways), layer.hidden_size)),
            np.zeros((len(x), len(ways), layer.hidden_size)),
        )
        for n, (place, way) in ((n, each) for n in range(len(x)) for each in enumerate(ways)):
            h = given[0].reshape(len(x), len(ways), -1)[n, place] if given else np.zeros(layer.hidden_size)
            for t in reversed(range(x.shape[1])) if way else range(x.shape[1]):
                sides = [
                    {
                        k: parameters[f"weight_{side}{k}{way}"] @ vector + parameters.get(f"bias_{side}{k}{way}", 0)
                        for k in layer.gates
                    }
                    for side, vector in (("i", x[n, t]), ("h", h))
                ]
                h = y[n, t, place] = self.step(layer, *sides, h)
            last[n, place] = h
        y = y.reshape(*x.shape[:2], -1)
        return (y, last if layer.bidirectional else last[:, 0]) if layer.return_state else y

    def torch_function(self, layer: Any, torch: Any) -> Any:
        def function(x: Any, h0: Any = None, **parameters: Any) -> Any:
            own = self.torch_module(layer, torch)(
                x.shape[2], layer.hidden_size, bias=layer.bias, batch_first=True,
                bidirectional=layer.bidirectional, dtype=torch.float64,
            )  # fmt: skip
            stacked = {
                f"{kind}_{side}h_l0{way}": torch.cat([parameters[f"{kind}_{side}{k}{way}"] for k in layer.gates])
                for kind in (("weight", "bias") if layer.bias else ("weight",))
                for side in "ih"
                for way in (("", "_reverse") if layer.bidirectional else ("",))
            }
            state = None if h0 is None else h0.reshape(len(x), -1, layer.hidden_size).swapaxes(0, 1).contiguous()
            y, h_n = torch.func.functional_call(own, stacked, (x, state))
            return (y, h_n.swapaxes(0, 1) if layer.bidirectional else h_n[0]) if layer.return_state else y

        return function

    def torch_module(self, layer: Any, torch: Any) -> Callable[..., Any]:
        raise NotImplementedError

    def test_a_sequence_is_its_first_part_and_then_the_rest(self) -> None:
        layer, x = type(self).kind(3, return_state=True), laws.normal(2, 4, 2)
        parameters = laws.drawn(layer, x)
        whole_y, whole_h = laws.outputs(layer, x, **parameters)
        first, state = laws.outputs(layer, x[:, :1], **parameters)
        rest, last = laws.outputs(layer, x[:, 1:], state, **parameters)
        laws.close(np.concatenate([first, rest], axis=1), whole_y, "the sequence", rtol=1e-14)
        laws.close(last, whole_h, "the last state", rtol=1e-14)

    def test_large_numbers_stay_finite(self) -> None:
        layer, x = type(self).kind(2), 50 * laws.normal(2, 3, 2)
        outcome = laws.run(layer, x, **laws.drawn(layer, x))
        assert all(np.isfinite(array).all() for array in (*outcome.y, *outcome.dx, *outcome.gradients.values()))


def state_for(layer: Any, x: Array, rng: np.random.Generator) -> Array:
    return rng.standard_normal((len(x), *([2] if layer.bidirectional else []), layer.hidden_size))
