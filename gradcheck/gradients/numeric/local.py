"""One layer alone: what its vector-Jacobian product is for a given upstream gradient, from its forward alone.

    v_e = Σₒ dyₒ ∂yₒ/∂e        for an entry e of one of its inputs or parameters, over all outputs o

Where output o has a kink at the point, ∂yₒ/∂e is any slope between its one-sided slopes [loₒ, hiₒ] along e, so v_e
lies in Σₒ dyₒ [loₒ, hiₒ]. Each output by itself: the one-sided slopes of a loss say nothing about a correct backward
(relu(t) - relu(-t) has both slopes 1, and every correct backward with relu'(0) = 0 says 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.gradients.numeric.estimate import step_for
from gradcheck.gradients.numeric.noise import measured_noise
from gradcheck.gradients.numeric.schemes import SCHEMES
from gradcheck.gradients.numeric.sweep import CHUNK, Moves

Array = NDArray[Any]
_UNIT = float(np.finfo(np.float64).eps) / 2
#: Of the difference between slopes of first and second order, what the second order may still be off: h at unit scale,
#: with room for steep higher derivatives.
_LEFT_OVER = 1e-3


@dataclass(frozen=True)
class Local:
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


@dataclass(frozen=True)
class Interval:
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


def vjp(local: Local, operand: str, entries: Array | None = None) -> Interval:
    """The interval for every entry of the operand, or for some (flat indices; elsewhere it is all of ℝ)."""
    array = local.arrays[operand]
    fused = operand in local.samples and not local.coupled
    features = int(np.prod(array.shape[1:])) if fused else array.size
    wanted = np.arange(array.size) if entries is None else np.asarray(entries)
    moving = np.unique(wanted % features) if fused else wanted
    flat = {key: np.full(array.size, fill) for key, fill in _UNKNOWN.items()}
    widest = max(array.size, *(dy.size for dy in local.upstream))
    for moves in Moves(operand, moving, array.shape, fused).chunks(max(1, CHUNK // widest)):
        where = moves.entries[:, None] + features * np.arange(len(array)) if fused else moves.entries
        for key, values in _slopes(local, moves, partial(_applied, moves, array)).items():
            flat[key][where] = values if fused else values.sum(axis=1)
    return _interval({key: values.reshape(array.shape) for key, values in flat.items()})


def joint_vjp(local: Local, operand: str, entries: Array) -> Interval:
    """The interval along the direction in which the marked entries (bool, operand's shape) move together: (N,).

    At a tie each entry alone may have any share of the upstream gradient; only together must the shares be the whole.
    For an operand with samples on axis 0 and an uncoupled layer.
    """
    array = local.arrays[operand]
    moves = Moves(operand, np.zeros(1, dtype=int), array.shape, fused=True)
    found = _slopes(local, moves, lambda step: (array + step * entries)[None])
    return _interval({key: values[0] for key, values in found.items()})


def _applied(moves: Moves, array: Array, step: complex) -> Array:
    return moves.applied(array, np.full(len(moves), step))


_UNKNOWN = {"low": -np.inf, "high": np.inf, "bar": 0.0, "size": 0.0, "kink": 0.0}


def _interval(found: Mapping[str, Array]) -> Interval:
    return Interval(found["low"], found["high"], found["bar"], found["size"], found["kink"] > 0)


def _slopes(local: Local, moves: Moves, moved: Callable[[complex], Array]) -> dict[str, Array]:
    """Low, high, bar, size and kink of each copy and sample: (K, N)."""
    copies = Copies(local.arrays, local.samples, len(local.upstream[0]) if local.upstream[0].ndim else 1, len(moves))

    def at(step: complex) -> list[Array]:
        return _outputs(local, copies, {moves.name: moved(step)})

    base = [np.asarray(y)[None] for y in local.forward({name: local.arrays[name] for name in local.names})]
    tiny = step_for(SCHEMES["complex"], local.arrays[moves.name])
    stepped = [y.imag / tiny for y in at(1j * tiny)] if local.complex_safe else None
    if stepped is not None and local.smooth:
        return _summed(
            [_smooth(dy, slope, 8 * _UNIT * np.abs(slope)) for dy, slope in zip(local.upstream, stepped, strict=True)]
        )
    h = _step(local, moves.name, base)
    differences = [at(k * h) for k in (-2, -1, 1, 2)]
    left_piece = _changes_piece(local, copies, {k: {moves.name: moved(k * h)} for k in (-1, 1)})
    parts = []
    for k, dy in enumerate(local.upstream):
        sampled = [outputs[k] for outputs in differences]
        parts.append(_piecewise(dy, base[k], sampled, h, local.noise[k], stepped[k] if stepped else None, left_piece))
    return _summed(parts)


def _step(local: Local, operand: str, base: list[Array]) -> float:
    """The usual step of central differences; ∛ε at the operand's scale where the noise ε is greater than rounding."""
    usual = step_for(SCHEMES["central"], local.arrays[operand])
    relative = max(_relative(noise, y) for noise, y in zip(local.noise, base, strict=True))
    longer = np.round(np.log2(max(relative / _UNIT, 1.0)) / 3)
    return float(usual * 2.0**longer) if longer > 4 else usual


def _relative(noise: Array, y: Array) -> float:
    greatest = float(np.max(np.abs(y), initial=0.0))
    return float(np.sqrt(np.mean(np.square(noise)))) / greatest if noise.size and greatest else 0.0


def _smooth(dy: Array, slope: Array, error: Array) -> dict[str, Array]:
    """Contributions of outputs that have one slope: (K, N, ...)."""
    product = dy * slope
    return {
        "low": product,
        "high": product,
        "bar": np.abs(dy) * error,
        "size": np.abs(product),
        "kink": np.zeros_like(product),
    }


def _piecewise(
    dy: Array, y: Array, sampled: list[Array], h: float, deviation: Array, stepped: Array | None,
    left_piece: Array | None,
) -> dict[str, Array]:  # fmt: skip
    """Contributions of outputs that may have a kink: between the one-sided slopes where they do.

    One-sided slopes of second order, (4 y(h) - 3 y(0) - y(2h)) / 2h; first minus second order is about f″h/2, and what
    is left about h times that.
    """
    below2, below, above, above2 = sampled
    left, right = (y - below) / h, (above - y) / h
    noise = np.maximum(8 * _UNIT * np.fmax(np.abs(above), np.abs(below)), 6 * deviation) / h
    kink = _kinks(left, right, (above2 - 2 * y + below2) / (2 * h), noise, left_piece)
    central, wider = (above - below) / (2 * h), (above2 - below2) / (4 * h)
    left2, right2 = 2 * left - (y - below2) / (2 * h), 2 * right - (above2 - y) / (2 * h)
    left_over = _LEFT_OVER * np.nansum([np.abs(left2 - left), np.abs(right2 - right)], axis=0) + 4 * noise
    if stepped is None:
        both = np.abs(central - wider) + noise  # not finite where one side leaves the domain: then the other has to do
        one = np.where(np.isfinite(right2), right2, left2)
        slope, error = np.where(np.isfinite(both), central, one), np.where(np.isfinite(both), both, left_over)
    else:
        slope, error = stepped, 8 * _UNIT * np.abs(stepped)
    smooth = _smooth(dy, slope, error)
    ends = dy * left2, dy * right2
    found = {
        "low": np.where(kink, np.minimum(*ends), smooth["low"]),
        "high": np.where(kink, np.maximum(*ends), smooth["high"]),
        "bar": np.where(kink, np.abs(dy) * left_over, smooth["bar"]),
        "size": np.where(kink, np.maximum(*map(np.abs, ends)), smooth["size"]),
        "kink": (kink & (dy != 0)).astype(float),
    }
    return {key: np.where(np.isfinite(slope), values, _UNKNOWN[key]) for key, values in found.items()}


def _kinks(left: Array, right: Array, wide_gap: Array, noise: Array, left_piece: Array | None) -> Array:
    """Which outputs have a kink; for a layer that does not say: a smooth gap shrinks with h, a kink's gap stays."""
    gap = np.abs(right - left)
    if left_piece is None:
        size = np.maximum(np.abs(left), np.abs(right))
        return np.asarray((gap > 0.75 * np.abs(wide_gap)) & (gap > 1e-3 * size + 64 * noise))
    where = left_piece.any(axis=1) if gap.ndim == 1 else left_piece.reshape(*left_piece.shape, *[1] * (gap.ndim - 2))
    return np.asarray((gap > 8 * noise) & where)


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
