"""Cross-entropy of a discriminator that tells real samples from generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import sigmoid, softplus


@dataclass(frozen=True)
class MinimaxDiscriminator(Pointwise):
    """Cross-entropy of a discriminator that tells real samples from generated ones (Goodfellow et al. 2014).

    forward     l  = −w (log σ(r) + log(1 − σ(f)))    logits r of real and f of generated samples, losses l (N, ...)
                                                      weights w, default 1

    backward    dr = −dl w σ(−r)                      dr (N, ...)
                df = dl w σ(f)                        df (N, ...)

    domain      real r and f

    Without a target. The logarithms are computed as −log(1 + e⁻ʳ) and −log(1 + eᶠ), which do not overflow.
    """

    def forward(
        self, real: Array, fake: Array, sample_weight: Array | None = None, mask: Array | None = None
    ) -> tuple[Array, Any]:
        """l = −w (log σ(r) + log(1 − σ(f)))."""
        w = self.weights(real, sample_weight, mask)
        return weighted(softplus(-real) + softplus(fake), w), (real, fake, w)

    def backward(self, upstream: Array, cache: Any) -> tuple[Array, Array]:
        """dr = −dl w σ(−r), df = dl w σ(f)."""
        real, fake, w = cache
        each = weighted(upstream, w)
        return -each * sigmoid(-real), each * sigmoid(fake)
