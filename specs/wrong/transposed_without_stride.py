"""A transposed convolution whose backward pass reads the output without its stride.

x[t] stands in the output from stride t on, and its gradient is read where it stands.

wrong   part = dy[:, i : i + steps]
right   part = dy[:, i : i + self.stride * steps : self.stride]
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class TransposedWithoutStride(Layer):
    """y[n, stride t + i] = Σ x[n, t] w[i], for a kernel of three numbers w."""

    stride: int = 1

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal(3)}

    def forward(self, x, weight):
        steps = x.shape[1]
        y = np.zeros((len(x), self.stride * (steps - 1) + 3), np.result_type(x, weight))
        for i in range(3):
            y[:, i : i + self.stride * steps : self.stride] += x * weight[i]
        return y, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dx, dw, steps = np.zeros(x.shape), np.zeros(3), x.shape[1]
        for i in range(3):
            part = dy[:, i : i + steps]
            dx += part * weight[i]
            dw[i] = (part * x).sum()
        return dx, {"weight": dw}
