"""Cross-entropy of a discriminator that tells real samples from generated ones."""

from __future__ import annotations

import math

from loss_laws import PointwiseLaws

from gradcheck.losses.minimax_discriminator import MinimaxDiscriminator


class RealTakenForFake(MinimaxDiscriminator):
    def backward(self, upstream, cache):
        real, fake = super().backward(upstream, cache)
        return -real, fake


class FakeForgotten(MinimaxDiscriminator):
    def backward(self, upstream, cache):
        real, fake = super().backward(upstream, cache)
        return real, 0 * fake


class TestLaws(PointwiseLaws):
    losses = (MinimaxDiscriminator(),)
    mistakes = (
        RealTakenForFake(),
        FakeForgotten(),
    )
    predictions = 2

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(2))

    def scalar(self, loss, r, f):
        return math.log(1 + math.exp(-r)) + math.log(1 + math.exp(f)), -1 / (1 + math.exp(r)), 1 / (1 + math.exp(-f))

    def perfect(self, loss, *arrays):
        return None

    def torch_losses(self, loss, torch, r, f):
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        real, fake = torch.ones_like(r), torch.zeros_like(f)
        return bce(r, real, reduction="none") + bce(f, fake, reduction="none")
