"""How much higher than real samples a critic scores generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class WassersteinCritic(Pointwise):
    """How much higher than real samples a critic scores generated ones (Arjovsky et al. 2017).

    forward     l  = w (f − r)    scores r of real and f of generated samples, losses l (N, ...), weights w, default 1

    backward    dr = −dl w        dr (N, ...)
                df = dl w         df (N, ...)

    domain      real r and f; the critic must be Lipschitz, which is not checked

    Without a target.
    """

    def forward(
        self, real: Array, fake: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = w (f − r)."""
        w = self.weights(real, sample_weight, mask)
        return weighted(fake - real, w), w

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """dr = −dl w, df = dl w."""
        each = weighted(upstream, cache)
        return -each, each
