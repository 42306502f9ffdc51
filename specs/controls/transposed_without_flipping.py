"""A transposed convolution by slices: written so, no kernel has to be flipped."""

import numpy as np

from gradcheck import Layer


class TransposedWithoutFlipping(Layer):
    """y[t + i] += x[t] w[i]."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal(3)}

    def forward(self, x, weight):
        steps = x.shape[1]
        y = np.zeros((len(x), steps + 2), np.result_type(x, weight))
        for i in range(3):
            y[:, i : i + steps] += x * weight[i]
        return y, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        steps = x.shape[1]
        dx = sum(dy[:, i : i + steps] * weight[i] for i in range(3))
        return dx, {"weight": np.array([(dy[:, i : i + steps] * x).sum() for i in range(3)])}
