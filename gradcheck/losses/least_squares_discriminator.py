"""Squared distance of a discriminator's scores from the labels of real and of generated samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class LeastSquaresDiscriminator(Pointwise):
    """Squared distance of scores of real and of generated samples from their labels (Mao et al. 2017).

    forward     l  = w ½ ((r − b)² + (f − a)²)    scores r of real and f of generated samples, losses l (N, ...)
                                                  b = real_label, a = fake_label, weights w, default 1

    backward    dr = dl w (r − b)                 dr (N, ...)
                df = dl w (f − a)                 df (N, ...)

    domain      real r and f

    Without a target.
    """

    real_label: float = 1.0
    fake_label: float = 0.0

    def forward(
        self, real: Array, fake: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w ½ ((r − b)² + (f − a)²)."""
        of_real, of_fake = real - self.real_label, fake - self.fake_label
        w = self.weights(real, sample_weight, mask)
        return weighted((of_real * of_real + of_fake * of_fake) / 2, w), (of_real, of_fake, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """dr = dl w (r − b), df = dl w (f − a)."""
        of_real, of_fake, w = cache
        each = weighted(upstream, w)
        return each * of_real, each * of_fake
