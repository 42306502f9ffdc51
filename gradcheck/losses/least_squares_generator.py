"""Squared distance of a discriminator's scores of generated samples from a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class LeastSquaresGenerator(Pointwise):
    """Squared distance of a discriminator's scores of generated samples from a label (Mao et al. 2017).

    forward     l  = w ½ (f − c)²    scores f of generated samples, losses l (N, ...), c = label, weights w, default 1

    backward    df = dl w (f − c)    df (N, ...)

    domain      real f

    Without a target.
    """

    label: float = 1.0

    def forward(self, fake: Array, sample_weight: Array | None = None, mask: Array | None = None) -> tuple[Array, Any]:
        """l = w ½ (f − c)²."""
        error = fake - self.label
        w = self.weights(fake, sample_weight, mask)
        return weighted(error * error / 2, w), (error, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """df = dl w (f − c)."""
        error, w = cache
        gradient: Array = weighted(upstream, w) * error
        return gradient
