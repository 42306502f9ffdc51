"""Where the complex step may be believed: shown for each layer, in this run, at the point in question.

A forward that takes an absolute value, casts to float or fills a float buffer loses the derivative, and one that
takes a sign or a conjugate falsifies it, without a word. So each layer's complex step is held against a real difference
along a random direction of all its arguments, output by output, before a single entry is computed with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.estimate import SHORTER
from gradcheck.gradients.numeric.noise import measured_noise
from gradcheck.gradients.numeric.schemes import COMPLEX_STEP, SCHEMES
from gradcheck.network import Network

Array = NDArray[Any]
Forward = Callable[[Mapping[str, Array]], Sequence[Any]]


def unsafe(network: Network, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Layers and losses whose complex step is not the derivative -> the reason, as the end of a sentence."""
    reasons: dict[str, str] = {}
    for node in network.nodes:
        names = (*node.inputs, *node.parameters.values())
        reason = _reason(lambda a, node=node: node.apply(a)[0], names, arrays)  # type: ignore[misc]
        if reason:
            reasons[node.name] = reason
    for term in network.terms:
        for reduction in term.loss.reductions or (None,):
            reason = _reason(lambda a, t=term, r=reduction: (t.apply(a, r)[0],), term.predictions, arrays)  # type: ignore[misc]
            if reason:
                reasons[term.name] = reason
    return reasons


def _reason(forward: Forward, names: Sequence[str], arrays: Mapping[str, Array]) -> str:
    moving = [name for name in dict.fromkeys(names) if arrays[name].dtype.kind == "f"]
    if not moving:
        return ""
    direction = _direction(moving, arrays)

    def at(step: complex) -> Sequence[Any]:
        return forward({**arrays, **{name: arrays[name] + step * direction[name] for name in moving}})

    base = forward(arrays)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            stepped = at(1j * COMPLEX_STEP)
    except Exception as error:
        cause = error.__cause__ or error
        return f"raises {type(cause).__name__} for complex numbers ({cause})"
    step, differences = _inside(at)
    for k, (y, z) in enumerate(zip(base, stepped, strict=True)):
        noise = measured_noise(lambda factor, k=k: _scaled(forward, moving, arrays, factor)[k])  # type: ignore[misc]
        reason = _compare(np.asarray(y), np.asarray(z), [np.asarray(d[k]) for d in differences], step, noise)
        if reason:
            return reason
    return ""


def _inside(at: Callable[[float], Sequence[Any]]) -> tuple[float, list[Sequence[Any]]]:
    """The outputs at -2, -1, 1 and 2 steps, by the longest step that stays in the domain of the forward."""
    step = SCHEMES["central"].relative_step()
    for factor in (1.0, *SHORTER):
        differences = [at(k * factor * step) for k in (-2, -1, 1, 2)]
        if all(np.isfinite(y).all() for outputs in differences for y in outputs):
            break
    return factor * step, differences


def _scaled(forward: Forward, moving: Sequence[str], arrays: Mapping[str, Array], factor: float) -> list[Array]:
    outputs = forward({**arrays, **{name: factor * arrays[name] for name in moving}})
    return [np.asarray(y, dtype=np.float64) for y in outputs]


def _direction(moving: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A random direction of the size of the arrays themselves."""
    rng = np.random.default_rng(len(moving))
    sizes = {name: float(np.sqrt(np.mean(np.square(arrays[name])))) if arrays[name].size else 0.0 for name in moving}
    return {name: (sizes[name] or 1.0) * rng.standard_normal(arrays[name].shape) for name in moving}


def _compare(y: Array, z: Array, differences: list[Array], step: float, deviation: Array) -> str:
    if y.dtype.kind not in "f":
        return ""
    if z.dtype.kind != "c":
        return "returns real numbers for complex ones: the derivative is lost"
    below2, below, above, above2 = differences
    scale = max(float(np.max(np.abs(values), initial=0.0)) for values in (y, *differences))
    noise = np.maximum(64 * np.finfo(np.float64).eps * scale, 6 * deviation)
    if not np.all(np.abs(z.real - y) <= noise * 1e3 + COMPLEX_STEP):
        return "has another value for complex numbers than for real ones"
    derivative = z.imag / COMPLEX_STEP
    central, wider = (above - below) / (2 * step), (above2 - below2) / (4 * step)
    bar = 4 * np.abs(central - wider) + noise / step
    left, right = (y - below) / step, (above - y) / step
    kink = np.abs(right - left) > 1e-2 * np.maximum(np.abs(right), np.abs(left)) + bar
    inside = (derivative >= np.minimum(left, right) - bar) & (derivative <= np.maximum(left, right) + bar)
    agrees = (np.abs(derivative - central) <= bar) | (kink & inside)
    if np.all(agrees):
        return ""
    worst = np.unravel_index(int(np.argmax(np.where(agrees, -1.0, np.abs(derivative - central)))), y.shape)
    return f"has the slope {derivative[worst]:.3g} by complex step where real differences say {central[worst]:.3g}"
