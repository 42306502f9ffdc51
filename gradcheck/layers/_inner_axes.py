"""The `dim` of a layer that works along one or several axes of each sample."""

from __future__ import annotations

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Shape
from gradcheck.layers._inner_axis import require_inner_axis

#: One axis, or several.
Dims = int | tuple[int, ...]


def require_inner_axes(dims: Dims, x_shape: Shape) -> None:
    """Raise ShapeError unless `dims` are different axes of x other than 0."""
    for axis in _listed(dims):
        require_inner_axis(axis, x_shape)
    if not _listed(dims) or len(set(axes_of(dims, len(x_shape)))) < len(_listed(dims)):
        raise ShapeError(f"needs at least one axis, and none twice, got {list(_listed(dims))}")


def axes_of(dims: Dims, rank: int) -> tuple[int, ...]:
    """The axes, counted from the front and in order."""
    return tuple(sorted(axis % rank for axis in _listed(dims)))


def spread(dy: Array, axes: tuple[int, ...], x_shape: Shape) -> Array:
    """dy in as many axes as x has: those that a reduction took away have length 1."""
    return dy.reshape([1 if axis in axes else size for axis, size in enumerate(x_shape)])


def _listed(dims: Dims) -> tuple[int, ...]:
    return dims if isinstance(dims, tuple) else (dims,)
