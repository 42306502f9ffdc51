"""One operand of a layer, or of a term of the loss: what its backward says about it, and what its forward says.

With g the upstream gradient, a the analytic gradient of the operand, n the numeric one, e = a - n:

    n_k = Σₒ gₒ Jₒₖ        a_k = Σₒ gₒ Aₒₖ        o runs over the entries of all outputs, k over those of the operand
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.gradients._moves import copied_within
from gradcheck.gradients.numeric.local import Interval, Local, plain_vjp, vjp
from gradcheck.network import Node, Term

Array = NDArray[Any]
Upstream = tuple[Array, ...]
#: What a prediction may be off, in units of roundoff of the greatest entry; along differences that is their noise.
_ROUNDINGS = 2.0**10
_UNIT = float(np.finfo(np.float64).eps) / 2


class Sides(Struct, frozen=True, eq=False, dict=True):
    """A part, its arrays, an upstream gradient, and the operand that its backward has wrong.

    entries  flat indices of the operand's entries that are looked at; None for all
    smooth   whether it is known to have no kinks here
    given    the numeric gradient, where it is known already
    """

    alone: Alone
    part: Node | Term
    operand: str
    arrays: Mapping[str, Array]
    upstream: Upstream
    entries: Array | None = None
    smooth: bool = False
    given: Interval | None = None

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def is_loss(self) -> bool:
        """Whether it is a term of the loss."""
        return isinstance(self.part, Term)

    @property
    def unit(self) -> Any:
        """The layer or the loss itself."""
        return self.part.loss if isinstance(self.part, Term) else self.part.layer

    @cached_property
    def options(self) -> dict[str, Any]:
        """What the spec has given to it, by name."""
        unit = self.unit
        return {f.name: getattr(unit, f.name) for f in fields(unit)} if is_dataclass(unit) else {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the arrays that it takes by position."""
        return self.part.predictions if isinstance(self.part, Term) else self.part.inputs

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return () if isinstance(self.part, Term) else tuple(self.part.parameters.values())

    @property
    def data(self) -> tuple[str, ...]:
        """The names of its constants, or of a loss's target, weights and masks."""
        return tuple((self.part.data if isinstance(self.part, Term) else self.part.constants).values())

    @property
    def is_parameter(self) -> bool:
        """Whether the operand is a parameter."""
        return self.operand in self.parameters

    @property
    def what(self) -> str:
        """What its backward has wrong, in words."""
        is_handed_back = not (self.is_parameter or self.is_loss)
        return f"the gradient {'that it hands back to' if is_handed_back else 'of'} {self.operand}"

    @property
    def names(self) -> tuple[str, ...]:
        """All arrays that forward takes."""
        return tuple(dict.fromkeys((*self.inputs, *self.parameters, *self.data)))

    @property
    def real(self) -> tuple[str, ...]:
        """Of inputs and parameters those that are real numbers."""
        return tuple(n for n in dict.fromkeys((*self.inputs, *self.parameters)) if self.arrays[n].dtype.kind == "f")

    @property
    def array(self) -> Array:
        """The operand."""
        return self.arrays[self.operand]

    @property
    def samples(self) -> frozenset[str]:
        """The names of the arrays that have samples on axis 0."""
        return self.alone.stage.samples

    @property
    def per_sample(self) -> bool:
        """Whether the operand has samples on axis 0."""
        return self.operand in self.samples and not self.is_parameter

    def has_samples(self, name: str) -> bool:
        """Whether an array has samples on axis 0."""
        return name in self.samples and name not in self.parameters and self.arrays[name].ndim > 0

    @property
    def coupled(self) -> bool:
        """Whether one sample can change another's output."""
        return self.part.name in self.alone.stage.coupled or (isinstance(self.part, Term) and not self.part.elementwise)

    @property
    def count(self) -> int:
        """N."""
        return len(self.arrays[self.inputs[0]])

    # What both sides say ----------------------------------------------------------------------------------------------

    @cached_property
    def exact(self) -> dict[str, Array]:
        """The arrays in float64."""
        return {
            n: np.asarray(self.arrays[n], dtype=np.float64) if self.arrays[n].dtype.kind == "f" else self.arrays[n]
            for n in self.names
        }

    @cached_property
    def outputs(self) -> tuple[Array, ...]:
        """y, in float64."""
        return tuple(np.asarray(y, dtype=np.float64) for y in self.local.forward(self.exact))

    @cached_property
    def local(self) -> Local:
        """The numeric side."""
        return self.alone.local(self.part, self.exact, self.upstream)

    @cached_property
    def interval(self) -> Interval:
        """Where n lies."""
        if self.given is not None:
            return self.given
        if self.smooth and self.local.complex_safe:
            return plain_vjp(self.local, self.operand, self.entries)
        return vjp(self.local, self.operand, self.entries)

    @cached_property
    def n(self) -> Array:
        """The numeric gradient; 0 where it is not known."""
        return np.where(self.known, (self.interval.low + self.interval.high) / 2, 0.0)

    @cached_property
    def greatest(self) -> float:
        """The greatest |n|."""
        return float(np.max(np.abs(self.n), initial=0.0))

    @cached_property
    def known(self) -> Array:
        """Entries that were asked for and have a slope."""
        found = np.isfinite(self.interval.low) & np.isfinite(self.interval.high)
        if self.entries is not None:
            asked = np.zeros(found.size, dtype=bool)
            asked[self.entries] = True
            found &= asked.reshape(found.shape)
        return found

    @cached_property
    def clear(self) -> Array:
        """Entries where both sides are numbers, and that sit at no kink."""
        found: Array = self.known & ~self.interval.kink & np.isfinite(self.a)
        return found

    @cached_property
    def bar(self) -> Array:
        """By how much a and n may differ: what n may be off, and the rounding of a."""
        size = np.where(self.known, self.interval.size, 0.0)
        greatest = max(float(np.max(size, initial=0.0)), self.greatest)
        unit = max(self.alone.analytic.units.get(self.operand, _UNIT), _UNIT)
        return np.where(self.known, self.interval.bar, 0.0) + 64 * unit * size + _ROUNDINGS / 4 * unit * greatest

    @cached_property
    def a(self) -> Array:
        """The analytic gradient; NaN where backward gives none that can be used."""
        return self.gradients().get(self.operand, np.full(self.array.shape, np.nan))

    @property
    def e(self) -> Array:
        """a - n; 0 where it is not known."""
        return np.where(self.clear, self.a - self.n, 0.0)

    @cached_property
    def wrong(self) -> Array:
        """Entries that differ by more than the bar."""
        return np.asarray(self.clear & (np.abs(self.e) > self.bar))

    @cached_property
    def most_wrong(self) -> int | None:
        """The entry, in flat order, at which a and n differ most; None where they do not."""
        return int(np.argmax(np.where(self.wrong, np.abs(self.e), 0.0))) if self.wrong.any() else None

    def gradients(self, upstream: Upstream | None = None) -> dict[str, Array]:
        """What backward says about every operand, in float64; empty where it raises or returns what cannot be used."""
        found: dict[str, Array] = {}
        with suppress(Exception), np.errstate(all="ignore"):
            found = self._gradients(self.upstream if upstream is None else upstream)
        return found

    def _gradients(self, upstream: Upstream) -> dict[str, Array]:
        part = self.part
        y, cache = part.apply({name: np.array(self.arrays[name]) for name in self.names})
        outputs = y if isinstance(y, tuple) else (y,)
        given = tuple(np.array(dy, dtype=np.asarray(out).dtype)[()] for dy, out in zip(upstream, outputs, strict=True))
        dy = given if len(given) > 1 else given[0]
        named: list[tuple[str, Any]] = []
        if isinstance(part, Term):
            found = part.loss.backward(dy, copied_within(cache))
        else:
            found, of_parameters = part.backward(dy, copied_within(cache), self._frozen(part))
            named = [
                (key, part.turned(local, of_parameters[local]))
                for local, key in part.parameters.items()
                if local in of_parameters
            ]
        several = found if isinstance(found, tuple) else (found,)
        total: dict[str, Array] = {}
        for name, gradient in [*zip(self.inputs, several, strict=False), *named]:
            if gradient is not None and np.shape(gradient) == self.arrays[name].shape:
                total[name] = total.get(name, 0.0) + np.asarray(gradient, dtype=np.float64)
        return total

    def _frozen(self, node: Node) -> frozenset[str]:
        return frozenset(local for local, key in node.parameters.items() if key in self.alone.stage.point.frozen)
