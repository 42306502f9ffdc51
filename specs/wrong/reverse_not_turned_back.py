"""A recurrence that reads backwards, and hands its gradient on in the order in which it has read.

wrong   dx = np.stack(steps, axis=1)
right   dx = np.stack(steps, axis=1)[:, ::-1]
"""

import numpy as np

from gradcheck import Layer


class ReverseNotTurnedBack(Layer):
    """h_t = tanh(x_t + h_t₊₁ U) for x (N, T, F), from the last step to the first; all h_t in the order of x."""

    def init(self, rng, x_shape):
        return {"weight_h": rng.standard_normal((x_shape[2], x_shape[2])) / 2}

    def forward(self, x, weight_h):
        h = [np.zeros_like(x[:, 0])]
        for t in reversed(range(x.shape[1])):
            h.append(np.tanh(x[:, t] + h[-1] @ weight_h))
        return np.stack(h[:0:-1], axis=1), (h, weight_h)

    def backward(self, dy, cache):
        h, weight_h = cache
        steps, dU, dh = [], np.zeros_like(weight_h), np.zeros_like(h[0])
        for t in range(dy.shape[1]):
            read = dy.shape[1] - t
            da = (dy[:, t] + dh) * (1 - h[read] ** 2)
            steps.insert(0, da)
            dU, dh = dU + h[read - 1].T @ da, da @ weight_h.T
        dx = np.stack(steps, axis=1)
        return dx, {"weight_h": dU}
