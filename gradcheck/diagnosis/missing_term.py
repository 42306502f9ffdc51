"""A term of the gradient is missing, or one is too much.

## What it is
In every row or feature, e = a - n is made of a few arrays that are at hand: 1, the input, its normalised form, the
output, the target. Which of them are active names the term: 1 is the path through a mean, the normalised input that
through a variance or a norm.

Or one operation inside of forward has lost its slope, as if it gave a constant, and its line is named.

## Why it is bad
What was held constant is not: the gradient has a component that forward does not feel (a batch norm's output does not
change when its input is shifted), and steps along it are wasted or wrong.

## Typical causes
Statistics (mean, variance, norm, root) taken for constants; one path of a product or quotient rule forgotten; smoothing
that forward alone applies.

## How to repair
List every way in which forward depends on the operand, through each intermediate value, and add up one term for each.

## How to silence
`--ignore GC104`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.diagnosis._diagonal import is_separable
from gradcheck.diagnosis._fit import solve
from gradcheck.diagnosis._inside import Tried, predicted, scaled
from gradcheck.diagnosis._prediction import Prediction, allowed, fits
from gradcheck.diagnosis._sites import Site
from gradcheck.diagnosis._tracing import Seen
from gradcheck.suspect import Suspect

Array = NDArray[Any]
CODE = "GC104"
_LOOK = (
    "what forward computes from several numbers (a mean, a variance, a norm) and backward takes for a constant, or a "
    "path of the product rule"
)
_MEANING = {
    "1": "the path through a mean (or a sum) over them",
    "x̂": "the path through their variance",
}


def predict(suspect: Suspect) -> Iterator[Prediction]:
    """n + Σ c_j t_j in every row, channel or feature, for one term, then two."""
    for name in suspect.real:
        if name != suspect.operand and suspect.arrays[name].shape == suspect.array.shape:
            other = suspect.numeric(operand=name)
            for sign, values in (("+", suspect.n + other), ("-", suspect.n - other)):
                yield Prediction(
                    values,
                    f"a = n {sign} n of {name}",
                    f"what is wrong in {suspect.what} is just the gradient of {name}: the "
                    "path that both share is missing, or is counted twice",
                    "all places at which forward uses the operand",
                )
    known = _terms(suspect)
    e = suspect.e
    most = _most(suspect)
    for groups, axes in _slicings(suspect):
        if 0 in axes and suspect.per_sample and not suspect.coupled:
            continue
        length = e.size // max(int(np.prod([e.shape[k] for k in range(e.ndim) if k not in axes])), 1)
        for count in (1, 2):
            if length < count + 1:
                continue
            for chosen in combinations(known, count):
                arrays = [known[name] for name in chosen]
                fitted = _fitted(e, arrays, axes, most)
                if fitted is not None and fits(suspect, suspect.n + fitted[0], e.size // length * count):
                    used = [name for name, active in zip(chosen, fitted[1], strict=True) if active]
                    yield _prediction(suspect, suspect.n + fitted[0], used, groups, e.size // length * count)


def _prediction(suspect: Suspect, values: Array, names: list[str], groups: str, free: int) -> Prediction:
    said = "; ".join(f"{name}: {_MEANING[name]}" for name in names if name in _MEANING)
    return Prediction(
        values,
        f"a = n + Σ c t, t of {{{', '.join(names)}}}, one c for each {groups}",
        f"what is wrong in {suspect.what} is in every {groups} a multiple of "
        f"{' and of '.join(names)}"
        f"{f' ({said})' if said else ''}: a term with it is missing, or too much",
        _LOOK,
        free=free,
    )


def _slicings(suspect: Suspect) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The axes that a row, a feature, a channel run along."""
    ndim = suspect.e.ndim
    if ndim >= 2:
        yield "row", (ndim - 1,)
        yield "feature" if suspect.per_sample else "column", (0,)
        yield "sample" if suspect.per_sample else "slice", tuple(range(1, ndim))
    if ndim >= 3:
        yield "channel", (0, *range(2, ndim))
        yield "channel of a sample", tuple(range(2, ndim))
    if ndim == 4:
        yield "place", (1,)
    if ndim >= 1:
        yield "tensor", tuple(range(ndim))


