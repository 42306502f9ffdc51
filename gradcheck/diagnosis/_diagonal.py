"""Whether a layer or a loss treats each number by itself."""

from __future__ import annotations

import numpy as np

from gradcheck.suspect import Suspect


def is_diagonal(suspect: Suspect) -> bool:
    """Whether each output sees one entry of the operand, and each entry one output, by J and by A."""
    if suspect.is_loss and not isinstance(suspect.upstream[0], np.ndarray):
        return False
    g, x = suspect.upstream[0], suspect.array
    if len(suspect.upstream) > 1:
        return False
    if g.shape == x.shape:
        base, moved = suspect.outputs[0], x.astype(np.float64)
        half = np.random.default_rng(x.size).random(x.shape) < 0.5
        y = np.asarray(
            suspect.local.forward({**suspect.exact, suspect.operand: np.where(half, moved * 1.0625, moved)})[0]
        )
        signs = np.where(half, 1.0, 0.0)
        gradient = suspect.gradients((g * signs,)).get(suspect.operand)
        if gradient is None or not np.array_equal(y[~half], base[~half]):
            return False
        return bool(np.allclose(gradient[~half], 0, atol=1e-12 * float(np.max(np.abs(suspect.a), initial=0.0))))
    return suspect.is_loss and is_separable(suspect)


def is_separable(suspect: Suspect) -> bool:
    """Whether a loss is a sum over its prediction's entries: its slope by one does not change with the others."""
    x = suspect.exact[suspect.operand]
    half = np.random.default_rng(x.size).random(x.shape) < 0.5
    order = np.roll(np.arange(len(x)), 1)
    moved = np.where(half, x[order], x)
    there = suspect.numeric(arrays={suspect.operand: moved}, only_plausible=False)
    off = np.abs(there - suspect.n)[~half & suspect.clear & np.isfinite(there)]
    return bool(off.size) and bool(np.all(off <= 1e-6 * np.max(np.abs(suspect.n), initial=0.0)))
