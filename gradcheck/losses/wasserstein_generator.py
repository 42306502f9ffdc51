"""How low a critic scores generated samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted


@dataclass(frozen=True)
class WassersteinGenerator(Pointwise):
    """How low a critic scores generated samples (Arjovsky et al. 2017).

    forward     l  = −w f      scores f of generated samples, losses l (N, ...), weights w, default 1

    backward    df = −dl w     df (N, ...)

    domain      real f

    Without a target.
    """

    def forward(self, fake: Array, sample_weight: Array | None = None, mask: Array | None = None) -> tuple[Array, Any]:
        """l = −w f."""
        w = self.weights(fake, sample_weight, mask)
        return weighted(-fake, w), w

    def backward(self, upstream: Array, cache: Any) -> Array:
        """df = −dl w."""
        return -weighted(upstream, cache)
