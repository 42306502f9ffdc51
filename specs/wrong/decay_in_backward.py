"""An affine map whose backward adds weight decay, which is nowhere in the loss.

wrong   decay = 0.01
right   decay = 0.0
"""

from dataclasses import dataclass

from gradcheck import Layer


@dataclass(frozen=True)
class DecayInBackward(Layer):
    """y = x W + b."""

    out_features: int

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((x_shape[1], self.out_features)), "bias": rng.standard_normal(3)}

    def forward(self, x, weight, bias):
        return x @ weight + bias, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        decay = 0.01
        return dy @ weight.T, {"weight": x.T @ dy + decay * weight, "bias": dy.sum(axis=0)}
