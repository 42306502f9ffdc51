"""An LSTM whose forget gate has lost the slope of its sigmoid.

The gate f = σ(a) multiplies the cell, so the gradient of a is dc c f (1 − f): that of f times the slope of σ.

wrong   df = dc * c_before
right   df = dc * c_before * f * (1 - f)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


def sigma(a):
    return 1 / (1 + np.exp(-a))


@dataclass(frozen=True)
class GateWithoutSlope(Layer):
    """c = f c + i g, h = o tanh c, with i, f, g, o from x W + h U + b; outputs all h."""

    hidden_size: int

    def init(self, rng, x_shape):
        size = self.hidden_size
        shapes = {"W": (x_shape[2], 4 * size), "U": (size, 4 * size), "b": 4 * size}
        return {name: rng.standard_normal(shape) / np.sqrt(size) for name, shape in shapes.items()}

    def forward(self, x, W, U, b):
        h = c = np.zeros((len(x), self.hidden_size))
        steps = []
        for t in range(x.shape[1]):
            i, f, g, o = np.split(x[:, t] @ W + h @ U + b, 4, axis=1)
            i, f, g, o = sigma(i), sigma(f), np.tanh(g), sigma(o)
            before = h, c
            c = f * c + i * g
            h = o * np.tanh(c)
            steps.append((*before, i, f, g, o, c, h))
        return np.stack([step[-1] for step in steps], axis=1), (x, W, U, steps)

    def backward(self, dy, cache):
        x, W, U, steps = cache
        dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(W[0])
        dh = dc = np.zeros_like(dy[:, 0])
        for t in reversed(range(x.shape[1])):
            h, c_before, i, f, g, o, c, _ = steps[t]
            dh = dh + dy[:, t]
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)
            df = dc * c_before
            gates = dc * g * i * (1 - i), df, dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o)
            da = np.concatenate(gates, axis=1)
            dx[:, t] = da @ W.T
            dW += x[:, t].T @ da
            dU += h.T @ da
            db += da.sum(axis=0)
            dc = dc * f
            dh = da @ U.T
        return dx, {"W": dW, "U": dU, "b": db}
