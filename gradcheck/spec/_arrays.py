"""One array of a spec: what its options say, checked, and the numbers themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.spec._files import FileProblem, load_array
from gradcheck.spec._fills import ALWAYS, FILLS, SOURCES
from gradcheck.spec._grammar import LARGEST_ARRAY, ArrayOptions
from gradcheck.spec._numbers import numbers
from gradcheck.spec._options import Owner, convert, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, counted, show
from gradcheck.spec._yaml import Node

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


@dataclass(frozen=True)
class Recipe:
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


def read_array(name: str, role: str, node: Node, spec_path: str, problems: Problems) -> Recipe | None:
    """What a spec says of one array; None where that is a problem."""
    options = options_of(ArrayOptions)
    before = len(problems)
    nodes = read_keys(node, options, Owner(f"the array `{name}`"), problems)
    values = nodes.pop("values", None)
    converted = convert(nodes, options, problems)
    if values is not None:
        nodes["values"] = values
    if converted is None or len(problems) > before:
        return None
    source = _source(name, role, node, nodes, problems)
    chosen = ArrayOptions(**converted)
    if source is None or not _fits_together(name, source, node, nodes, chosen, problems):
        return None
    place = nodes[source].place if source in nodes else node.place
    given = _given(name, source, chosen, nodes, spec_path, problems)
    if source in ("values", "file") and given is None:
        return None
    return Recipe(name, role, chosen, source, given, place)


def _source(name: str, role: str, node: Node, nodes: dict[str, Node], problems: Problems) -> str | None:
    given = [source for source in ("classes", "values", "file") if source in nodes]
    if len(given) > 1:
        problems.add(nodes[given[1]].place, f"the array `{name}` has both `{given[0]}` and `{given[1]}`; give one")
        return None
    if given:
        return given[0]
    if "shape" in nodes or ("fill" in nodes and role == "sample_weight"):
        return "shape"
    needed = "`shape`" if "fill" in nodes else "`shape` (to draw it), `classes`, `values` or `file`"
    problems.add(node.place, f"the array `{name}` needs {needed}")
    return None


def _fits_together(
    name: str, source: str, node: Node, nodes: dict[str, Node], o: ArrayOptions, problems: Problems
) -> bool:
    before = len(problems)
    fitting = (*SOURCES[source], *ALWAYS)
    for key in nodes:
        if key not in fitting:
            problems.add(node.keys[key], f"`{key}` does not go with `{source}` in the array `{name}`")
    if source == "shape":
        for key in ("scale", "low", "high"):
            if key in nodes and key not in FILLS[o.fill].options:
                problems.add(node.keys[key], f"`{key}` does not go with `fill: {o.fill}` in the array `{name}`")
        _check_range(name, node, nodes, o, problems)
    if o.layout == "batch_last" and not o.per_sample:
        problems.add(node.keys["layout"], f"the array `{name}` has no batch axis (`per_sample: false`) to be last")
    return len(problems) == before


def _check_range(name: str, node: Node, nodes: dict[str, Node], o: ArrayOptions, problems: Problems) -> None:
    if o.fill == "integers":
        if "high" not in nodes:
            problems.add(node.place, f"the array `{name}` needs `high`: integers are drawn from low to high - 1")
            return
        for key, value in (("low", o.low), ("high", o.high)):
            if value != int(value) or abs(value) >= 2**62:
                problems.add(nodes[key].place, f"`{key}` of the integers in `{name}` must be an integer, got {value:g}")
                return
    if {"low", "high"} & set(FILLS[o.fill].options) and not o.low < o.high:
        end = "high" if "high" in nodes else "low"
        message = f"`high` must be greater than `low` in the array `{name}`, got low {o.low:g} and high {o.high:g}"
        problems.add(nodes[end].place if end in nodes else node.place, message)
    if o.fill == "probabilities" and not o.shape:
        problems.add(
            nodes["fill"].place, f"the array `{name}` needs an axis in `shape` along which probabilities add up"
        )


def _given(
    name: str, source: str, o: ArrayOptions, nodes: dict[str, Node], spec_path: str, problems: Problems
) -> Array | None:
    if source not in ("values", "file"):
        return None
    try:
        if source == "values":
            array = numbers(name, nodes["values"], problems)
            if array is None:
                return None
        else:
            array = load_array(spec_path, o.file, o.key if "key" in nodes else None)
        return _shaped(name, array, o, "shape" in nodes)
    except FileProblem as problem:
        problems.add(nodes[problem.option].place, str(problem))
    except ArrayProblem as problem:
        problems.add(nodes[source].place, str(problem))
    return None


def _shaped(name: str, array: Array, o: ArrayOptions, reshape: bool) -> Array:
    """Samples first; one column is one number a sample; each sample in the shape that was asked for."""
    if o.per_sample:
        if not array.ndim:
            raise ArrayProblem(f"the array `{name}` is a single number; expected a list with a number for each sample")
        if o.layout == "batch_last":
            array = np.moveaxis(array, -1, 0)
    if o.file.endswith(".csv") and array.shape[1] == 1:
        array = array[:, 0]
    if not array.size:
        raise ArrayProblem(f"the array `{name}` is empty: its shape is {array.shape}")
    if reshape:
        lead = array.shape[:1] if o.per_sample else ()
        if math.prod((*lead, *o.shape)) != array.size:
            each = " for each sample" if o.per_sample else ""
            count = counted(array.size // math.prod(lead), "number")
            raise ArrayProblem(f"the array `{name}` has {count}{each}, which cannot have the shape {o.shape}")
        array = array.reshape(*lead, *o.shape)
    return array
