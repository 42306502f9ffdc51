"""The angles of places in a sequence (Vaswani et al. 2017)."""

from __future__ import annotations

import numpy as np

from gradcheck.layers._base import Array


def angles(steps: int, features: int, base: float) -> Array:
    """φ[t, k] = t base^(−2k/D) of every second feature: (T, ⌈D/2⌉)."""
    k = np.arange((features + 1) // 2)
    return np.multiply.outer(np.arange(steps), float(base) ** (-2 * k / features))
