"""A convolution over a padded sequence that cuts the padding off at the wrong end.

The gradient of the padded sequence has a margin on both sides; what is between them belongs to the input.

wrong   inner = slice(2 * margin, None)
right   inner = slice(margin, -margin)
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Layer


@dataclass(frozen=True)
class PaddingCutAtOneEnd(Layer):
    """y[n, t] = Σ x[n, t + u - padding] w[u], for a kernel of three numbers w."""

    padding: int = 1

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal(3)}

    def forward(self, x, weight):
        padded = np.pad(x, ((0, 0), (self.padding, self.padding)))
        steps = padded.shape[1] - 2
        return sum(padded[:, u : u + steps] * weight[u] for u in range(3)), (padded, weight)

    def backward(self, dy, cache):
        padded, weight = cache
        steps, margin = dy.shape[1], self.padding
        dpadded = np.zeros(padded.shape)
        for u in range(3):
            dpadded[:, u : u + steps] += dy * weight[u]
        inner = slice(2 * margin, None)
        dw = np.array([(dy * padded[:, u : u + steps]).sum() for u in range(3)])
        return dpadded[:, inner], {"weight": dw}
