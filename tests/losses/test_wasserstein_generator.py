"""How low a critic scores generated samples."""

from __future__ import annotations

from loss_laws import PointwiseLaws

from gradcheck.losses.wasserstein_generator import WassersteinGenerator


class SignLost(WassersteinGenerator):
    def backward(self, upstream, cache):
        return -super().backward(upstream, cache)


class WeightForgotten(WassersteinGenerator):
    def backward(self, upstream, cache):
        return super().backward(upstream, None)


class TestLaws(PointwiseLaws):
    losses = (WassersteinGenerator(),)
    mistakes = (
        SignLost(),
        WeightForgotten(),
    )
    predictions = 1
    linear = True

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(1))

    def scalar(self, loss, f):
        return -f, -1

    def perfect(self, loss, *arrays):
        return None

    def torch_losses(self, loss, torch, f):
        return -f
