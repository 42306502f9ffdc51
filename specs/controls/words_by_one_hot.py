"""An embedding by a product with one-hot rows: repeated words add up."""

import numpy as np

from gradcheck import Layer


class WordsByOneHot(Layer):
    """y = W[ids]."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((6, 3))}

    def forward(self, ids, weight):
        return weight[ids], ids

    def backward(self, dy, ids):
        return None, {"weight": np.einsum("ntv,ntd->vd", np.eye(6)[ids], dy)}
