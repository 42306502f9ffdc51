"""The numbers are right, their order is not.

## What it is
a is n with its entries in another order: transposed, flipped, rolled, read row by row where it was written column by
column. Or it is the gradient that would be right if a weight, an input or the upstream gradient were transposed,
flipped or shifted: A = Jᵀ, a kernel that is not flipped, an index without its stride.

## Why it is bad
With square matrices and symmetric shapes nothing complains: every weight gets the gradient of another.

## Typical causes
`dy.T @ x` for `x.T @ dy`; `dy @ W` for `dy @ W.T` with a square W; a kernel without its flip; `reshape` for
`transpose`; a position without the factor of the stride; an index shifted by one.

## How to repair
Write the shapes under the formula, with letters instead of numbers; test with sizes that all differ.

## How to silence
`--ignore GC110`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._inside import Tried, predicted, transposed
from gradcheck.diagnosis._interpolation import matrices
from gradcheck.diagnosis._prediction import Prediction
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC110"
_LOOK = "a transpose, a flip, a reshape or an index in backward"
_MOST_AXES = 4
#: So many numbers that are the right ones in some order are no accident.
_MANY = 8
#: By rank, the axes that may be spatial.
_SPATIAL: dict[int, list[tuple[int, ...]]] = {2: [(1,)], 3: [(1,), (2,)], 4: [(2, 3)]}


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n in another order; n for an operand, an input or an upstream gradient in another order; Jᵀ."""
    what = f"{suspect.what}"
    for how, values in orders(suspect.n):
        yield Prediction(values, f"a = {how}(n)", f"{what} has the right numbers in another order: {how}", _LOOK)
    yield from _operands(suspect, what)
    yield from _jacobians(suspect.small, what)


def _operands(suspect: Suspect, what: str) -> Iterator[Prediction]:
    """The vector-Jacobian product for arrays that are turned."""
    for k, dy in enumerate(suspect.upstream):
        for how, turned in orders(dy, (1, -1)):
            if not np.isfinite(turned).all():
                continue
            given = tuple(turned if j == k else other for j, other in enumerate(suspect.upstream))
            values = suspect.numeric(upstream=given)
            yield Prediction(
                values, f"a = n({how}(g))", f"{what} is that of an upstream gradient in another order: {how}", _LOOK
            )
    for name in suspect.real:
        ways = [(how, x) for how, x in orders(suspect.exact[name], (1, -1)) if np.isfinite(x).all()]
        each = suspect.numeric_at_each(name, (x for _, x in ways))
        for (how, _), values in zip(ways, each, strict=True):
            yield Prediction(
                values,
                f"a = n({how}({name.rpartition('.')[2]}))",
                f"{what} is the one for {name} in another order: {how}",
                _LOOK,
            )


def _jacobians(suspect: Suspect, what: str) -> Iterator[Prediction]:
    """Jᵀ, sample by sample, and indices without their stride."""
    if not suspect.affordable or suspect.entries is not None or len(suspect.upstream) > 1:
        return
    J, g, x = suspect.jacobian, suspect.upstream[0], suspect.array
    if suspect.is_parameter and x.ndim >= 1 and g.ndim >= 2:
        yield from _weight_without_stride(suspect, what)
    if J.shape[0] == J.shape[1]:
        yield Prediction(
            (J @ suspect.flat_upstream).reshape(x.shape),
            "a = J g, not Jᵀ g",
            f"{what} is the upstream gradient times the Jacobian, not times its transpose",
            _LOOK,
            suspect,
        )
    if g.ndim == x.ndim and 2 <= x.ndim <= 4 and not suspect.is_parameter:
        yield from _without_stride(suspect, what)


