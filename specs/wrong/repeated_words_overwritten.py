"""A table of word vectors whose gradient is assigned to its rows instead of being added to them.

wrong   dweight[ids] = dy
right   np.add.at(dweight, ids, dy)
"""

import numpy as np

from gradcheck import Layer


class RepeatedWordsOverwritten(Layer):
    """y = W[ids] of six words."""

    def init(self, rng, ids_shape):
        return {"weight": rng.standard_normal((6, 4))}

    def forward(self, ids, weight):
        return weight[ids], (ids, weight)

    def backward(self, dy, cache):
        ids, weight = cache
        dweight = np.zeros_like(weight)
        dweight[ids] = dy
        return None, {"weight": dweight}
