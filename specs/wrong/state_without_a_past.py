"""A recurrence whose gradient does not go back in time.

h_t is made of h_t₋₁, which has its share in all that follows.

wrong   dh = np.zeros_like(h[0])
right   dh = da @ weight_h.T
"""

import numpy as np

from gradcheck import Layer


class StateWithoutAPast(Layer):
    """h_t = tanh(x_t + h_t₋₁ U) for x (N, T, F); all h_t."""

    def init(self, rng, x_shape):
        return {"weight_h": rng.standard_normal((x_shape[2], x_shape[2])) / 2}

    def forward(self, x, weight_h):
        h = [np.zeros_like(x[:, 0])]
        for t in range(x.shape[1]):
            h.append(np.tanh(x[:, t] + h[-1] @ weight_h))
        return np.stack(h[1:], axis=1), (h, weight_h)

    def backward(self, dy, cache):
        h, weight_h = cache
        dx, dU, dh = np.zeros_like(dy), np.zeros_like(weight_h), np.zeros_like(h[0])
        for t in reversed(range(dy.shape[1])):
            da = (dy[:, t] + dh) * (1 - h[t + 1] ** 2)
            dx[:, t], dU = da, dU + h[t].T @ da
            dh = np.zeros_like(h[0])
        return dx, {"weight_h": dU}
