"""How far a generator is from being taken for real, without the saturation of the minimax game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._weighted import Pointwise, weighted
from gradcheck.maths import sigmoid, softplus


@dataclass(frozen=True)
class NonSaturatingGenerator(Pointwise):
    """How far a generator is from being taken for real, by a loss that does not saturate (Goodfellow et al. 2014).

    forward     l  = −w log σ(f)      logits f of generated samples, losses l (N, ...), weights w, default 1

    backward    df = −dl w σ(−f)      df (N, ...)

    domain      real f

    Without a target.
    """

    def forward(self, fake: Array, sample_weight: Array | None = None, mask: Array | None = None) -> tuple[Array, Any]:
        """l = −w log σ(f), as w log(1 + e⁻ᶠ)."""
        w = self.weights(fake, sample_weight, mask)
        return weighted(softplus(-fake), w), (fake, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """df = −dl w σ(−f)."""
        fake, w = cache
        gradient: Array = -weighted(upstream, w) * sigmoid(-fake)
        return gradient
