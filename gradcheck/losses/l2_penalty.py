"""Half the sum of the squares of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradcheck.losses._data import Array
from gradcheck.losses._penalty import Penalty


@dataclass(frozen=True)
class L2Penalty(Penalty):
    """Half the sum of the squares of parameters (ridge, weight decay).

    forward     l  = ½ Σ w²    over all entries of the parameters w that `parameters` fits; the term's `weight` is λ

    backward    dw = dl w      what PyTorch's weight_decay adds to the gradient

    domain      real parameters

    divisors    once: 1, whatever the batch
    """

    def of_one(self, w: Array) -> Any:
        """½ Σ w²."""
        return (w * w).sum() / 2

    def slope(self, w: Array) -> Array:
        """The parameter itself."""
        return w
