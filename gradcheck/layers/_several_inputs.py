"""What layers with several inputs of a kind ask of them, and what they do with integers among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradcheck.errors import ShapeError
from gradcheck.layers._base import Array, Shape


def two(x_shapes: Sequence[Shape]) -> tuple[Shape, Shape]:
    """The shapes of two inputs. ShapeError where there are more or fewer."""
    if len(x_shapes) != 2:
        raise ShapeError(f"needs two inputs, got {len(x_shapes)}")
    return x_shapes[0], x_shapes[1]


def require_equal_shapes(x_shapes: Sequence[Shape]) -> None:
    """Raise ShapeError unless all inputs have one shape: nothing is broadcast."""
    if len(set(x_shapes)) > 1:
        raise ShapeError(
            f"needs inputs of equal shapes, as nothing is broadcast, got {' and '.join(map(str, x_shapes))}"
        )


def in_one_precision(inputs: Sequence[Array]) -> list[Array]:
    """The inputs, with integers and booleans in the precision of the real ones: int64 would turn float32 to float64."""
    real = [x.real.dtype for x in inputs if x.dtype.kind in "fc"]
    return [x.astype(np.result_type(*real)) if real and x.dtype.kind not in "fc" else x for x in inputs]


def differentiable(inputs: Sequence[Array]) -> tuple[bool, ...]:
    """Which inputs are real numbers; there is no gradient of the others."""
    return tuple(x.dtype.kind == "f" for x in inputs)


def where_differentiable(gradients: Iterable[Array], real: Sequence[bool]) -> tuple[Array | None, ...]:
    """The gradients of the inputs, None for an integer or boolean one."""
    return tuple(dx if is_real else None for dx, is_real in zip(gradients, real, strict=True))