def _terms(suspect: Suspect) -> dict[str, Array]:
    """1, and every array at hand that has the operand's shape."""
    shape = suspect.e.shape
    found: dict[str, Array] = {"1": np.ones(shape)}
    if len(suspect.outputs) == 1 and suspect.outputs[0].shape == shape:
        found["y"] = suspect.outputs[0]
        if suspect.parameters and suspect.per_sample:
            found["x̂"] = _normalised(suspect)
    for name in suspect.real:
        if suspect.exact[name].shape == shape:
            found[name] = suspect.exact[name]
    for name in suspect.data:
        array = suspect.exact[name]
        if array.shape == shape and array.dtype.kind in "fiub":
            found[name] = array.astype(np.float64)
        elif array.dtype.kind in "iu" and array.shape == shape[:-1] and shape and array.size:
            found[f"onehot({name})"] = (np.arange(shape[-1]) == array[..., None]).astype(np.float64)
    if len(suspect.upstream) == 1 and suspect.upstream[0].shape == shape:
        found["g"] = suspect.upstream[0]
    if shape and shape[-1] > 1 and suspect.is_loss and not is_separable(suspect):
        x = suspect.exact[suspect.operand]
        shifted = np.exp(x - x.max(axis=-1, keepdims=True))
        found["softmax(x)"] = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


def _normalised(suspect: Suspect) -> Array:
    """The output at parameters that are 1 and 0: what a normalisation makes of x before its affine map."""
    plain = {}
    for name in suspect.parameters:
        local = name.rpartition(".")[2]
        plain[name] = (np.zeros_like if local in ("bias", "beta", "shift", "b") else np.ones_like)(suspect.exact[name])
    return np.asarray(suspect.local.forward({**suspect.exact, **plain})[0], dtype=np.float64)


def _most(suspect: Suspect) -> Array:
    """What is left of e at most, where a regression meets a: it gives no more than ‖e‖. Infinite where a is not clear.

    Twice that, for rounding.
    """
    size = np.abs(suspect.n) + float(np.linalg.norm(suspect.e))
    return np.where(suspect.clear, 2 * allowed(suspect, size), np.inf)


def _fitted(e: Array, arrays: list[Array], axes: tuple[int, ...], most: Array) -> tuple[Array, list[bool]] | None:
    """e regressed on the arrays, slice by slice; and which of them are active. None where more than `most` is left."""
    rest = [k for k in range(e.ndim) if k not in axes]
    order = [*rest, *axes]
    slices = int(np.prod([e.shape[k] for k in rest])) if rest else 1
    left, flat, *columns = (np.transpose(array, order).reshape(slices, -1) for array in (most, e, *arrays))
    fitted, active = np.empty_like(flat), np.zeros(len(arrays))
    for k in np.argsort(-np.max(np.abs(flat), axis=1), kind="stable"):
        of_slice = np.stack([column[k] for column in columns], axis=1)
        c, fitted[k] = solve(of_slice, flat[k])
        if np.any(np.abs(flat[k] - fitted[k]) > left[k]):
            return None
        active = np.maximum(active, np.abs(c) * np.sqrt(np.mean(np.square(of_slice), axis=0)))
    back = np.argsort(order)
    shaped = fitted.reshape([e.shape[k] for k in order]).transpose(back)
    return shaped, list(active > 1e-6 * np.max(active, initial=0.0))


def inside(suspect: Suspect) -> Iterator[Prediction]:
    """n with one operand of one operation inside of forward held constant."""
    yield from predicted(suspect, _constants)


def _constants(site: Site, seen: Seen) -> Iterator[Tried]:
    for operand in sorted(seen.moving):
        which = f" by its operand {operand + 1}" if len(seen.moving) > 1 else ""
        yield (
            scaled(site, operand, 0.0),
            f"a = n, the slope of `{site.short}`{which} left out",
            f"the path through {site.words}{which} ({site.operation}) is missing: it is taken for a constant",
            _LOOK,
        )


ASKED = ((64, predict), (152, inside))
