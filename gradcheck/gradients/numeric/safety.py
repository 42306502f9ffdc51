"""Where the complex step may be believed: shown for each layer, in this run, at the point in question.

A forward that takes an absolute value, casts to float or fills a float buffer loses the derivative, and one that
takes a sign or a conjugate falsifies it, without a word. So each layer's complex step is held against a real difference
along a random direction of all its arguments, output by output, before a single entry is computed with it. A real
difference sees nine digits, the complex step is believed to all sixteen: what a plugin hides between them (the variance
of a complex number takes its absolute value, however little it counts beside an eps) shows on circles in the complex
plane.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.errors import LayerFailure
from gradcheck.gradients.numeric._holomorphic import conjugate_share
from gradcheck.gradients.numeric.estimate import SHORTER
from gradcheck.gradients.numeric.ladder import RATIO, Rungs, plateau
from gradcheck.gradients.numeric.noise import layer_staircase, rounding_noise
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP, SCHEMES, scale_of
from gradcheck.network import Network

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Any]]
#: Where the usual step disagrees, so many shorter ones are asked, and must say it to this part of the greatest slope.
_RUNGS, _SHARP = 16, 1e-3
#: Standard deviation of the rounding of a layer of ours, as a part of its greatest output.
_ROUNDED = 8 * float(np.finfo(np.float64).eps)


def unsafe(network: Network, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Layers and losses whose complex step is not the derivative -> the reason, as the end of a sentence."""
    reasons: dict[str, str] = {}
    for node in network.nodes:
        names = (*node.inputs, *node.parameters.values())
        reason = _reason(lambda a, node=node: node.apply(a)[0], names, arrays, node.trusted)  # type: ignore[misc]
        if reason:
            reasons[node.name] = reason
    for term in network.terms:
        for reduction in term.loss.reductions or (None,):
            forward = lambda a, t=term, r=reduction: (t.apply(a, r)[0],)  # noqa: E731
            reason = _reason(forward, term.predictions, arrays, term.trusted)
            if reason:
                reasons[term.name] = reason
    return reasons


def _reason(forward: Forward, names: Sequence[str], arrays: Mapping[str, Array], trusted: bool) -> str:
    moving = [name for name in dict.fromkeys(names) if arrays[name].dtype.kind == "f"]
    if not moving:
        return ""
    base, usual = forward(arrays), _direction(moving, arrays)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            stepped = _moved(forward, arrays, usual, 1j * COMPLEX_STEP)
    except Exception as error:
        cause = error.__cause__ or error
        return f"raises {type(cause).__name__} for complex numbers ({cause})"
    real = _real(forward, arrays, chain((usual,), _inwards(moving, arrays, usual)))
    if real is None:
        return "lies so close to the border of its domain that no real difference can prove its complex step"
    if real.direction is not usual:
        stepped = _moved(forward, arrays, real.direction, 1j * COMPLEX_STEP)
    for k, (y, z) in enumerate(zip(base, stepped, strict=True)):
        y, z = np.asarray(y), np.asarray(z)
        if y.dtype.kind != "f":
            continue
        if z.dtype.kind != "c":
            return "returns real numbers for complex ones: the derivative is lost"
        if not trusted and layer_staircase(lambda a, k=k: forward(a)[k], moving, arrays).any():  # type: ignore[misc]
            return "rounds its values to steps, so that no short difference can prove its complex step"
        at = partial(_output, forward, arrays, real.direction, k)
        greatest = float(np.max(np.abs(y), initial=0.0)) if trusted else 0.0
        reason = _compare(y, z, real, k, np.full(y.shape, _ROUNDED * greatest), at)
        if reason:  # it may be noise: that is measured only where there is something to explain
            reason = _compare(y, z, real, k, rounding_noise(partial(_along, forward, moving, arrays, k)), at)
        if reason:
            return reason
    share = 0.0 if trusted else conjugate_share(forward, arrays, moving)
    if share:
        return (
            f"takes the conjugate of complex numbers (as abs, var and std do), by {share:.1g} of its slope: too little "
            "for a real difference, too much for a complex step"
        )
    return ""


class _Real(Struct, frozen=True):
    """Real evaluations along a direction, by a step that stays in the domain of the forward.

    outputs  by offset, counted in steps: on both sides -2, -1, 1, 2, on one side ±1, ±2, ±4
    """

    direction: Mapping[str, Array]
    step: float
    outputs: Mapping[int, Sequence[Any]]

    def slopes(self, y: Array, k: int) -> tuple[Array, Array, Array, Array]:
        """Of output k: below, above, in the middle, and again in the middle with twice the step."""
        f = {offset: np.asarray(outputs[k]) for offset, outputs in self.outputs.items()}
        h = self.step
        if -1 in f and 1 in f:
            left, right = (y - f[-1]) / h, (f[1] - y) / h
            return left, right, (f[1] - f[-1]) / (2 * h), (f[2] - f[-2]) / (4 * h)
        side = 1 if 1 in f else -1
        near = (4 * f[side] - 3 * y - f[2 * side]) / (2 * side * h)
        far = (4 * f[2 * side] - 3 * y - f[4 * side]) / (4 * side * h)
        return near, near, near, far


_BOTH_SIDES, _ONE_SIDE = (-2, -1, 1, 2), ((1, 2, 4), (-1, -2, -4))


