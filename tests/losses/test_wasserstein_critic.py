"""How much higher than real samples a critic scores generated ones."""

from __future__ import annotations

from loss_laws import PointwiseLaws

from gradcheck.losses.wasserstein_critic import WassersteinCritic


class Exchanged(WassersteinCritic):
    def backward(self, upstream, cache):
        real, fake = super().backward(upstream, cache)
        return fake, real


class RealForgotten(WassersteinCritic):
    def backward(self, upstream, cache):
        real, fake = super().backward(upstream, cache)
        return 0 * real, fake


class TestLaws(PointwiseLaws):
    losses = (WassersteinCritic(),)
    mistakes = (
        Exchanged(),
        RealForgotten(),
    )
    predictions = 2
    linear = True

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(2))

    def scalar(self, loss, r, f):
        return f - r, -1, 1

    def perfect(self, loss, *arrays):
        return None

    def torch_losses(self, loss, torch, r, f):
        return f - r
