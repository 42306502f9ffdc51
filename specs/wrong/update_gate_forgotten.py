"""A gated recurrence in which the old state gets nothing of its own.

h_t₋₁ is also in h_t without a weight: z of it.

wrong   dh = 0 * da
right   dh = dh * z
"""

import numpy as np

from gradcheck import Layer


class UpdateGateForgotten(Layer):
    """h_t = (1 − z) tanh(x_t) + z h_t₋₁ with z = σ(w) for x (N, T, F); all h_t."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal(x_shape[2])}

    def forward(self, x, weight):
        z = 1 / (1 + np.exp(-weight))
        h = [np.zeros_like(x[:, 0])]
        for t in range(x.shape[1]):
            h.append((1 - z) * np.tanh(x[:, t]) + z * h[-1])
        return np.stack(h[1:], axis=1), (x, h, z)

    def backward(self, dy, cache):
        x, h, z = cache
        dx, dz, dh = np.zeros_like(dy), 0, 0
        for t in reversed(range(dy.shape[1])):
            dh = dh + dy[:, t]
            da = dh * (1 - z)
            dx[:, t] = da * (1 - np.tanh(x[:, t]) ** 2)
            dz = dz + (dh * (h[t] - np.tanh(x[:, t]))).sum(axis=0)
            dh = 0 * da
        return dx, {"weight": dz * z * (1 - z)}
