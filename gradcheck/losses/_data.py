"""What the losses share about the data that they take beside the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import ShapeError

Array = NDArray[Any]
Shape = tuple[int, ...]


def require_numbers(name: str, array: Array) -> None:
    """Raise ShapeError unless every entry is a finite real number."""
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"needs a {name} of real numbers, got {array.dtype}")
    require_all(np.isfinite(array), f"a finite {name}", array)


def require_all(fits: Array, needed: str, array: Array) -> None:
    """Raise ShapeError that shows the first entry that does not fit."""
    if not fits.all():
        index = np.unravel_index(fits.argmin(), fits.shape)
        place = ", ".join(map(str, index))
        raise ShapeError(f"needs {needed}, got {array[index]} at [{place}]")


def require_between(low: float, high: float, target: Array) -> None:
    """Raise ShapeError unless every target lies between the two, or is one of them; infinity is no limit."""
    ends = f"between {low:g} and {high:g}" if np.isfinite(high) else f"of at least {low:g}"
    require_all((target >= low) & (target <= high), f"a target {ends}", target)


def require_signs(target: Array) -> None:
    """Raise ShapeError unless every target is -1 or 1."""
    require_all((target == 1) | (target == -1), "a target of -1 or 1", target)


def require_target_like(prediction_shape: Shape, target: Array) -> None:
    """Raise ShapeError unless the target has the prediction's shape: it is never broadcast."""
    if target.shape != prediction_shape:
        raise ShapeError(f"needs a target of the prediction's shape {prediction_shape}, got {target.shape}")
    require_numbers("target", target)


def require_sample_weights(losses_shape: Shape, sample_weight: Array | None) -> None:
    """Raise ShapeError unless each sample has one finite weight, if there are any.

    A weight may be negative: in a policy gradient it is the advantage.
    """
    if sample_weight is None:
        return
    if sample_weight.shape != losses_shape[:1]:
        raise ShapeError(f"needs a sample_weight of shape {losses_shape[:1]}, got {sample_weight.shape}")
    require_numbers("sample_weight", sample_weight)


def like(prediction: Array, array: Array) -> Array:
    """The array in the real dtype of the prediction."""
    return array.astype(prediction.real.dtype, copy=False)
