"""Losses of parameters: nothing is predicted, and nothing depends on the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array


@dataclass(frozen=True)
class Penalty(Loss):
    """A function of parameters that is added to the loss once, whatever the batch: its only reduction.

    parameters  patterns of the names of those that it takes: `*.weight`
    """

    reductions = ("once",)
    of_parameters: ClassVar[bool] = True

    parameters: str | tuple[str, ...] = "*"

    def forward(self, *parameters: Array, reduction: str) -> tuple[Any, Any]:
        """Σ of `of_one` over all parameters."""
        total: Any = sum(self.of_one(w) for w in parameters)
        return total, parameters

    def backward(self, upstream: Any, cache: Any) -> tuple[Array, ...]:
        """The slopes of all parameters."""
        return tuple(upstream * self.slope(w) for w in cache)

    def divisor(self, reduction: str) -> float:
        """A penalty is divided by nothing."""
        return 1.0

    def of_one(self, w: Array) -> Any:
        """What one parameter costs: a scalar."""
        raise NotImplementedError

    def slope(self, w: Array) -> Array:
        """Its gradient, of the parameter's shape."""
        raise NotImplementedError
