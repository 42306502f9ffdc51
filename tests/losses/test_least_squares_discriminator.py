"""Squared distance of a discriminator's scores from the labels of real and of generated samples."""

from __future__ import annotations

from loss_laws import PointwiseLaws

from gradcheck.losses.least_squares_discriminator import LeastSquaresDiscriminator


class LabelsSwapped(LeastSquaresDiscriminator):
    def backward(self, upstream, cache):
        real, fake, weight = cache
        return super().backward(upstream, (real + 1, fake - 1, weight))


class TwoTooMany(LeastSquaresDiscriminator):
    def backward(self, upstream, cache):
        real, fake = super().backward(upstream, cache)
        return 2 * real, 2 * fake


class TestLaws(PointwiseLaws):
    losses = (
        LeastSquaresDiscriminator(),
        LeastSquaresDiscriminator(real_label=0.9, fake_label=-1.0),
    )
    mistakes = (
        LabelsSwapped(),
        TwoTooMany(),
    )
    predictions = 2

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(2))

    def scalar(self, loss, r, f):
        return ((r - loss.real_label) ** 2 + (f - loss.fake_label) ** 2) / 2, r - loss.real_label, f - loss.fake_label

    def perfect(self, loss, *arrays):
        return tuple(label + 0 * arrays[0] for label in (loss.real_label, loss.fake_label))

    def torch_losses(self, loss, torch, r, f):
        return ((r - loss.real_label) ** 2 + (f - loss.fake_label) ** 2) / 2
