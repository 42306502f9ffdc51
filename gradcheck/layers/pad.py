"""Margins around the last axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Layer, Shape

Margin = Annotated[int, Meta(ge=0)]
#: Mode -> what numpy.pad calls it.
_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True)
class Pad(Layer):
    """Margins around the last axes, filled with a number or with what the input has there.

    forward     y  = x[i], v outside            x (N, ..., S, ...)   y (N, ..., b + S + a, ...)

    backward    dx = Σ dy where i reads x       dx (N, ..., S, ...)

    verified    torch.nn.functional.pad; obvious loops

    pad lists, from the last axis backwards as PyTorch does, how many places come before and after each: [left, right,
    top, bottom]. By mode, i reads nothing there (constant, v = value), what lies behind the edge as in a mirror that
    does not repeat it (reflect), the edge (replicate), or the other end (circular).
    """

    pad: Annotated[tuple[Margin, ...], Meta(min_length=2)]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: float = 0.0

    def check(self, *x_shapes: Shape) -> None:
        """Pairs of margins for no more axes than there are, and not longer than what fills them."""
        shape = x_shapes[0]
        if len(self.pad) % 2 or len(self.pad) // 2 >= len(shape):
            raise ShapeError(
                f"needs two margins for each of at most {len(shape) - 1} axes of an input {shape}, got {list(self.pad)}"
            )
        for axis, margins in self._margins(len(shape)).items():
            longest = {"reflect": shape[axis] - 1, "circular": shape[axis]}.get(self.mode, max(margins))
            if max(margins) > longest:
                raise ShapeError(
                    f"needs margins of at most {longest} for mode {self.mode} on axis {axis}, which has {shape[axis]} "
                    f"places, got {max(margins)}"
                )

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y = x[i], v outside."""
        y = x
        for axis, i in self._sources(x.shape).items():
            y = np.take(y, np.maximum(i, 0), axis=axis)
            y[_along(axis, i < 0)] = self.value
        return y, x.shape

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        """dx = Σ dy where i reads x."""
        dx = dy
        for axis, i in self._sources(cache).items():
            shape = (*dx.shape[:axis], cache[axis], *dx.shape[axis + 1 :])
            read, dx = dx[_along(axis, i >= 0)], np.zeros(shape, dy.dtype)
            np.add.at(dx, _along(axis, i[i >= 0]), read)
        return dx, {}

    def _margins(self, rank: int) -> dict[int, tuple[int, int]]:
        """Axis -> places before and after."""
        pairs = zip(self.pad[::2], self.pad[1::2], strict=True)
        return {rank - 1 - k: margins for k, margins in enumerate(pairs)}

    def _sources(self, x_shape: Shape) -> dict[int, Array]:
        """Axis -> i, the place of x that each place of y reads, -1 for none."""
        outside: dict[str, Any] = {"constant_values": -1} if self.mode == "constant" else {}
        mode: Any = _MODES[self.mode]
        return {
            axis: np.pad(np.arange(x_shape[axis]), margins, mode, **outside)
            for axis, margins in self._margins(len(x_shape)).items()
        }


def _along(axis: int, places: Array) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, places)
