"""One layer alone: what its vector-Jacobian product is for a given upstream gradient, from its forward alone.

    v_e = Σₒ dyₒ ∂yₒ/∂e        for an entry e of one of its inputs or parameters, over all outputs o

Where output o has a kink at the point, ∂yₒ/∂e is any slope between its one-sided slopes [loₒ, hiₒ] along e, so v_e
lies in Σₒ dyₒ [loₒ, hiₒ]. Each output by itself: the one-sided slopes of a loss say nothing about a correct backward
(relu(t) - relu(-t) has both slopes 1, and every correct backward with relu'(0) = 0 says 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial
from typing import Any

import msgspec.structs
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric._piecewise import UNKNOWN, Shorter, piecewise, smooth_part
from gradcheck.gradients.numeric._ties import untied
from gradcheck.gradients.numeric.entries import Moves
from gradcheck.gradients.numeric.ladder import RATIO, ladder_steps
from gradcheck.gradients.numeric.noise import measured_noise
from gradcheck.gradients.numeric.schemes import SCHEMES, step_for
from gradcheck.gradients.numeric.sweep import CHUNK

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Numbers that come out of the copies that are asked in a wider precision, for one vector-Jacobian product.
_WIDE = 2**18
#: At points beside, steps are so many times shorter; slopes that differ by less than this part of them are the same.
_BESIDE, _TOLD = 64, 1e-2


class Local(Struct, frozen=True, dict=True):
    """A layer, or a term of the loss, cut out of its network.

    forward      arrays by name -> outputs
    branches     arrays by name -> the pieces that its units are on; None where it has no kinks, or does not say
    names        what forward takes
    arrays       their values
    upstream     dy, one array per output
    samples      the names that have samples on axis 0
    coupled      whether one sample can change another
    complex_safe whether its complex step is its derivative
    smooth       whether it is known to have no kinks
    """

    forward: Callable[[Mapping[str, Array]], Sequence[Array]]
    branches: Callable[[Mapping[str, Array]], Array | None]
    names: tuple[str, ...]
    arrays: Mapping[str, Array]
    upstream: tuple[Array, ...]
    samples: frozenset[str]
    coupled: bool
    complex_safe: bool
    smooth: bool

    @cached_property
    def noise(self) -> list[Array]:
        """Standard deviation of each output's rounding error."""
        return [measured_noise(partial(self._along, k)) for k in range(len(self.upstream))]

    def _along(self, output: int, factor: float) -> Array:
        moving = {name: factor * self.arrays[name] for name in self.names if self.arrays[name].dtype.kind == "f"}
        return np.asarray(self.forward({**self.arrays, **moving})[output])


class Interval(Struct, frozen=True):
    """Where the vector-Jacobian product lies: between low - bar and high + bar. All arrays have the operand's shape.

    size  Σₒ |dyₒ ∂yₒ/∂e|: what rounding errors are proportional to
    kink  whether an output has a kink along the entry
    """

    low: Array
    high: Array
    bar: Array
    size: Array
    kink: Array

    def contains(self, value: Array, rounding: Array | float = 0.0) -> Array:
        """Whether each value lies inside, give or take the bar and some rounding of its own."""
        bar = self.bar + rounding
        return np.asarray((value >= self.low - bar) & (value <= self.high + bar))


def vjp(local: Local, operand: str, entries: Array | None = None, ties: bool = False) -> Interval:
    """The interval for every entry of the operand, or for some (flat indices; elsewhere it is all of ℝ).

    ties  whether the slopes that outputs have at points beside, where ties are broken, count as well
    """
    array = local.arrays[operand]
    beside = list(untied(array, operand in local.samples)) if ties else []
    cancelled = _greatest_cancelled(local, _moving(local, operand, entries))
    return _everywhere(local, operand, entries, partial(_slopes, beside=beside, cancelled=cancelled))


def plain_vjp(local: Local, operand: str, entries: Array | None = None) -> Interval:
    """The vector-Jacobian product by a complex step alone, of a layer whose complex step is its derivative.

    At a kink it is the slope of the piece that the layer's forward is on, and nothing is said about the kink.
    """
    return _everywhere(local, operand, entries, _complex_slopes)


