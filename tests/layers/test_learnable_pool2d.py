"""Mean of each window of an image, then a weight and a bias of each feature map."""

from __future__ import annotations

import numpy as np
from image_laws import image, read, several
from laws import normal, outputs
from layer_laws import LayerLaws

from gradcheck.layers.learnable_pool2d import LearnablePool2d


class WeightForgotten(LearnablePool2d):
    def backward(self, dy, cache):
        x_shape, a, weight = cache
        return super().backward(dy, (x_shape, a, np.ones_like(weight)))[0], super().backward(dy, cache)[1]


class WeightOfTheSum(LearnablePool2d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {**gradients, "weight": gradients["weight"] * self._windows.size}


class MapsMixed(LearnablePool2d):
    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradient[::-1] for name, gradient in gradients.items()}


X = normal(2, 2, 4, 4)


class TestLaws(LayerLaws):
    cases = (
        (LearnablePool2d(2), (normal(2, 3, 4, 5),)),
        (LearnablePool2d((3, 2), stride=(2, 1), padding=(1, 0)), (normal(2, 1, 4, 3),)),
    )
    mistakes = (
        (WeightForgotten(2), (X,), ("input",)),
        (WeightOfTheSum(2), (X,), ("weight",)),
        (MapsMixed(2), (X,), ("weight", "bias")),
    )
    refused = (
        (LearnablePool2d(2), ((3, 10),), "needs an input (N, C, H, W), got (3, 10)"),
        (
            LearnablePool2d(3, padding=2),
            ((1, 1, 9, 9),),
            "needs a padding of at most half its kernel of 3 x 3, got 2 x 2",
        ),
    )

    def draw(self, rng):
        kernel, stride = several(rng, 2, 1, 3), several(rng, 2, 1, 3) if rng.random() < 0.7 else None
        layer = LearnablePool2d(kernel, stride, tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel))
        return layer, (image(rng, 2, layer, 2),)

    def value(self, layer, x, weight, bias):
        (y,) = outputs(layer, x, weight=weight, bias=bias)
        y = np.zeros(y.shape)
        size = np.prod(layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,) * 2)
        for n, c, p, q in np.ndindex(*y.shape):
            total = sum(x[(n, c, *pixel)] for _, pixel in read(layer, (p, q), x.shape[2:]))
            y[n, c, p, q] = weight[c] * total / size + bias[c]
        return y
