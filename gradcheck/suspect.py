"""One layer, or one term of the loss, alone, and what it says elsewhere.

Everything that a hypothesis may trust is here: the numeric vector-Jacobian product with its bars, for these numbers or
for others (fewer samples or more, another upstream gradient, another input), and both Jacobians.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck._jacobians import CALLS, MOST, Jacobians
from gradcheck._sides import Upstream
from gradcheck.alone import Alone
from gradcheck.gradients.numeric.local import Interval, plain_vjp, vjp
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: Numbers that come out of a layer while the entries of one operand are asked for: beyond, only some entries are.
_AFFORDABLE = 2**20
#: So many entries, where not all of them are.
_ENTRIES = 256
#: Sizes that a layer is asked at again: any two products of them differ.
_PRIMES = (5, 7, 11, 3, 13, 17, 19, 23, 29)
#: So many entries are looked at where hundreds of numeric gradients are wanted.
_GLANCE = 64
#: Along a direction, how closely a numeric gradient that is worth a look meets the analytic one.
_PLAUSIBLE = 1e-4
#: Arrays that are asked for in one batch.
_TOGETHER = 16


class Suspect(Jacobians, frozen=True, eq=False, dict=True):
    """A part, its arrays, an upstream gradient, and the operand that its backward has wrong."""

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

    @property
    def _few(self) -> Array | None:
        """The entries that are looked at where a layer is asked again with other data."""
        return self.entries if self.array.size <= 2 * _ENTRIES else self.glanced

    def glance(self) -> Suspect:
        """The same, with a few of its entries."""
        known = np.arange(self.array.size) if self.entries is None else self.entries
        order = np.random.default_rng(known.size).permutation(known.size)[:_GLANCE]
        return self if known.size <= _GLANCE else replace(self, entries=np.sort(known[order]), given=None)

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
        if operand != self.operand and upstream is None and not arrays:
            return self._of(operand)
        if only_plausible and operand == self.operand:
            tangents = self._tangents_at(arrays) if arrays else self.tangents
            if not self._plausible(tangents, upstream):
                return np.full(self.array.shape, np.nan)
        return self._asked_for(
            operand, {**self.exact, **(arrays or {})}, self.upstream if upstream is None else upstream
        )

    def _of(self, operand: str) -> Array:
        """n of another operand: several hypotheses ask for it."""
        if operand not in self._others:
            self._others[operand] = self._asked_for(operand, self.exact, self.upstream)
        return self._others[operand]

    @cached_property
    def _others(self) -> dict[str, Array]:
        return {}

    def _asked_for(self, operand: str, at: Mapping[str, Array], upstream: Upstream) -> Array:
        local = self.alone.local(self.part, at, upstream)
        alike = self.arrays[operand].shape == self.array.shape
        entries = self.glanced if alike else None
        with np.errstate(all="ignore"):
            found = (plain_vjp if local.complex_safe else vjp)(local, operand, entries)
        middle = (found.low + found.high) / 2
        return np.where(np.isfinite(found.low) & np.isfinite(found.high), middle, np.nan)

    def numeric_at_each(self, name: str, others: Iterable[Array]) -> Iterator[Array]:
        """n at each of several arrays in place of one, as `numeric` has it one by one."""
        rest = iter(others)
        while some := list(islice(rest, _TOGETHER)):
            for other, tangents in zip(some, self._tangents_at_each(name, some), strict=True):
                if tangents is None:
                    yield self.numeric(arrays={name: other})
                elif self._plausible(tangents):
                    yield self._asked_for(self.operand, {**self.exact, name: other}, self.upstream)
                else:
                    yield np.full(self.array.shape, np.nan)

    def _plausible(self, tangents: Sequence[Array], upstream: Upstream | None = None) -> bool:
        """Whether n there may be a, or a multiple of it: along two directions, Σ a v is one multiple of Σ g J v."""
        flat = self.flat_upstream if upstream is None else np.concatenate([np.ravel(dy) for dy in upstream])
        numeric, analytic = [float(flat @ tangent) for tangent in tangents], self._slopes
        if not all(map(math.isfinite, numeric)):
            return False
        cross = analytic[0] * numeric[1] - analytic[1] * numeric[0]
        size = math.hypot(*analytic) * math.hypot(*numeric)
        return bool(size > 0 and abs(cross) <= _PLAUSIBLE * size)

    @cached_property
    def directions(self) -> tuple[Array, Array]:
        """Two directions of the operand: random where it is clear, 0 elsewhere."""
        rng = np.random.default_rng(self.array.size)
        clear = (np.isfinite(self.a) & self._asked).reshape(-1)
        return np.where(clear, rng.standard_normal(clear.size), 0.0), np.where(
            clear, rng.standard_normal(clear.size), 0.0
        )

    @cached_property
    def _slopes(self) -> list[float]:
        """Σ a v along them."""
        a = np.where(self._asked & np.isfinite(self.a), self.a, 0.0).reshape(-1)
        return [float(a @ v) for v in self.directions]

    @cached_property
    def _asked(self) -> Array:
        """Entries that are no kinks, as far as they were looked at."""
        if self.entries is None:
            return self.clear
        return np.asarray(~(self.known & self.interval.kink))

    @cached_property
    def tangents(self) -> list[Array]:
        """J v along them."""
        return self._tangents_at({})

    def _tangents_at(self, arrays: Mapping[str, Array]) -> list[Array]:
        """J v along the two directions, at other arrays."""
        at = {**self.exact, **arrays}
        array = at[self.operand]
        h = step_for(SCHEMES["complex" if self.local.complex_safe else "central"], array)
        found = []
        for v in self.directions:
            move = v.reshape(array.shape) * h
            if self.local.complex_safe:
                outputs = [y.imag / h for y in self.local.forward({**at, self.operand: array + 1j * move})]
            else:
                pair = [self.local.forward({**at, self.operand: array + sign * move}) for sign in (1, -1)]
                outputs = [(np.asarray(up) - down) / (2 * h) for up, down in zip(*pair, strict=True)]
            found.append(np.concatenate([np.ravel(y) for y in outputs]))
        return found

    def _tangents_at_each(self, name: str, others: Sequence[Array]) -> Sequence[Sequence[Array] | None]:
        """The same at each of several arrays with samples: copies in one batch. None for all where they may not be."""
        count, array = len(others), self.exact[self.operand]
        small = count * max(array.size, self.flat_upstream.size) <= _AFFORDABLE // 16
        found: list[Array] = []
        if small and self.has_samples(name) and self.local.complex_safe and self._side_by_side:
            at = {n: np.concatenate([x] * count) if self.has_samples(n) else x for n, x in self.exact.items()}
            at[name] = np.concatenate(others)
            h = step_for(SCHEMES["complex"], array)
            with suppress(Exception):
                for v in self.directions:
                    one = v.reshape(array.shape)
                    moves = np.concatenate([one] * count) if self.per_sample else one
                    outputs = self.local.forward({**at, self.operand: at[self.operand] + 1j * h * moves})
                    found.append(np.concatenate([np.asarray(y).imag.reshape(count, -1) / h for y in outputs], axis=1))
        return list(zip(*found, strict=True)) if len(found) == len(self.directions) else [None] * count

    # The same part elsewhere ------------------------------------------------------------------------------------------

    def take(self, samples: Sequence[int]) -> Suspect:
        """The part with some of its samples, or with some of them twice."""
        chosen = np.asarray(samples)
        arrays = {
            name: self.arrays[name][chosen] if self.has_samples(name) else self.arrays[name] for name in self.names
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

    def larger(self) -> Suspect:
        """The part with its first sample once more at the end: N + 1."""
        return self.take([*range(self.count), 0])

    def drawn(self, seed: int) -> Suspect:
        """The part at other data: its real inputs in another order of samples, a random upstream gradient."""
        rng = np.random.default_rng([seed, self.count])
        order = np.roll(np.arange(self.count), 1 + seed % max(self.count - 1, 1))
        arrays = {
            name: self.arrays[name][order]
            if name in self.inputs and self.arrays[name].dtype.kind == "f" and self.has_samples(name)
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

    @cached_property
    def resized(self) -> Suspect | None:
        """The layer at other sizes: N and all axes behind it distinct primes, all numbers drawn. None where it refuses.

        Axes that are equal stay equal only where the layer insists: first each axis of the input is another prime, then
        the last one alone.
        """
        if isinstance(self.part, Term) or any(self.arrays[name].dtype.kind != "f" for name in self.inputs):
            return None
        shapes = {self.arrays[name].shape for name in self.inputs}
        if len(shapes) > 1 or self.array.ndim == 0:
            return None
        (shape,) = shapes
        for axes in dict.fromkeys((tuple(range(1, len(shape))), (len(shape) - 1,))):
            primes = iter(p for p in _PRIMES if p not in shape)
            sizes = [next(primes), *(next(primes) if k in axes else size for k, size in enumerate(shape[1:], 1))]
            with suppress(Exception):
                return self._at(self.part, tuple(sizes))
        return None

    def _at(self, node: Node, shape: tuple[int, ...]) -> Suspect:
        """The layer at inputs of a shape. Raises whatever the layer raises there."""
        rng = np.random.default_rng(shape)
        shapes = [shape] * len(node.inputs)
        drawn = node.layer.init(rng, *shapes)
        arrays = {name: rng.standard_normal(shape) for name in self.inputs}
        for local, key in node.parameters.items():
            noise = 0.25 * rng.standard_normal(np.shape(drawn[local]))
            arrays[key] = node.turned(local, np.asarray(drawn[local], dtype=np.float64) + noise)
        constants = node.layer.constants(rng, *shapes)
        arrays |= {key: np.asarray(constants[local]) for local, key in node.constants.items()}
        there = replace(node, shapes=())
        outputs = there.apply(arrays)[0]
        upstream = tuple(rng.standard_normal(np.shape(y)) for y in outputs)
        if not all(np.isfinite(y).all() for y in outputs):
            raise ValueError("the layer has no finite output here")
        if arrays[self.operand].size * sum(y.size for y in outputs) > _AFFORDABLE:
            raise ValueError("the layer is too large here")
        return replace(self, part=there, arrays=arrays, upstream=upstream, entries=None, given=None, smooth=True)

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
        return self.array.size * outputs <= MOST // 4 and outputs <= CALLS

    def _some(self) -> Array:
        return np.sort(np.random.default_rng(self.array.size).permutation(self.array.size)[: _ENTRIES * 4])


def _ends(factor: float, interval: Interval) -> tuple[Array, Array]:
    """The ends of a multiple of an interval, the lower one first."""
    ends = factor * interval.low, factor * interval.high
    return ends if factor >= 0 else (ends[1], ends[0])
