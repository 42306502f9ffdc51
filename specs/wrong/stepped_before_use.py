"""An affine map that makes its step first, and hands back the gradient of its new weights.

wrong   used = weight - 0.1 * dW
right   used = weight
"""

from dataclasses import dataclass

from gradcheck import Layer


@dataclass(frozen=True)
class SteppedBeforeUse(Layer):
    """y = x W."""

    out_features: int

    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((x_shape[1], self.out_features))}

    def forward(self, x, weight):
        return x @ weight, (x, weight)

    def backward(self, dy, cache):
        x, weight = cache
        dW = x.T @ dy
        used = weight - 0.1 * dW
        return dy @ used.T, {"weight": dW}
