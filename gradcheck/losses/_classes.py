"""What the losses of classes share: where the classes are, which targets count, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.losses._data import Array, Shape, require_all
from gradcheck.losses._weighted import Weighted, Weights, require_one_for_each


@dataclass(frozen=True)
class OfClasses(Weighted):
    """A weighted loss of the classes along one axis, where classes count differently and some targets do not count.

    axis          of the classes; not the batch
    class_weight  v, one number ≥ 0 for each class
    ignore_index  the target of a position that has no loss
    mean_over     what `mean` divides by: `class_weights`, Σ v of the valid targets, as in PyTorch (for probabilities as
                  target the number of positions); `losses`, the number of valid targets; or `weights`, Σ v w
    """

    #: Whether the target may hold a probability for each class.
    takes_probabilities: ClassVar[bool] = False

    axis: int = -1
    class_weight: Weights | None = field(default=None, kw_only=True)
    ignore_index: int = field(default=-100, kw_only=True)
    mean_over: Literal["class_weights", "losses", "weights"] = field(default="class_weights", kw_only=True)  # type: ignore[assignment]

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """The class axis is not the batch; a class, or its probabilities, for each other position; weights fit."""
        shape, target = prediction_shapes[0], data["target"]
        require_class_axis(shape, self.axis)
        positions = without_axis(shape, self.axis)
        if not (self.takes_probabilities and _are_probabilities(target, shape)):
            require_classes(shape, self.axis, target, self.ignore_index)
        require_one_for_each("class_weight", self.class_weight, shape, self.axis, "classes")
        self.require_weights(positions, data)

    def counted(self, losses_shape: Shape, target: Any, sample_weight: Array | None, mask: Array | None) -> list[Array]:
        """By the convention: valid targets, the weights of their classes, or these times the weights of the samples."""
        kept = [self._valid(target, losses_shape), *self.factors(losses_shape, None, mask)]
        if self.mean_over == "losses" or (self.mean_over == "class_weights" and target.dtype.kind == "f"):
            return kept
        kept += [self._of_class(target)]
        return [*kept, *self.factors(losses_shape, sample_weight, None)] if self.mean_over == "weights" else kept

    def divisor_name(
        self,
        reduction: str,
        losses_shape: Shape,
        target: Any = None,
        sample_weight: Array | None = None,
        mask: Array | None = None,
    ) -> str:
        """Which convention of a weighted mean this is; empty where everything counts once."""
        if reduction == "batch_mean" or target is None:
            return super().divisor_name(reduction, losses_shape, target, sample_weight, mask)
        kept = "valid targets" if not self._valid(target, losses_shape).all() else "targets"
        kept = f"the {kept}{' that the mask keeps' if mask is not None else ''}"
        weighted = self.class_weight is not None or (self.mean_over == "weights" and sample_weight is not None)
        hard = target.dtype.kind != "f" or self.mean_over == "weights"
        if self.mean_over != "losses" and weighted and hard:
            of = "class weights" if self.mean_over == "class_weights" else "weights"
            return f"the sum of the {of} of {kept}"
        unweighted = self.class_weight is None and sample_weight is None
        return "" if unweighted and kept == "the targets" else kept if unweighted else f"{kept}, whatever their weights"

    def shares(self, prediction: Array, target: Array, smoothing: float = 0.0) -> Array:
        """u = v y, (N, ..., C): y is 1 at the target, or its probabilities; rows of zeros where it is ignored.

        smoothing  ε: y becomes (1 − ε) y + ε / C
        """
        classes, probabilities = prediction.shape[self.axis], target.dtype.kind == "f"
        t = target if probabilities else np.expand_dims(target, self.axis)
        y: Array = t if probabilities else t == self._along(np.arange(classes), prediction.ndim)
        if smoothing:
            y = (1 - smoothing) * y + smoothing / classes
        if not probabilities:
            y = y * (t != self.ignore_index)
        if self.class_weight is not None:
            y = y * self._along(np.array(self.class_weight), prediction.ndim)
        return y.astype(prediction.real.dtype, copy=False)

    def _valid(self, target: Array, positions: Shape) -> Array:
        """Whether the target of each position counts."""
        return np.ones(positions, dtype=bool) if target.dtype.kind == "f" else target != self.ignore_index

    def _of_class(self, target: Array) -> Array:
        """v of each position's target; of probabilities, Σ y v."""
        if self.class_weight is None:
            return np.ones(1)
        v = np.array(self.class_weight)
        if target.dtype.kind == "f":
            return np.asarray((target * self._along(v, target.ndim)).sum(axis=self.axis))
        return v[np.where(target == self.ignore_index, 0, target)]

    def _along(self, row: Array, ndim: int) -> Array:
        """One number for each class, in a shape that broadcasts along the class axis."""
        shape = [1] * ndim
        shape[self.axis] = -1
        return row.reshape(shape)


def _are_probabilities(target: Array, shape: Shape) -> bool:
    return target.dtype.kind == "f" and target.shape == shape and bool(((target >= 0) & (target <= 1)).all())


def without_axis(shape: Shape, axis: int) -> Shape:
    """The shape of the positions, each of which has all classes."""
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def require_class_axis(shape: Shape, axis: int) -> None:
    """Raise ShapeError unless the axis is one behind the batch."""
    inner = len(shape) - 1
    if not inner:
        raise ShapeError(f"needs a prediction (N, ..., classes), got {shape}")
    axes = [*range(1, inner + 1), *range(-inner, 0)]
    if axis not in axes:
        known = ", ".join(map(str, axes))
        raise ShapeError(f"needs the classes on one of the axes {known} for a prediction {shape}, got axis {axis}")


def require_classes(shape: Shape, axis: int, target: Array, ignore_index: int | None = None, fewest: int = 1) -> None:
    """Raise ShapeError unless the target has a class for each position, and not all of them are ignored."""
    if shape[axis] < fewest:
        raise ShapeError(f"needs at least {fewest} classes, got a prediction {shape}")
    if target.dtype.kind not in "iu":
        raise ShapeError(f"needs integer classes as target, got {target.dtype}")
    positions, classes = without_axis(shape, axis), shape[axis]
    if target.shape != positions:
        hint = "; probabilities must be real numbers, not integers" if target.shape == shape else ""
        raise ShapeError(f"needs a target of shape {positions} for a prediction {shape}, got {target.shape}{hint}")
    ignored = np.zeros(target.shape, dtype=bool) if ignore_index is None else target == ignore_index
    require_all(((target >= 0) & (target < classes)) | ignored, f"classes from 0 to {classes - 1}", target)
    if ignored.all():
        raise ShapeError(f"needs at least one target that is not ignored, got {ignore_index} everywhere")
