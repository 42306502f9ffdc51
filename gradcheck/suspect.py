"""One layer, or one term of the loss, alone: what its backward says about one operand, and what its forward says.

Everything that a hypothesis may trust is here: the numeric vector-Jacobian product with its bars, for these numbers or
for others (fewer samples or more, another upstream gradient, another input), and both Jacobians. With g the upstream
gradient, a the analytic gradient of the operand, n the numeric one, e = a - n:

    n_k = Σₒ gₒ Jₒₖ        a_k = Σₒ gₒ Aₒₖ        o runs over the entries of all outputs, k over those of the operand
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.alone import Alone
from gradcheck.gradients._moves import copied_within
from gradcheck.gradients.numeric.local import Interval, Local, plain_vjp, vjp
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for
from gradcheck.network import Node, Term

Array = NDArray[Any]
Upstream = tuple[Array, ...]
#: Numbers that come out of a layer while the entries of one operand are asked for: beyond, only some entries are.
_AFFORDABLE = 2**20
#: So many entries, where not all of them are, and the greatest number of calls of a backward by basis vectors.
_ENTRIES, _CALLS = 256, 768
#: So many entries are looked at where hundreds of numeric gradients are wanted.
_GLANCE = 64
#: Along a direction, how closely a numeric gradient that is worth a look meets the analytic one.
_PLAUSIBLE = 1e-4
#: Numbers in a Jacobian.
_JACOBIAN = 2**21
#: What a prediction may be off, in units of roundoff of the greatest entry; along differences that is their noise.
_ROUNDINGS = 2.0**10
_UNIT = float(np.finfo(np.float64).eps) / 2


@dataclass(frozen=True, eq=False)
class Suspect:
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

    @staticmethod
    def of(alone: Alone, part: Node | Term, operand: str, upstream: Upstream | None = None) -> Suspect:
        """The part as it stands in the network, some of its entries where it is large."""
        judged = alone.judged(part, operand)
        given = judged.interval if judged is not None and upstream is None else None
        smooth = judged is not None and not judged.interval.kink.any() and not judged.tied
        upstream = alone.upstream(part) if upstream is None else upstream
        found = Suspect(alone, part, operand, alone.analytic.trace.arrays, upstream, smooth=smooth, given=given)
        size, outputs = found.array.size, sum(dy.size for dy in upstream)
        if given is not None or size * outputs <= _AFFORDABLE:
            return found
        some = np.random.default_rng(size).permutation(size)[:_ENTRIES]
        return replace(found, entries=np.sort(some))

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
        greatest = max(float(np.max(size, initial=0.0)), float(np.max(np.abs(self.n), initial=0.0)))
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

    @property
    def _few(self) -> Array | None:
        """The entries that are looked at where a layer is asked again with other data."""
        return self.entries if self.array.size <= 2 * _ENTRIES else self.glanced

    def glance(self) -> Suspect:
        """The same, with a few of its entries."""
        known = np.arange(self.array.size) if self.entries is None else self.entries
        order = np.random.default_rng(known.size).permutation(known.size)[:_GLANCE]
        return self if known.size <= _GLANCE else replace(self, entries=np.sort(known[order]), given=None)

    def _frozen(self, node: Node) -> frozenset[str]:
        return frozenset(local for local, key in node.parameters.items() if key in self.alone.stage.point.frozen)

    @cached_property
    def glanced(self) -> Array | None:
        """The entries that are looked at where a layer is asked for many numeric gradients: wrong ones first."""
        known = np.arange(self.array.size) if self.entries is None else self.entries
        if known.size <= _GLANCE:
            return self.entries
        wrong = self.wrong.reshape(-1)[known]
        order = np.random.default_rng(known.size).permutation(known.size)
        order = order[np.argsort(~wrong[order], kind="stable")]
        half = order[: _GLANCE // 2]
        return np.sort(
            known[np.concatenate([half, order[_GLANCE // 2 :: max(1, (order.size - half.size) // half.size)]])]
        )

    def numeric(
        self, upstream: Upstream | None = None, operand: str | None = None,
        arrays: Mapping[str, Array] | None = None, only_plausible: bool = True,
    ) -> Array:  # fmt: skip
        """n of some entries of an operand, with another upstream gradient or at other arrays; NaN where it is not "
        "known."""
        operand = operand or self.operand
        if only_plausible and operand == self.operand and not self._plausible(upstream, arrays or {}):
            return np.full(self.array.shape, np.nan)
        at = {**self.exact, **(arrays or {})}
        local = self.alone.local(self.part, at, self.upstream if upstream is None else upstream)
        alike = self.arrays[operand].shape == self.array.shape
        entries = self.glanced if alike else None
        with np.errstate(all="ignore"):
            found = vjp(local, operand, entries)
        middle = (found.low + found.high) / 2
        return np.where(np.isfinite(found.low) & np.isfinite(found.high), middle, np.nan)

    def _plausible(self, upstream: Upstream | None, arrays: Mapping[str, Array]) -> bool:
        """Whether n there may be a, or a multiple of it: along two directions, Σ a v is one multiple of Σ g J v."""
        tangents = self._tangents if not arrays else self._tangents_at(arrays)
        flat = self.flat_upstream if upstream is None else np.concatenate([np.ravel(dy) for dy in upstream])
        a = np.where(self._asked & np.isfinite(self.a), self.a, 0.0).reshape(-1)
        numeric = [float(flat @ tangent) for tangent in tangents]
        analytic = [float(a @ v) for v in self._directions]
        if not np.isfinite(numeric).all():
            return False
        cross = analytic[0] * numeric[1] - analytic[1] * numeric[0]
        size = math.hypot(*analytic) * math.hypot(*numeric)
        return bool(size > 0 and abs(cross) <= _PLAUSIBLE * size)

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Two directions of the operand: random where it is clear, 0 elsewhere."""
        rng = np.random.default_rng(self.array.size)
        clear = (np.isfinite(self.a) & self._asked).reshape(-1)
        return np.where(clear, rng.standard_normal(clear.size), 0.0), np.where(
            clear, rng.standard_normal(clear.size), 0.0
        )

    @cached_property
    def _asked(self) -> Array:
        """Entries that are no kinks, as far as they were looked at."""
        if self.entries is None:
            return self.clear
        return np.asarray(~(self.known & self.interval.kink))

    @cached_property
    def _tangents(self) -> list[Array]:
        return self._tangents_at({})

    def _tangents_at(self, arrays: Mapping[str, Array]) -> list[Array]:
        """J v along the two directions, at other arrays."""
        at = {**self.exact, **arrays}
        array = at[self.operand]
        h = step_for(SCHEMES["complex" if self.local.complex_safe else "central"], array)
        found = []
        for v in self._directions:
            move = v.reshape(array.shape) * h
            if self.local.complex_safe:
                outputs = [y.imag / h for y in self.local.forward({**at, self.operand: array + 1j * move})]
            else:
                pair = [self.local.forward({**at, self.operand: array + sign * move}) for sign in (1, -1)]
                outputs = [(np.asarray(up) - down) / (2 * h) for up, down in zip(*pair, strict=True)]
            found.append(np.concatenate([np.ravel(y) for y in outputs]))
        return found

    # The same part elsewhere ------------------------------------------------------------------------------------------

    def take(self, samples: Sequence[int]) -> Suspect:
        """The part with some of its samples, or with some of them twice."""
        chosen = np.asarray(samples)
        arrays = {
            name: self.arrays[name][chosen] if self._has_samples(name) else self.arrays[name] for name in self.names
        }
        upstream = tuple(dy[chosen] if dy.ndim and len(dy) == self.count else dy for dy in self.upstream)
        if isinstance(self.part, Term):
            upstream = self._of_term(self.part, arrays)
        entries = self._few
        if self.per_sample:
            features = self.array.size // self.count
            entries = None if entries is None else self._of_features(np.unique(entries % features), len(chosen))
        return replace(self, arrays=arrays, upstream=upstream, entries=entries, given=None)

    def _of_features(self, features: Array, count: int) -> Array:
        """Flat indices of some features in that many samples."""
        every = self.array.size // self.count
        return np.sort((features + every * np.arange(count)[:, None]).ravel())

    def _of_term(self, term: Term, arrays: Mapping[str, Array]) -> Upstream:
        """The upstream gradient of a term for other data: its weight, divided as its reduction says."""
        if not term.elementwise:
            return self.upstream
        losses = np.asarray(term.apply(arrays)[0])
        if term.reduction == "none":
            return (np.random.default_rng(losses.size).standard_normal(losses.shape) * term.weight,)
        return (np.full(losses.shape, term.weight / (term.divisor(term.reduction, arrays, losses.shape) or 1.0)),)

    def _has_samples(self, name: str) -> bool:
        return name in self.samples and name not in self.parameters and self.arrays[name].ndim > 0

    def larger(self) -> Suspect:
        """The part with its first sample once more at the end: N + 1."""
        return self.take([*range(self.count), 0])

    def drawn(self, seed: int) -> Suspect:
        """The part at other data: its real inputs in another order of samples, a random upstream gradient."""
        rng = np.random.default_rng([seed, self.count])
        order = np.roll(np.arange(self.count), 1 + seed % max(self.count - 1, 1))
        arrays = {
            name: self.arrays[name][order]
            if name in self.inputs and self.arrays[name].dtype.kind == "f" and self._has_samples(name)
            else self.arrays[name]
            for name in self.names
        }
        if isinstance(self.part, Term) and not self.part.elementwise:
            upstream = tuple(np.asarray(dy * rng.uniform(0.5, 2.0)) for dy in self.upstream)
        else:
            upstream = tuple(
                rng.standard_normal(dy.shape) * float(np.sqrt(np.mean(np.square(dy))) or 1.0) for dy in self.upstream
            )
        return replace(self, arrays=arrays, upstream=upstream, entries=self._few, given=None)

    def scaled(self, factor: float) -> Suspect:
        """The part under a multiple of its upstream gradient."""
        known = self.interval
        low, high = _ends(factor, known)
        size = abs(factor)
        given = Interval(low, high, size * known.bar, size * known.size, known.kink)
        return replace(self, upstream=tuple(factor * dy for dy in self.upstream), given=given)

    @cached_property
    def small(self) -> Suspect:
        """The part with a few samples, so that its Jacobians can be afforded; itself where that shows no mistake."""
        most = 3 if self.coupled or self.array.size * sum(y.size for y in self.outputs) > 2**15 else 4
        if self.count <= most or (not self.per_sample and self.entries is None and self._cheap):
            return self
        rows = self.wrong.reshape(self.count, -1).any(axis=1) if self.per_sample else np.ones(self.count, dtype=bool)
        chosen = [*np.flatnonzero(rows), *np.flatnonzero(~rows)][:most]
        found = replace(self.take(sorted(int(i) for i in chosen)), entries=None)
        if found.array.size > _ENTRIES * 4:
            found = replace(found, entries=found._some())
        return found if found.wrong.any() else self

    @property
    def _cheap(self) -> bool:
        outputs = sum(dy.size for dy in self.upstream)
        return self.array.size * outputs <= _JACOBIAN // 4 and outputs <= _CALLS

    def _some(self) -> Array:
        return np.sort(np.random.default_rng(self.array.size).permutation(self.array.size)[: _ENTRIES * 4])

    # Jacobians --------------------------------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> Array:
        """The operand's entries, in flat order, that the Jacobians have columns for."""
        everything = np.arange(self.array.size) if self.entries is None else self.entries
        return np.asarray(everything)

    @property
    def affordable(self) -> bool:
        """Whether the Jacobians are small enough to be had."""
        outputs = sum(dy.size for dy in self.upstream)
        return self.columns.size * outputs <= _JACOBIAN and self.columns.size <= 4 * _ENTRIES * 4

    @cached_property
    def jacobian(self) -> Array:
        """J: a row for each entry of all outputs, a column for each of `columns`. 0 where it is rounding."""
        local, array = self.local, self.exact[self.operand]
        base = self.exact
        is_complex = local.complex_safe
        h = step_for(SCHEMES["complex" if is_complex else "central"], array)

        def at(entry: int, step: complex) -> Array:
            moved = array.astype(np.result_type(array, type(step)))
            moved.reshape(-1)[entry] += step
            return np.concatenate([np.ravel(y) for y in local.forward({**base, self.operand: moved})])

        with np.errstate(all="ignore"):
            if self.per_sample and not self.coupled and all(dy.ndim and len(dy) == self.count for dy in self.upstream):
                found = self._stacked(h, is_complex)
            else:
                found = np.zeros((self.flat_upstream.size, self.columns.size))
                for k, entry in enumerate(self.columns):
                    if is_complex:
                        found[:, k] = at(int(entry), 1j * h).imag / h
                    else:
                        found[:, k] = (at(int(entry), h) - at(int(entry), -h)) / (2 * h)
        found = np.nan_to_num(found)
        least = (2.0**-44 if is_complex else 2.0**-24) * float(np.max(np.abs(found), initial=0.0))
        return np.where(np.abs(found) <= least, 0.0, found)

    def _stacked(self, h: float, is_complex: bool) -> Array:
        """J of a layer that treats each sample by itself: copies of the batch in which one place of every sample "
        "moves."""
        array, n, features = self.exact[self.operand], self.count, self.array.size // self.count
        places = np.unique(self.columns % features)
        by_place: dict[int, list[Array]] = {}
        chunk = max(1, 2**18 // max(self.flat_upstream.size, array.size))
        for start in range(0, places.size, chunk):
            some = places[start : start + chunk]

            def outputs(step: complex, some: Array = some) -> list[Array]:
                moved = np.repeat(
                    array.astype(np.result_type(array, type(step))).reshape(1, n, features), some.size, axis=0
                )
                moved[np.arange(some.size), :, some] += step
                arrays = {
                    name: np.concatenate([self.exact[name]] * some.size)
                    if self._has_samples(name)
                    else self.exact[name]
                    for name in self.names
                }
                arrays[self.operand] = moved.reshape(some.size * n, *array.shape[1:])
                return [np.asarray(y).reshape(some.size, n, -1) for y in self.local.forward(arrays)]

            if is_complex:
                slopes = [y.imag / h for y in outputs(1j * h)]
            else:
                slopes = [(up - down) / (2 * h) for up, down in zip(outputs(h), outputs(-h), strict=True)]
            for k, place in enumerate(some):
                by_place[int(place)] = [slope[k] for slope in slopes]
        found = np.zeros((self.flat_upstream.size, self.columns.size))
        starts = np.cumsum([0, *(dy.size for dy in self.upstream)])
        for k, entry in enumerate(self.columns):
            sample, place = divmod(int(entry), features)
            for start, slope in zip(starts, by_place[place], strict=False):
                width = slope.shape[1]
                found[start + sample * width : start + (sample + 1) * width, k] = slope[sample]
        return found

    @cached_property
    def flat_upstream(self) -> Array:
        """g, a number for each row of the Jacobians."""
        return np.concatenate([np.ravel(dy) for dy in self.upstream])

    @cached_property
    def rows(self) -> Array:
        """The outputs that the analytic Jacobian has rows for: all, or some."""
        total = self.flat_upstream.size
        return (
            np.arange(total) if total <= _CALLS else np.sort(np.random.default_rng(total).permutation(total)[:_CALLS])
        )

    @cached_property
    def analytic_jacobian(self) -> Array | None:
        """A, by basis upstream gradients: a row for each of `rows`; None where backward is not linear, or refuses."""
        size = float(np.max(np.abs(self.flat_upstream), initial=0.0)) or 1.0
        found = np.zeros((self.rows.size, self.columns.size))
        for k, row in enumerate(self.rows):
            basis = np.zeros(self.flat_upstream.size)
            basis[row] = size
            gradient = self.gradients(self.shaped(basis)).get(self.operand)
            if gradient is None:
                return None
            found[k] = gradient.reshape(-1)[self.columns] / size
        return found if self._adds_up(found) else None

    def _adds_up(self, found: Array) -> bool:
        """Whether A, as far as it is known, gives a: of a backward that is not linear it does not."""
        some = np.zeros(self.flat_upstream.size)
        some[self.rows] = self.flat_upstream[self.rows]
        gradient = self.gradients(self.shaped(some)).get(self.operand)
        if gradient is None:
            return False
        a = gradient.reshape(-1)[self.columns]
        greatest = float(np.max(np.abs(a), initial=0.0))
        return bool(np.all(np.abs(some[self.rows] @ found - a) <= 1e-9 * greatest + 4 * np.max(self.bar, initial=0.0)))

    def shaped(self, flat: Array) -> Upstream:
        """A number for each row of the Jacobians, in the shapes of the outputs."""
        ends = np.cumsum([dy.size for dy in self.upstream])[:-1]
        return tuple(p.reshape(dy.shape) for p, dy in zip(np.split(flat, ends), self.upstream, strict=True))

    def unflat(self, values: Array) -> Array:
        """Values for `columns` in the operand's shape; NaN elsewhere."""
        found = np.full(self.array.size, np.nan)
        found[self.columns] = values
        return found.reshape(self.array.shape)

    @property
    def resolution(self) -> float:
        """What a prediction that is made of differences may be off, relative to the greatest entry."""
        return 2.0**-40 if self.local.complex_safe else 2.0**-20


def _ends(factor: float, interval: Interval) -> tuple[Array, Array]:
    """The ends of a multiple of an interval, the lower one first."""
    ends = factor * interval.low, factor * interval.high
    return ends if factor >= 0 else (ends[1], ends[0])
