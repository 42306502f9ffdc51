"""The Jacobians of one operand: J by differences of forward, A by basis upstream gradients of backward."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck._sides import Sides, Upstream
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for

Array = NDArray[Any]
#: Numbers in a Jacobian, its columns, and the greatest number of calls of a backward by basis vectors.
MOST, _COLUMNS, CALLS = 2**21, 2**12, 768


class Jacobians(Sides, frozen=True, eq=False, dict=True):
    """Both Jacobians of a layer, or of a term of the loss, by one of its operands."""

    @cached_property
    def columns(self) -> Array:
        """The operand's entries, in flat order, that the Jacobians have columns for."""
        everything = np.arange(self.array.size) if self.entries is None else self.entries
        return np.asarray(everything)

    @property
    def affordable(self) -> bool:
        """Whether the Jacobians are small enough to be had."""
        outputs = sum(dy.size for dy in self.upstream)
        return self.columns.size * outputs <= MOST and self.columns.size <= _COLUMNS

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
            if self.per_sample and self._side_by_side:
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

    @property
    def _side_by_side(self) -> bool:
        """Whether copies of the batch may ride in one batch."""
        return not self.coupled and all(dy.ndim and len(dy) == self.count for dy in self.upstream)

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
                    name: np.concatenate([self.exact[name]] * some.size) if self.has_samples(name) else self.exact[name]
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
        return np.arange(total) if total <= CALLS else np.sort(np.random.default_rng(total).permutation(total)[:CALLS])

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
