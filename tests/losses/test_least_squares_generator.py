"""Squared distance of a discriminator's scores of generated samples from a label."""

from __future__ import annotations

from loss_laws import PointwiseLaws

from gradcheck.losses.least_squares_generator import LeastSquaresGenerator


class LabelForgotten(LeastSquaresGenerator):
    def backward(self, upstream, cache):
        error, weight = cache
        return super().backward(upstream, (error + 1, weight))


class TwoTooMany(LeastSquaresGenerator):
    def backward(self, upstream, cache):
        return 2 * super().backward(upstream, cache)


class TestLaws(PointwiseLaws):
    losses = (
        LeastSquaresGenerator(),
        LeastSquaresGenerator(label=0.0),
    )
    mistakes = (
        LabelForgotten(),
        TwoTooMany(),
    )
    predictions = 1

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(1))

    def scalar(self, loss, f):
        return (f - loss.label) ** 2 / 2, f - loss.label

    def perfect(self, loss, *arrays):
        return (loss.label + 0 * arrays[0],)

    def torch_losses(self, loss, torch, f):
        return (f - loss.label) ** 2 / 2
