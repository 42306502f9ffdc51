"""A bilinear map whose second input gets the gradient of the first.

For b the matrix stands on its other side: transposed.

wrong   db = np.einsum("no,oij,nj->ni", dy, weight, a)
right   db = np.einsum("no,oij,ni->nj", dy, weight, a)
"""

import numpy as np

from gradcheck import Layer


class BilinearNotTransposed(Layer):
    """y[n, o] = Σ a[n, i] W[o, i, j] b[n, j], three outputs."""

    def init(self, rng, a_shape, b_shape):
        return {"weight": rng.standard_normal((3, a_shape[1], b_shape[1]))}

    def forward(self, a, b, weight):
        return np.einsum("ni,oij,nj->no", a, weight, b), (a, b, weight)

    def backward(self, dy, cache):
        a, b, weight = cache
        da = np.einsum("no,oij,nj->ni", dy, weight, b)
        db = np.einsum("no,oij,nj->ni", dy, weight, a)
        return (da, db), {"weight": np.einsum("no,ni,nj->oij", dy, a, b)}