def _without_stride(suspect: Suspect, what: str) -> Iterator[Prediction]:
    """Entries at place s i + u that are written at i + u, and the same for reading."""
    g, x = suspect.upstream[0], suspect.array
    spatial = _SPATIAL[x.ndim]
    products = suspect.jacobian * suspect.flat_upstream[:, None]
    o, e = np.nonzero(suspect.jacobian)
    at_o, at_e = np.array(np.unravel_index(o, g.shape)), np.array(np.unravel_index(e, x.shape))
    for axes in spatial:
        for d in (2, 3):
            apart = at_e - at_o
            near, even = at_e.copy(), np.ones(o.size, dtype=bool)
            for axis in axes:
                even &= apart[axis] % d == 0
                near[axis] = at_o[axis] + apart[axis] // d
            inside_ = np.all([(near[k] >= 0) & (near[k] < x.shape[k]) for k in range(x.ndim)], axis=0)
            values = np.zeros(x.shape)
            np.add.at(values, tuple(near[:, inside_]), products[o, e][inside_])
            if even.all():
                yield Prediction(
                    values,
                    f"a[i + u] += g[i] w[u], for a[i + {d} u]",
                    f"{what} is written to place i + u instead of i + {d} u: the dilation is missing",
                    _LOOK,
                    suspect,
                )
        for s in (2, 3):
            written, read = at_e.copy(), at_o.copy()
            for axis in axes:
                written[axis] -= (s - 1) * at_o[axis]
                read[axis] -= (s - 1) * at_e[axis]
            fits_in = np.all([(written[k] >= 0) & (written[k] < x.shape[k]) for k in range(x.ndim)], axis=0)
            values = np.zeros(x.shape)
            np.add.at(values, tuple(written[:, fits_in]), products[o, e][fits_in])
            yield Prediction(
                values,
                f"a[i + u] += g[i] w[u], for a[{s} i + u]",
                f"{what} is written to place i + u instead of {s} i + u: the stride is missing",
                _LOOK,
                suspect,
            )
            inside = np.all([(read[k] >= 0) & (read[k] < g.shape[k]) for k in range(g.ndim)], axis=0)
            values = np.zeros(x.shape)
            weights = suspect.jacobian[o, e][inside] * g[tuple(read[:, inside])]
            np.add.at(values, tuple(at_e[:, inside]), weights)
            yield Prediction(
                values,
                f"a[i] += g[i + u] w[u], for g[{s} i + u]",
                f"{what} reads the upstream gradient at place i + u instead of {s} i + u: the stride is missing",
                _LOOK,
                suspect,
            )


def _weight_without_stride(suspect: Suspect, what: str) -> Iterator[Prediction]:
    """Σ g[i + u] x[i] for the weight u of a transposed convolution, whose output is at s i + u."""
    g, w = suspect.upstream[0], suspect.array
    o, e = np.nonzero(suspect.jacobian)
    at_o, at_e = np.array(np.unravel_index(o, g.shape)), np.array(np.unravel_index(e, w.shape))
    for spatial in (1, 2):
        if w.ndim < spatial or g.ndim <= spatial:
            continue
        for s in (2, 3):
            read, even = at_o.copy(), np.ones(o.size, dtype=bool)
            for k in range(1, spatial + 1):
                beyond = at_o[-k] - at_e[-k]
                even &= (beyond % s == 0) & (beyond >= 0)
                read[-k] = at_e[-k] + beyond // s
            values = np.zeros(w.shape)
            weights = suspect.jacobian[o, e][even] * g[tuple(read[:, even])]
            np.add.at(values, tuple(at_e[:, even]), weights)
            yield Prediction(
                values,
                f"a[u] = Σ g[i + u] x[i], for g[{s} i + u]",
                f"{what} reads the upstream gradient at place i + u instead of {s} i + u: the stride is missing",
                _LOOK,
                suspect,
            )


def orders(array: Array, shifts: tuple[int, ...] = (1, -1, 2, -2)) -> Iterator[tuple[str, Array]]:
    """An array's numbers in other orders, of the same shape; those that change nothing are left out."""
    if array.ndim == 0 or array.size < 2:
        return
    seen = {_numbers(array)}
    for how, other in _orders(array, shifts):
        if other.shape == array.shape and (numbers := _numbers(other)) not in seen:
            seen.add(numbers)
            yield how, other


def _numbers(array: Array) -> bytes:
    """The same for arrays that are equal: -0 is 0."""
    return (array + 0.0).tobytes()


