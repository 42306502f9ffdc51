"""Sum of the absolute values of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.losses._data import Array
from gradcheck.losses._penalty import Penalty


@dataclass(frozen=True)
class L1Penalty(Penalty):
    """Sum of the absolute values of parameters (lasso).

    forward     l  = Σ |w|         over all entries of the parameters w that `parameters` fits; the term's `weight` is λ

    backward    dw = dl sign(w)    dw of the shape of w

    domain      real parameters

    divisors    once: 1, whatever the batch

    At w = 0, where there is no derivative, backward says 0.
    """

    def of_one(self, w: Array) -> Any:
        """Σ |w|, as Σ sign(w) w."""
        return (np.sign(w.real) * w).sum()

    def slope(self, w: Array) -> Array:
        """sign(w)."""
        return np.asarray(np.sign(w))
