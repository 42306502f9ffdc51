"""A decoder that takes the weight of its encoder and gives back the gradient of the transpose.

wrong   dweight = x.T @ dy
right   dweight = dy.T @ x
"""

from gradcheck import Layer


class TiedWithoutTransposing(Layer):
    """y = x Wᵀ."""

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((x_shape[1], x_shape[1]))}

    def forward(self, x, weight):
        return x @ weight.T, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dweight = x.T @ dy
        return dy @ weight, {"weight": dweight}
