"""One array of a spec: how its numbers come about, and what kind of numbers they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.spec._fills import FILLS
from gradcheck.spec._grammar import LARGEST_ARRAY, ArrayOptions
from gradcheck.spec._problems import Place, show

Array = NDArray[Any]

_KINDS: dict[str, type] = {"float": np.float64, "int": np.int64, "bool": np.bool_}
#: Where integers stay integers, by the array's role; elsewhere they become real numbers.
_KEEPS_INTEGERS = {
    "inputs": {"classes", "integers", "binary", "npz"},
    "targets": {"classes", "integers", "npz", "written"},
    "sample_weight": set[str](),
}


class ArrayProblem(Exception):  # noqa: N818 - the caller adds the place and makes a Problem of it
    """Numbers that cannot be used; the message is a whole sentence."""


class Recipe(Struct, frozen=True):
    """One array of a spec.

    role     `inputs`, `targets` or `sample_weight`
    source   `shape` (drawn), `classes`, `values` or `file`
    given    the numbers of `values` or `file`, samples on axis 0; None where they are drawn
    place    where the source is written
    """

    name: str
    role: str
    options: ArrayOptions
    source: str
    given: Array | None
    place: Place

    @property
    def batched(self) -> bool:
        """Whether samples are on axis 0."""
        return self.options.per_sample

    @property
    def rows(self) -> int | None:
        """How many samples are given; None where they are drawn and for an array without a batch axis."""
        return len(self.given) if self.batched and self.given is not None else None

    def make(self, seed: int, batch_size: int, rows: Array | None, precision: str) -> Array:
        """The array: drawn from its own stream of random numbers, or the given one or some `rows` of it.

        ArrayProblem where it is not finite (in the network's precision) or not of the kind that was asked for.
        """
        if self.given is None:
            array = self._draw(np.random.default_rng([seed, *self.name.encode()]), batch_size)
        else:
            array = self.given if rows is None else self.given[rows]
        kind = self._kind(array)
        with np.errstate(all="ignore"):
            if self.options.scale != 1:
                array = array * self.options.scale
            return _as_kind(self.name, array, kind, precision)

    def _draw(self, rng: np.random.Generator, batch_size: int) -> Array:
        o = self.options
        batch = (batch_size,) if self.batched else ()
        last = o.layout == "batch_last"
        shape = (*o.shape, *batch) if last else (*batch, *o.shape)
        if math.prod(shape) > LARGEST_ARRAY:
            raise ArrayProblem(f"the array `{self.name}` of shape {shape} has more than {LARGEST_ARRAY:,} entries")
        array = rng.integers(0, o.classes, shape) if o.classes else FILLS[o.fill].draw(rng, shape, o.low, o.high)
        return np.moveaxis(array, -1, 0) if last else array

    def _kind(self, array: Array) -> str:
        if self.options.dtype != "auto":
            return self.options.dtype
        if array.dtype.kind == "f" or self.options.scale != 1 or self.role == "sample_weight":
            return "float"
        if array.dtype.kind == "b":
            return "bool"
        return "int" if self._origin() in _KEEPS_INTEGERS[self.role] else "float"

    def _origin(self) -> str:
        if self.source == "file":
            return "npz" if self.options.file.endswith(".npz") else "written"
        return {"classes": "classes", "values": "written"}.get(self.source, self.options.fill)


def _as_kind(name: str, array: Array, kind: str, precision: str) -> Array:
    if array.dtype.kind == "f":
        rounded = array if kind != "float" else array.astype(precision)
        _require(name, np.isfinite(rounded), array, "finite" if precision == "float64" else f"finite in {precision}")
    if kind == "int" and array.dtype.kind != "b":
        _require(name, (array == np.trunc(array)) & (abs(array) < 2.0**63), array, "an integer")
    if kind == "bool":
        _require(name, (array == 0) | (array == 1), array, "0 or 1")
    return np.asarray(array, dtype=_KINDS[kind], order="C")


def _require(name: str, fits: Array, array: Array, expected: str) -> None:
    if not fits.all():
        index = np.unravel_index(fits.argmin(), fits.shape)
        place = f"{name}[{', '.join(map(str, index))}]" if index else name
        found = show(array[index].item())
        more = fits.size - np.count_nonzero(fits) - 1
        others = f" (and {more:,} more)" if more else ""
        raise ArrayProblem(f"every number of the array `{name}` must be {expected}, but {place} is {found}{others}")