def _orders(array: Array, shifts: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    shape, ndim = array.shape, array.ndim
    if 2 <= ndim <= _MOST_AXES:
        for axes in permutations(range(ndim)):
            if axes != tuple(range(ndim)):
                turned = array.transpose(axes)
                yield f"transpose{axes}", turned
                if turned.shape != shape:
                    yield f"transpose{axes}, reshaped", turned.reshape(shape)
                    yield f"reshaped, transpose{axes}", array.reshape(turned.shape).transpose(np.argsort(axes))
    for count in range(1, ndim + 1):
        for some in combinations(range(ndim), count):
            yield f"flip{some if count > 1 else f'({some[0]})'}", np.flip(array, some)
    for axis in range(ndim):
        for shift in shifts:
            yield f"roll by {shift} along axis {axis}", np.roll(array, shift, axis)
            if abs(shift) < shape[axis]:
                yield f"shift by {shift} along axis {axis}, zeros behind", _shifted(array, shift, axis, 0.0)
                yield f"shift by {shift} along axis {axis}", _shifted(array, shift, axis, np.nan)
    if ndim in (1, 2):
        yield from _blocks(array)


def _blocks(array: Array) -> Iterator[tuple[str, Array]]:
    """Halves, thirds and quarters of the last axis in other orders: gates."""
    for count in (2, 3, 4):
        if array.shape[-1] % count == 0 and array.shape[-1] > count:
            blocks = np.split(array, count, axis=-1)
            for order in permutations(range(count)):
                if order != tuple(range(count)):
                    yield f"blocks {order} of the last axis", np.concatenate([blocks[k] for k in order], axis=-1)


def _shifted(array: Array, shift: int, axis: int, behind: float) -> Array:
    """The array moved along an axis, with something in the places that nothing was moved to."""
    found = np.roll(array.astype(np.float64), shift, axis)
    edge = [slice(None)] * array.ndim
    edge[axis] = slice(0, shift) if shift > 0 else slice(shift, None)
    found[tuple(edge)] = behind
    return found


def elsewhere(suspect: Suspect) -> Iterator[Prediction]:
    """An interpolation's gradient handed to other places of the input than forward has read: corners aligned or not."""
    g, x = suspect.upstream[0], suspect.array
    alike = len(suspect.upstream) == 1 and suspect.per_sample and g.ndim == x.ndim and 3 <= x.ndim <= 4
    if not alike or g.shape[:2] != x.shape[:2] or g.shape == x.shape:
        return
    ways = zip(*(matrices(o, i) for o, i in zip(g.shape[2:], x.shape[2:], strict=True)), strict=True)
    for way in ways:
        values = g
        for axis, (_, matrix) in enumerate(way, 2):
            values = np.moveaxis(np.moveaxis(values, axis, -1) @ matrix, -1, axis)
        name = way[0][0]
        yield Prediction(
            values,
            f"a = Aᵀ g, A of another interpolation ({name})",
            f"{suspect.what} is that of another interpolation than forward's: {name}",
            "the places of the input that an output is made of: they must be the same in both directions",
        )


def any_order(suspect: Suspect) -> Iterator[Prediction]:
    """n's numbers, all of them, in an order that has no name."""
    a, n = suspect.a[suspect.clear], suspect.n[suspect.clear]
    if not suspect.clear.all() or a.size < _MANY or np.unique(n).size < a.size // 2:
        return
    values = np.empty(a.size)
    values[np.argsort(a)] = np.sort(n)
    yield Prediction(
        values.reshape(suspect.a.shape),
        "sort(a) = sort(n)",
        f"{suspect.what} has the right numbers, all of them, in another order",
        _LOOK,
    )


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with the transpose of a square matrix in one product inside of forward."""
    yield from predicted(suspect, _transposes)


def _transposes(site: Site, seen: Seen) -> Iterator[Tried]:
    for operand in sorted(seen.moving) if seen.square else ():
        yield (
            transposed(site, operand),
            f"a = n, the other factor of `{site.short}` transposed",
            f"the product of {site.words} is differentiated with the transpose of the square matrix in it",
            _LOOK,
        )


ASKED = ((41, predict), (42, elsewhere), (103, any_order), (155, inside))
