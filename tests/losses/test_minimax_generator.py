"""What a generator loses to a discriminator in the minimax game."""

from __future__ import annotations

import math

from loss_laws import PointwiseLaws

from gradcheck.losses.minimax_generator import MinimaxGenerator


class NonSaturating(MinimaxGenerator):
    def backward(self, upstream, cache):
        fake, weight = cache
        return super().backward(upstream, (-fake, weight))


class SignLost(MinimaxGenerator):
    def backward(self, upstream, cache):
        return -super().backward(upstream, cache)


class TestLaws(PointwiseLaws):
    losses = (MinimaxGenerator(),)
    mistakes = (
        NonSaturating(),
        SignLost(),
    )
    predictions = 1

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(1))

    def scalar(self, loss, f):
        return -math.log(1 + math.exp(f)), -1 / (1 + math.exp(-f))

    def perfect(self, loss, *arrays):
        return None

    def torch_losses(self, loss, torch, f):
        return torch.nn.functional.logsigmoid(-f)
