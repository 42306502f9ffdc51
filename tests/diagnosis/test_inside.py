"""A mistake in one operation inside of forward is named with its place, whatever way the plugin is written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from core_nets import errors, told
from support import diagnosed

from gradcheck.diagnosis._interpolation import matrices
from gradcheck.findings import Finding, SpecReport
from gradcheck.layers._base import Layer

ONLY = ("gradient",)
STEPS = np.random.default_rng(3).standard_normal((2, 3, 2))
ROWS = np.random.default_rng(4).standard_normal((3, 4))


@dataclass(frozen=True)
class Cell(Layer):
    """h_t = σ(x_t W) tanh(h_t₋₁ U + x_t), all h. With `buffer` the states go into an array of real numbers."""

    how: str = ""
    buffer: bool = False

    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        size = x_shape[2]
        return {"W": rng.standard_normal((size, size)), "U": rng.standard_normal((size, size))}

    def forward(self, x: Any, W: Any, U: Any) -> tuple[Any, Any]:
        steps = x.shape[1]
        h = np.zeros((len(x), steps + 1, x.shape[2])) if self.buffer else {0: np.zeros_like(x[:, 0]) + 0.1}
        z = {}
        for t in range(steps):
            z[t] = 1 / (1 + np.exp(-(x[:, t] @ W)))
            if self.buffer:
                h[:, t + 1] = z[t] * np.tanh(h[:, t] @ U + x[:, t])
            else:
                h[t + 1] = z[t] * np.tanh(h[t] @ U + x[:, t])
        states = [h[:, t].copy() if self.buffer else h[t] for t in range(steps + 1)]
        return np.stack(states[1:], axis=1), (x, W, U, states, z)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        x, W, U, h, z = cache
        dx, dW, dU, dh = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(dy[:, 0])
        how = self.how
        for t in reversed(range(dy.shape[1])):
            dh = dh + dy[:, t]
            c = h[t + 1] / z[t]
            dz = dh * c * (1 if how == "gate" else z[t] * (1 - z[t]))
            da = dh * z[t] * (1 - c * c) * {"sign": -1, "half": 0.5}.get(how, 1)
            dx[:, t] = dz @ W.T + da
            dW = x[:, t].T @ dz + (0 if how == "first" else dW)
            dU = h[t].T @ da + dU
            dh = 0 * dh if how == "cut" else da @ (U if how == "transposed" else U.T)
        return dx, {"W": dW, "U": dU}


class LargestHeldConstant(Layer):
    """y = x / max |x|, row by row, into an array of real numbers."""

    def forward(self, x: Any) -> tuple[Any, Any]:
        y, largest = np.empty(x.shape), np.empty((len(x), 1))
        for n in range(len(x)):
            largest[n] = np.abs(x[n]).max()
            y[n] = x[n] / largest[n]
        return y, largest

    def backward(self, dy: Any, largest: Any) -> tuple[Any, dict[str, Any]]:
        return dy / largest, {}


class MaskForgotten(Layer):
    """y = max(x W, 0) V."""

    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        return {"W": rng.standard_normal((x_shape[1], 5)), "V": rng.standard_normal((5, 2))}

    def forward(self, x: Any, W: Any, V: Any) -> tuple[Any, Any]:
        h = np.maximum(x @ W, 0)
        return h @ V, (x, W, V, h)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        x, W, V, h = cache
        dh = dy @ V.T
        return dh @ W.T, {"W": x.T @ dh, "V": h.T @ dy}


class Upsampled(Layer):
    """Twice as many places, linear between them; handed back to the nearest."""

    def forward(self, x: Any) -> tuple[Any, Any]:
        return x @ dict(matrices(2 * x.shape[2], x.shape[2]))["linear, corners not aligned"].T, None

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        return dy[:, :, ::2] + dy[:, :, 1::2], {}


class Dilated(Layer):
    """y[t] = x[t] + 2 x[t + 2] + 4 x[t + 4]; handed back to t, t + 1, t + 2."""

    def forward(self, x: Any) -> tuple[Any, Any]:
        return x[:, :, :-4] + 2 * x[:, :, 2:-2] + 4 * x[:, :, 4:], x.shape

    def backward(self, dy: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
        dx = np.zeros(shape)
        for k in range(3):
            dx[:, :, k : k + dy.shape[2]] += 2**k * dy
        return dx, {}


def of(report: SpecReport, operand: str) -> Finding:
    """The finding about one operand of the guilty layer."""
    found = [f for f in errors(report) if (f.parameter or "").rpartition(".")[2] == operand]
    assert len(found) == 1, told(report)
    return found[0]


@cache
def report_of(how: str, buffer: bool) -> SpecReport:
    return diagnosed(Cell(how, buffer), x=STEPS, checks=ONLY)


def cell(how: str, operand: str, buffer: bool = False) -> Callable[[], Finding]:
    return lambda: of(report_of(how, buffer), operand)


FOUND: dict[str, tuple[str, str, Callable[[], Finding]]] = {
    "a gate": ("GC116", "a = n with 1 for the slope of `1 / (1 + np.exp(-(x[:, t] @ W)))`", cell("gate", "W")),
    "cut off in time": ("GC108", "a = n, each round of the loop by itself", cell("cut", "U")),
    "cut off in time, in a buffer": ("GC108", "a = n, the state in `h[:, t] @ U` constant", cell("cut", "U", True)),
    "a sign": ("GC102", "a = n, the slope of `np.tanh(h[t] @ U + x[:, t])` with the opposite sign", cell("sign", "W")),
    "a factor": ("GC101", "a = n with 0.5 × the slope of `h[t] @ U + x[:, t]`", cell("half", "W")),
    "a transpose": ("GC110", "a = n, the other factor of `h[t] @ U` transposed", cell("transposed", "W")),
    "one round": ("GC103", "a = n of the first round of `x[:, t] @ W`", cell("first", "W")),
    "held constant": (
        "GC104", "a = n, the slope of `np.abs(x[n])` left out",
        lambda: of(diagnosed(LargestHeldConstant(), x=ROWS, checks=ONLY), "input"),
    ),
    "a mask": (
        "GC109", "a = n without the mask of `np.maximum(x @ W, 0)`",
        lambda: of(diagnosed(MaskForgotten(), x=ROWS, checks=ONLY), "W"),
    ),
    "another interpolation": (
        "GC110", "",
        lambda: of(diagnosed(Upsampled(), x=np.random.default_rng(0).standard_normal((2, 2, 5)), checks=ONLY), "input"),
    ),
    "no dilation": (
        "GC110", "a[i + u] += g[i] w[u], for a[i + 2 u]",
        lambda: of(diagnosed(Dilated(), x=np.random.default_rng(0).standard_normal((2, 2, 8)), checks=ONLY), "input"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FOUND)
def test_mistake_is_named_with_its_operation(mistake: str) -> None:
    code, formula, run = FOUND[mistake]
    found = run()
    assert found.diagnosis is not None, found.message
    assert (found.code, found.diagnosis.explains) == (code, 1.0), found.message
    if formula:
        assert found.diagnosis.formula == formula


def test_message_says_which_line_and_what_is_wrong_there() -> None:
    message = cell("gate", "W")().message
    assert "in the gradient of cell_1.W the derivative of `1 / (1 + np.exp(-(x[:, t] @ W)))` in line " in message
    assert " of forward (its last operations: " in message
    assert message.count("is forgotten. What to look for: ") == 1


def test_right_cells_are_not_asked() -> None:
    for buffer in (False, True):
        assert not diagnosed(Cell("", buffer), x=STEPS, checks=ONLY).findings
