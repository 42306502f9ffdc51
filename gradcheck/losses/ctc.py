"""Connectionist temporal classification: all alignments of a short sequence with a long one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from gradcheck.errors import ShapeError
from gradcheck.losses._data import Array, Shape, require_all
from gradcheck.losses._weighted import Weighted, weighted

#: log 0, finite so that sums of it are numbers.
_NEVER = -1e30


@dataclass(frozen=True)
class Ctc(Weighted):
    """Connectionist temporal classification (Graves et al. 2006): all alignments of a target with a longer sequence.

    forward     l  = −w log Z,  Z = Σ Πₜ e^p[t, π(t)]    log-probabilities p (N, T, C), target (N, S), losses l (N,)
                                                         π every path of classes and `blank` that is the target once
                                                         repetitions are merged and blanks left out
                                                         input_lengths, target_lengths (N,), default T and S
                                                         weights w (N,), default 1

    backward    dp[t, k] = −dl w Σ γₜ(s)                 over the states s of class k; dp (N, T, C)
                γₜ(s) = αₜ(s) βₜ(s) / Z                  how probable state s is at step t

    domain      real p (what is not normalised has a loss all the same); classes other than blank

    divisors    mean: the samples, where PyTorch's mean divides each loss by the length of its target first

    States are the target's classes with a blank before, between and behind them; α and β are the sums over the paths
    up to a step and from it on. A target that is too long for its sequence is refused, or has no loss with
    zero_infinity.
    """

    blank: Annotated[int, Meta(ge=0)] = 0
    zero_infinity: bool = False

    def check(self, *prediction_shapes: Shape, **data: Any) -> None:
        """(N, T, C); classes other than blank; lengths that fit; an alignment for every sample."""
        shape, target = prediction_shapes[0], data["target"]
        if len(shape) != 3:
            raise ShapeError(f"needs a prediction (N, T, classes), got {shape}")
        n, steps, classes = shape
        if self.blank >= classes:
            raise ShapeError(f"needs a blank among the classes from 0 to {classes - 1}, got {self.blank}")
        if target.dtype.kind not in "iu" or target.ndim != 2 or len(target) != n:
            raise ShapeError(f"needs integer classes ({n}, S) as target, got {target.dtype} {target.shape}")
        _require_lengths("input_lengths", data.get("input_lengths"), n, 1, steps)
        _require_lengths("target_lengths", data.get("target_lengths"), n, 0, target.shape[1])
        path = _Path(shape, target, data.get("input_lengths"), data.get("target_lengths"), self.blank)
        right = ~path.counts | ((target >= 0) & (target < classes) & (target != self.blank))
        require_all(right, f"classes from 0 to {classes - 1} other than the blank {self.blank}", target)
        short = path.least_steps > path.steps
        if short.any() and not self.zero_infinity:
            i = int(short.argmax())
            needed, got = path.least_steps[i], path.steps[i]
            raise ShapeError(
                f"needs at least {needed} steps for the target of sample {i}, got {got} (or zero_infinity)"
            )
        self.require_weights((n,), data)

    def forward(
        self, prediction: Array, target: Array,
        input_lengths: Array | None = None, target_lengths: Array | None = None,
        sample_weight: Array | None = None, mask: Array | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        """l = −w log Z."""
        path = _Path(prediction.shape, target, input_lengths, target_lengths, self.blank)
        emitted = path.emitted(prediction)
        alpha = np.stack(list(path.walk(emitted)))
        at_end = np.where(path.is_end, alpha[-1], _NEVER)
        log_z = _log_sum_exp(*np.moveaxis(at_end, 1, 0))
        losses = np.where(path.least_steps > path.steps, 0 * log_z, -log_z)
        w = self.weights(losses, sample_weight, mask)
        return weighted(losses, w), (path, emitted, alpha, log_z, w)

    def backward(self, upstream: Array, cache: Any) -> Array:
        """dp[t, k] = −dl w Σ γₜ(s)."""
        path, emitted, alpha, log_z, w = cache
        beta = path.walk_back(emitted)
        possible = path.least_steps <= path.steps
        each = np.where(possible, -weighted(upstream, w), 0)[:, None]
        gradient = np.zeros(path.shape, dtype=upstream.dtype)
        samples = np.arange(path.shape[0])[:, None]
        for t in range(path.shape[1]):
            share = np.exp(np.where(possible[:, None], alpha[t] + beta[t] - log_z[:, None], _NEVER))
            inside = (t < path.steps)[:, None]
            np.add.at(gradient[:, t], (samples, path.states), np.where(inside, each * share, 0))
        return gradient


class _Path:
    """The states of every sample's target, (N, 2S + 1), and the moves between them.

    counts       which classes of the target are within its length
    steps        T of each sample
    least_steps  the length of the shortest path: a blank must stand between equal classes
    """

    def __init__(
        self, shape: Shape, target: Array, input_lengths: Array | None, target_lengths: Array | None, blank: int
    ) -> None:
        n, longest = target.shape
        self.shape = shape
        self.steps = np.full(n, shape[1]) if input_lengths is None else input_lengths
        lengths = np.full(n, longest) if target_lengths is None else target_lengths
        self.counts = np.arange(longest) < lengths[:, None]
        self.states = np.full((n, 2 * longest + 1), blank)
        self.states[:, 1::2] = np.where(self.counts, target, blank)
        place = np.arange(2 * longest + 1)
        self.is_end = (place <= 2 * lengths[:, None]) & (place >= 2 * lengths[:, None] - 1)
        self.skips = np.zeros(self.states.shape, dtype=bool)
        self.skips[:, 3::2] = self.states[:, 3::2] != self.states[:, 1:-2:2]
        repeats = (target[:, 1:] == target[:, :-1]) & self.counts[:, 1:]
        self.least_steps = lengths + repeats.sum(axis=1)

    def emitted(self, prediction: Array) -> Array:
        """p of each state's class at every step: (T, N, 2S + 1)."""
        index = np.broadcast_to(self.states[:, None], (*prediction.shape[:2], self.states.shape[1]))
        return np.moveaxis(np.take_along_axis(prediction, index, 2), 1, 0)

    def walk(self, emitted: Array) -> Iterator[Array]:
        """log α after each step; behind a sample's last step it stays as it is."""
        alpha = np.where(np.arange(emitted.shape[2]) < 2, emitted[0], _NEVER)
        yield alpha
        for t in range(1, len(emitted)):
            before = _shifted(alpha, 1), np.where(self.skips, _shifted(alpha, 2), _NEVER)
            moved = _log_sum_exp(alpha, *before) + emitted[t]
            alpha = np.where((t < self.steps)[:, None], moved, alpha)
            yield alpha

    def walk_back(self, emitted: Array) -> Array:
        """log β at each step, without what is emitted there: (T, N, 2S + 1)."""
        beta = [np.where(self.is_end, 0, _NEVER).astype(emitted.dtype)]
        skips = _shifted(self.skips, -2, False)
        for t in range(len(emitted) - 1, 0, -1):
            behind = beta[-1] + emitted[t]
            ahead = _shifted(behind, -1), np.where(skips, _shifted(behind, -2), _NEVER)
            beta.append(np.where((t < self.steps)[:, None], _log_sum_exp(behind, *ahead), beta[-1]))
        return np.stack(beta[::-1])


def _shifted(array: Array, by: int, fill: Any = _NEVER) -> Array:
    """Each state's entry moved on by some states."""
    moved = np.roll(array, by, axis=1)
    moved[:, slice(None, by) if by > 0 else slice(by, None)] = fill
    return moved


def _log_sum_exp(*terms: Array) -> Array:
    """log Σ eˣ over the arrays, entry by entry."""
    greatest = np.max([x.real for x in terms], axis=0)
    total: Array = greatest + np.log(np.sum([np.exp(x - greatest) for x in terms], axis=0))
    return total


def _require_lengths(name: str, lengths: Array | None, n: int, low: int, high: int) -> None:
    if lengths is None:
        return
    if lengths.dtype.kind not in "iu" or lengths.shape != (n,):
        raise ShapeError(f"needs integers ({n},) as {name}, got {lengths.dtype} {lengths.shape}")
    require_all((lengths >= low) & (lengths <= high), f"{name} from {low} to {high}", lengths)
