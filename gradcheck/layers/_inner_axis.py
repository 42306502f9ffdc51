"""The `axis` of a layer that works along one axis of each sample."""

from __future__ import annotations

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Shape


def require_inner_axis(axis: int, x_shape: Shape) -> None:
    """Raise ShapeError unless `axis` is an axis of x other than 0: along the batch, samples would be mixed."""
    inner = len(x_shape) - 1
    if not inner:
        raise ShapeError(f"needs an input with an axis behind the batch axis, got {x_shape}")
    axes = [*range(1, inner + 1), *range(-inner, 0)]
    if axis not in axes:
        raise ShapeError(f"needs one of the axes {', '.join(map(str, axes))} for an input {x_shape}, got axis {axis}")