def _everywhere(
    local: Local, operand: str, entries: Array | None, slopes: Callable[..., Mapping[str, Array]]
) -> Interval:
    """The interval from what is known of each copy and sample, chunk by chunk."""
    array, moving = local.arrays[operand], _moving(local, operand, entries)
    flat = {key: np.full(array.size, fill) for key, fill in UNKNOWN.items()}
    for moves in moving.chunks(max(1, CHUNK // max(array.size, *(dy.size for dy in local.upstream)))):
        where = moves.units() if moving.fused else moves.entries
        for key, values in slopes(local, moves, partial(_applied, moves, array)).items():
            flat[key][where] = values if moving.fused else values.sum(axis=1)
    return _interval({key: values.reshape(array.shape) for key, values in flat.items()})


def _moving(local: Local, operand: str, entries: Array | None) -> Moves:
    """Which copies answer for some entries of an operand: of one that has samples of its own, one for each feature."""
    array = local.arrays[operand]
    fused = operand in local.samples and not local.coupled
    wanted = np.arange(array.size) if entries is None else np.asarray(entries)
    return Moves(operand, np.unique(wanted % int(np.prod(array.shape[1:]))) if fused else wanted, array.shape, fused)


def _complex_slopes(local: Local, moves: Moves, moved: Callable[[complex], Array]) -> dict[str, Array]:
    """Those of a complex step alone."""
    h = step_for(SCHEMES["complex"], local.arrays[moves.name])
    slopes = [y.imag / h for y in _outputs(local, _copies(local, moves), {moves.name: moved(1j * h)})]
    return _summed(
        [smooth_part(dy, slope, 8 * _UNIT * np.abs(slope)) for dy, slope in zip(local.upstream, slopes, strict=True)]
    )


def _copies(local: Local, moves: Moves) -> Copies:
    return Copies(local.arrays, local.samples, len(local.upstream[0]) if local.upstream[0].ndim else 1, len(moves))


def _applied(moves: Moves, array: Array, step: complex) -> Array:
    return moves.applied(array, np.full(len(moves), step))


def _interval(found: Mapping[str, Array]) -> Interval:
    return Interval(found["low"], found["high"], found["bar"], found["size"], found["kink"] > 0)


def _slopes(
    local: Local, moves: Moves, moved: Callable[[complex], Array], beside: Sequence[Array] = (),
    cancelled: Sequence[float] | None = None,
) -> dict[str, Array]:  # fmt: skip
    """Low, high, bar, size and kink of each copy and sample: (K, N).

    beside     directions of points whose slopes count as well
    cancelled  what cancels at most, where it was measured for all copies together
    """
    copies = _copies(local, moves)

    def at(step: complex, move: Array | float = 0.0) -> list[Array]:
        return _outputs(local, copies, {moves.name: moved(step) + move})

    base = [np.asarray(y)[None] for y in local.forward({name: local.arrays[name] for name in local.names})]
    tiny = step_for(SCHEMES["complex"], local.arrays[moves.name])
    stepped = [y.imag / tiny for y in at(1j * tiny)] if local.complex_safe else None
    rounded: list[Array] = []
    if stepped is not None:
        lost = _cancelled(local, moves, stepped) if cancelled is None else _as_much(cancelled, stepped, local.upstream)
        rounded = [8 * _UNIT * np.abs(slope) + 2 * part for slope, part in zip(stepped, lost, strict=True)]
    if stepped is not None and local.smooth:
        return _summed(
            [smooth_part(dy, slope, error) for dy, slope, error in zip(local.upstream, stepped, rounded, strict=True)]
        )
    h = _step(local, moves.name, base)
    differences = [at(k * h) for k in (-2, -1, 1, 2)]
    left_piece = _changes_piece(local, copies, {k: {moves.name: moved(k * h)} for k in (-1, 1)})
    array = local.arrays[moves.name]
    shorter = partial(
        Shorter, usual=h, at=cache(at), reach=float(np.max(np.abs(array), initial=0.0)), ladder=ladder_steps(array)
    )
    parts = []
    for k, dy in enumerate(local.upstream):
        sampled = [outputs[k] for outputs in differences]
        slope = (stepped[k], rounded[k]) if stepped else None
        asked = shorter(y=base[k], output=k) if left_piece is None else None
        parts.append(piecewise(dy, base[k], sampled, h, local.noise[k], slope, left_piece, asked))
    for direction in beside:
        near, far = (
            _slopes_at(partial(at, move=reach * h * direction), tiny if local.complex_safe else None, h / _BESIDE)
            for reach in (4 / RATIO**2, 4)
        )
        parts = [_hull(*found) for found in zip(local.upstream, parts, near, far, strict=True)]
    return _summed(parts)


def _cancelled(local: Local, moves: Moves, slopes: Sequence[Array]) -> list[Array]:
    """What a wider precision changes in slopes by a complex step; zeros where the layer does not answer in it.

    What cancels inside a layer is not seen in its slopes (1 - t / p of a prediction p that is the target t).
    """
    h, found = step_for(SCHEMES["complex"], local.arrays[moves.name]), None
    with suppress(Exception):
        wide = {key: a.astype(np.longdouble) if a.dtype.kind == "f" else a for key, a in local.arrays.items()}
        moved = _applied(moves, wide[moves.name], 1j * h).astype(np.clongdouble)
        found = [y.imag / h for y in _outputs(local, _copies(replace(local, arrays=wide), moves), {moves.name: moved})]
    if found is None:
        return [np.zeros(slope.shape) for slope in slopes]
    apart = [np.abs(slope - wider).astype(np.float64) for slope, wider in zip(slopes, found, strict=True)]
    return [np.where(np.isfinite(part), part, 0.0) for part in apart]


def _as_much(greatest: Sequence[float], slopes: Sequence[Array], upstream: Sequence[Array]) -> list[Array]:
    """That wherever an output moves, and at the one that weighs most: slopes may cancel to 0."""
    found = []
    for part, slope, dy in zip(greatest, slopes, upstream, strict=True):
        lost = np.where(slope != 0, part, 0.0)
        lost.reshape(len(slope), -1)[:, np.argmax(np.abs(dy))] = part
        found.append(lost)
    return found


def _greatest_cancelled(local: Local, moving: Moves) -> list[float] | None:
    """The greatest of some copies, for each output: as matrix products in long double are slow.

    None where all copies can be asked, each for itself.
    """
    outputs = max(dy.size for dy in local.upstream)
    count = max(1, _WIDE // max(1, outputs))
    if len(moving) <= count or not local.complex_safe:
        return None
    some = msgspec.structs.replace(moving, entries=moving.entries[np.linspace(0, len(moving) - 1, count).astype(int)])
    h = step_for(SCHEMES["complex"], local.arrays[moving.name])
    greatest = [0.0] * len(local.upstream)
    for moves in some.chunks(max(1, CHUNK // max(1, outputs))):
        moved = _applied(moves, local.arrays[moves.name], 1j * h)
        slopes = [y.imag / h for y in _outputs(local, _copies(local, moves), {moves.name: moved})]
        lost = _cancelled(local, moves, slopes)
        greatest = [max(known, float(np.max(part, initial=0.0))) for known, part in zip(greatest, lost, strict=True)]
    return greatest


def _slopes_at(at: Callable[[complex], list[Array]], tiny: float | None, h: float) -> list[Array]:
    """The slope of every output at a point beside: by a complex step where there is one, or by a difference."""
    if tiny is not None:
        return [y.imag / tiny for y in at(1j * tiny)]
    return [(above - below) / (2 * h) for above, below in zip(at(h), at(-h), strict=True)]


def _hull(dy: Array, part: dict[str, Array], near: Array, far: Array) -> dict[str, Array]:
    """What an output contributes, widened by its slopes along a ray if they are one, and not that at the point."""
    product, apart = dy * near, np.abs(dy) * np.abs(near - far)
    slack = part["bar"] + 4 * apart + _TOLD * np.fmax(np.abs(product), part["size"])
    widens = (product < part["low"] - slack) | (product > part["high"] + slack)
    widens &= apart <= _TOLD * np.abs(product) + part["bar"] + _TOLD * part["size"]
    grown = {
        "low": np.fmin(part["low"], product),
        "high": np.fmax(part["high"], product),
        "bar": part["bar"] + apart,
        "size": np.fmax(part["size"], np.abs(product)),
        "kink": (dy != 0) + 0 * product,
    }
    return {key: np.where(widens, values, part[key]) for key, values in grown.items()}


def _step(local: Local, operand: str, base: list[Array]) -> float:
    """The usual step of central differences; ∛ε at the operand's scale where the noise ε is greater than rounding."""
    usual = step_for(SCHEMES["central"], local.arrays[operand])
    relative = max(_relative(noise, y) for noise, y in zip(local.noise, base, strict=True))
    longer = np.round(np.log2(max(relative / _UNIT, 1.0)) / 3)
    return float(usual * 2.0**longer) if longer > 4 else usual


def _relative(noise: Array, y: Array) -> float:
    greatest = float(np.max(np.abs(y), initial=0.0))
    return float(np.sqrt(np.mean(np.square(noise)))) / greatest if noise.size and greatest else 0.0


def _summed(parts: list[dict[str, Array]]) -> dict[str, Array]:
    """Over all outputs of each sample; the bar gains the rounding of the sum."""
    total: dict[str, Array] = {key: np.sum([_per_sample(part[key]) for part in parts], axis=0) for key in parts[0]}
    total["bar"] = total["bar"] + 64 * _UNIT * total["size"]
    return total


def _per_sample(array: Array) -> Array:
    return array.reshape(*array.shape[:2], -1).sum(axis=2) if array.ndim > 1 else array.reshape(-1, 1)


def _outputs(local: Local, copies: Copies, changed: Mapping[str, Array]) -> list[Array]:
    """The outputs of every copy: (K, N, ...), (K,) for a scalar; NaN outside of the layer's domain."""
    (name,) = changed
    together = name in local.samples and not local.coupled
    return copies.outputs(local.forward, local.names, changed, together)


def _changes_piece(local: Local, copies: Copies, moved: Mapping[int, Mapping[str, Array]]) -> Array | None:
    """Which copies and samples (K, N) leave their piece; None for a layer that does not say."""
    base = local.branches(local.arrays)
    if base is None:
        return None
    left = np.zeros((copies.count, copies.batch_size), dtype=bool)
    for changed in moved.values():
        for k in range(copies.count):
            found = local.branches(copies.one(k, local.names, changed))
            left[k] |= (np.asarray(found) != base).reshape(copies.batch_size, -1).any(axis=1)
    return left
