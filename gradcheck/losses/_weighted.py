"""Losses whose samples, outputs and entries may count differently, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.losses._base import Loss
from gradcheck.losses._data import Array, Shape, require_sample_weights, require_target_like

#: One number for each output or class, in the order of their axis.
Weights = tuple[Annotated[float, Meta(ge=0)], ...]


@dataclass(frozen=True, kw_only=True)
class Weighted(Loss):
    """A loss each value of which is multiplied by a weight w: that of its sample, and 0 where `mask` is 0.

    sample_weight  (N,)
    mask           (N,) or the losses' shape, 0 or 1
    mean_over      what `mean` divides by: `losses`, the number of those that the mask keeps, whatever their weights; or
                   `weights`, Σ w. In the same way `batch_mean` divides by the samples, or by the sum of their weights
    """

    mean_over: Literal["losses", "weights"] = "losses"

    def factors(self, losses_shape: Shape, sample_weight: Array | None, mask: Array | None) -> list[Array]:
        """What the weights are the product of: arrays that broadcast to the losses' shape."""
        return _behind(losses_shape, sample_weight, mask)

    def weights(self, losses: Array, sample_weight: Array | None, mask: Array | None) -> Array | None:
        """w in the real dtype of an array of the losses' shape, to which it broadcasts; None where each counts once."""
        factors = self.factors(losses.shape, sample_weight, mask)
        return np.asarray(math.prod(factors), dtype=losses.real.dtype) if factors else None

    def require_weights(self, losses_shape: Shape, data: Mapping[str, Any]) -> None:
        """Raise ShapeError unless the weights and the mask fit the losses and leave something to divide by."""
        target, sample_weight, mask = (data.get(name) for name in ("target", "sample_weight", "mask"))
        require_sample_weights(losses_shape, sample_weight)
        _require_mask(losses_shape, mask)
        for reduction in ("mean", "batch_mean"):
            total = Weighted.divisor(self, reduction, losses_shape, target, sample_weight, mask)
            if total <= 0:
                raise ShapeError(f"needs weights with a positive sum, by which its mean divides, got {total:g}")

    def counted(self, losses_shape: Shape, target: Any, sample_weight: Array | None, mask: Array | None) -> list[Array]:
        """What the product of is summed to give the divisor of `mean`."""
        if self.mean_over == "losses":
            return _behind(losses_shape, mask)
        return self.factors(losses_shape, sample_weight, mask)

    def divisor(
        self,
        reduction: str,
        losses_shape: Shape,
        target: Any = None,
        sample_weight: Array | None = None,
        mask: Array | None = None,
    ) -> float:
        """A number of losses or of samples, or the sum of their weights."""
        if reduction == "batch_mean":
            weight = sample_weight if self.mean_over == "weights" else None
            return _total(losses_shape[:1], _behind(losses_shape[:1], weight))
        return _total(losses_shape, self.counted(losses_shape, target, sample_weight, mask))

    def divisor_name(
        self,
        reduction: str,
        losses_shape: Shape,
        target: Any = None,
        sample_weight: Array | None = None,
        mask: Array | None = None,
    ) -> str:
        """Which convention of a weighted mean this is; empty where nothing is weighted."""
        if reduction == "batch_mean":
            of, mask, weighted = "the samples", None, sample_weight is not None
        else:
            of = "the losses" if mask is None else "the losses that the mask keeps"
            weighted = bool(self.factors(losses_shape, sample_weight, None))
        if not weighted:
            return "" if mask is None else of
        return f"the sum of the weights of {of}" if self.mean_over == "weights" else f"{of}, whatever their weights"


@dataclass(frozen=True, kw_only=True)
class Pointwise(Weighted):
    """A weighted loss of the predictions' shape, whose outputs too may count differently.

    output_weight  one number ≥ 0 for each entry of the last axis
    """

    output_weight: Weights | None = None

    def factors(self, losses_shape: Shape, sample_weight: Array | None, mask: Array | None) -> list[Array]:
        """The weights of the outputs with the others."""
        of_outputs = [] if self.output_weight is None else [np.array(self.output_weight)]
        return [*super().factors(losses_shape, sample_weight, mask), *of_outputs]

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """Predictions and target have one shape; weights fit it."""
        shape = prediction_shapes[0]
        require_one_shape(*prediction_shapes)
        if "target" in data:
            require_target_like(shape, data["target"])
            self.check_target(data["target"])
        require_one_for_each("output_weight", self.output_weight, shape, -1, "outputs")
        self.require_weights(shape, data)

    def check_target(self, target: Array) -> None:
        """Raise ShapeError where a target of the right shape lies outside the loss's domain."""


def weighted(array: Array, weights: Array | None) -> Array:
    """The array times the weights; the array itself where there are none."""
    product: Array = array if weights is None else array * weights
    return product


def require_one_shape(*shapes: Shape) -> None:
    """Raise ShapeError unless all predictions have one shape."""
    if len(set(shapes)) > 1:
        raise ShapeError(f"needs predictions of one shape, got {' and '.join(map(str, shapes))}")


def require_embeddings(count: int, shapes: tuple[Shape, ...], target: Array | None = None) -> None:
    """Raise ShapeError unless there are that many embeddings (N, D) of one shape, and a target for each sample."""
    require_one_shape(*shapes)
    if len(shapes[0]) != 2:
        raise ShapeError(f"needs {count} embeddings (N, D), got {shapes[0]}")
    if target is not None and target.shape != shapes[0][:1]:
        raise ShapeError(f"needs a target of shape {shapes[0][:1]}, got {target.shape}")


def require_one_for_each(name: str, weights: Weights | None, shape: Shape, axis: int, what: str) -> None:
    """Raise ShapeError unless there are as many weights as entries along an axis behind the batch, if there are any."""
    if weights is None:
        return
    if len(shape) < 2:
        raise ShapeError(f"needs {what} on an axis behind the batch for its {name}, got a prediction {shape}")
    if len(weights) != shape[axis]:
        raise ShapeError(f"needs one {name} for each of the {shape[axis]} {what}, got {len(weights)}")


def _require_mask(losses_shape: Shape, mask: Array | None) -> None:
    if mask is None:
        return
    fitting = list(dict.fromkeys([losses_shape[:1], losses_shape]))
    if mask.shape not in fitting:
        raise ShapeError(f"needs a mask of shape {' or '.join(map(str, fitting))}, got {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise ShapeError("needs a mask of 0 and 1")
    if not mask.any():
        raise ShapeError("needs a mask that keeps at least one loss, got 0 everywhere")


def _behind(losses_shape: Shape, *arrays: Array | None) -> list[Array]:
    """Those arrays that are given, with axes of length 1 behind their own."""
    return [a.reshape(*a.shape, *[1] * (len(losses_shape) - a.ndim)) for a in arrays if a is not None]


def _total(shape: Shape, factors: list[Array]) -> float:
    """Σ of the product of the factors over an array of the shape."""
    if not factors:
        return float(math.prod(shape))
    product: Any = math.prod(factors)
    return float((product if product.shape == shape else np.broadcast_to(product, shape)).sum())