def _real(forward: Forward, arrays: Mapping[str, Array], directions: Iterable[Mapping[str, Array]]) -> _Real | None:
    """The first direction, and the longest step along it, that can be had: on both sides, or else on one."""
    for direction in directions:
        for offsets in (_BOTH_SIDES, *_ONE_SIDE):
            for factor in (1.0, *SHORTER):
                step = factor * SCHEMES["central"].relative_step()
                outputs = _all_inside(partial(_moved, forward, arrays, direction), step, offsets)
                if outputs is not None:
                    return _Real(direction, step, outputs)
    return None


def _all_inside(
    at: Callable[[float], Sequence[Any]], step: float, offsets: Sequence[int]
) -> dict[int, Sequence[Any]] | None:
    """The outputs at all offsets; None where one of them leaves the domain of the forward."""
    outputs = {}
    for offset in offsets:
        try:
            outputs[offset] = at(offset * step)
        except LayerFailure:
            return None
        if not all(np.isfinite(y).all() for y in outputs[offset]):
            return None
    return outputs


def _moved(forward: Forward, arrays: Mapping[str, Array], direction: Mapping[str, Array], step: complex) -> Any:
    return forward({**arrays, **{name: arrays[name] + step * v for name, v in direction.items()}})


def _along(forward: Forward, moving: Sequence[str], arrays: Mapping[str, Array], k: int, factor: float) -> Array:
    return np.asarray(forward({**arrays, **{name: factor * arrays[name] for name in moving}})[k])


def _inwards(
    moving: Sequence[str], arrays: Mapping[str, Array], usual: Mapping[str, Array]
) -> Iterator[Mapping[str, Array]]:
    """Directions for points on the border of a domain.

    All numbers up (down, taken the other way); towards the middle of all of them; towards the middle of all samples.
    """
    yield {name: np.abs(v) for name, v in usual.items()}
    rng = np.random.default_rng(len(moving))
    share = {name: rng.uniform(0.5, 1.5, arrays[name].shape) for name in moving}
    yield {name: share[name] * (arrays[name].mean() - arrays[name]) for name in moving}
    yield {name: arrays[name].mean(axis=0, keepdims=True) - arrays[name] for name in moving if arrays[name].ndim}


def _direction(moving: Sequence[str], arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """A random direction of the size of the arrays themselves."""
    rng = np.random.default_rng(len(moving))
    return {name: scale_of(arrays[name]) * rng.standard_normal(arrays[name].shape) for name in moving}


def _output(
    forward: Forward, arrays: Mapping[str, Array], direction: Mapping[str, Array], k: int, step: float
) -> Array | float:
    """Output k that far along the direction; NaN outside of the forward's domain."""
    try:
        return np.asarray(_moved(forward, arrays, direction, step)[k])
    except LayerFailure:
        return np.nan


def _compare(y: Array, z: Array, real: _Real, k: int, deviation: Array, at: Callable[[float], Array | float]) -> str:
    values = [np.asarray(outputs[k]) for outputs in real.outputs.values()]
    rounding = 64 * np.finfo(np.float64).eps * np.max(np.abs([y, *values]), axis=0)
    noise = np.maximum(rounding, 6 * deviation)
    if not np.all(np.abs(z.real - y) <= noise * 1e3 + COMPLEX_STEP):
        return "has another value for complex numbers than for real ones"
    derivative = z.imag / COMPLEX_STEP
    left, right, central, wider = real.slopes(y, k)
    bar = 4 * np.abs(central - wider) + noise / real.step
    kink = np.abs(right - left) > 1e-2 * np.maximum(np.abs(right), np.abs(left)) + bar
    inside = (derivative >= np.minimum(left, right) - bar) & (derivative <= np.maximum(left, right) + bar)
    agrees = (np.abs(derivative - central) <= bar) | (kink & inside)
    if np.all(agrees) or np.all(agrees | _settles_on(derivative, at, real.step, rounding)):
        return ""
    worst = np.unravel_index(int(np.argmax(np.where(agrees, -1.0, np.abs(derivative - central)))), y.shape)
    return f"has the slope {derivative[worst]:.3g} by complex step where real differences say {central[worst]:.3g}"


def _settles_on(derivative: Array, at: Callable[[float], Array | float], step: float, rounding: Array) -> Array:
    """Where central differences settle on the derivative, and sharply, at shorter steps: the first was too long."""
    steps = step * RATIO ** (1.0 - np.arange(_RUNGS))
    shape = (len(steps), derivative.size)
    slopes = np.stack([((at(h) - at(-h)) / (2 * h) + 0 * derivative).reshape(-1) for h in steps])
    greatest = float(np.max(np.abs(derivative), initial=0.0))
    floor = rounding.reshape(-1) + 4 * np.finfo(np.float64).eps * greatest
    noise = np.broadcast_to(floor / steps[:, None], shape)
    none = np.zeros(derivative.size)
    found = plateau(Rungs(steps, slopes, noise, np.zeros(shape, dtype=bool), none, {}), SCHEMES["central"].order)
    apart = np.abs(found.value - derivative.reshape(-1))
    sharp = found.error <= _SHARP * greatest
    return np.asarray(found.settled & sharp & (apart <= found.error)).reshape(derivative.shape)
