"""A batch cut into parts: the gradients of the parts, put together, beside the gradient of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.checks._base import contraction_bound, nearest_to_loss, to_sum, unusable
from gradcheck.checks._questioning import unrepeatable
from gradcheck.evidence import Evidence
from gradcheck.gradients.analytic import Analytic, Objective, gradient, on_other_pieces
from gradcheck.gradients.numeric.draws import size
from gradcheck.network import Term, Trace

Array = NDArray[Any]
_INNER_TERMS = 64
#: By name: the gradient of the batch, what its parts say together, and how far apart they may be.
Wrong = dict[str, tuple[Array, Array, Array]]


class Part(Struct, frozen=True):
    """One part of the batch by itself.

    gradients      in float64; of tensors that were probed along directions their slopes, so that no more is kept
    contributions  what one layer alone has added to them, likewise
    magnitudes     Σ|g| of the tensors that were probed
    """

    trace: Trace
    gradients: Mapping[str, Array]
    contributions: Mapping[tuple[str, str], Array]
    magnitudes: Mapping[str, float]

    @staticmethod
    def of(evidence: Evidence, found: Analytic, samples: slice) -> Part:
        """What a backward pass of these samples says, as far as it is looked at."""

        def seen(name: str, g: Array) -> Array:
            return evidence.seen(name, g, samples if name in evidence.stage.samples else slice(None))

        probed = evidence.names if evidence.probe else ()
        return Part(
            found.trace,
            {name: seen(name, g) for name, g in found.gradients.items()},
            {(layer, name): seen(name, g) for (layer, name), g in found.contributions.items()},
            {name: size(np.asarray(found.gradients[name])) for name in probed},
        )

    def magnitude(self, name: str) -> Array:
        """|g|, entry by entry or direction by direction."""
        found = self.gradients[name]
        return np.abs(found) if name not in self.magnitudes else np.full(found.shape, self.magnitudes[name])


class Parts:
    """Σ gₖ over the parts of a batch: for parameters the sum, for what has samples on axis 0 the rows put together.

    sizes    samples of each part; the parts follow each other in the order of the batch
    batched  what has samples on axis 0; tensors that were probed have a row for each direction instead
    """

    def __init__(self, evidence: Evidence, position: int, sizes: Sequence[int], reduction: str = "sum") -> None:
        self.evidence, self.sizes = evidence, tuple(sizes)
        point = evidence.case.point.cast(evidence.case.dtype)
        objective = Objective(position, reduction)
        self.batch, self.rounding = evidence.under(objective)
        start = perf_counter()
        ends = [int(end) for end in np.cumsum(sizes)]
        self.each = [
            Part.of(
                evidence,
                gradient(evidence.case.network, point.take(range(end - count, end)), objective),
                slice(end - count, end),
            )
            for count, end in zip(sizes, ends, strict=True)
        ]
        self.seconds = perf_counter() - start
        self._known: dict[tuple[str, str, tuple[float, ...]], Array] = {}
        self.batched = evidence.stage.samples - frozenset(evidence.names if evidence.probe else ())

    def gradient(self, name: str, weights: Sequence[float] | None = None) -> Array:
        """Put together in float64, so that only the rounding of the gradients themselves counts.

        weights  a factor for each part, by default 1
        """
        return self._once("gradient", name, (part.gradients[name] for part in self.each), weights)

    def share(self, layer: str, name: str, weights: Sequence[float] | None = None) -> Array:
        """The same of what one layer alone has added to it."""
        return self._joined(name, (part.contributions[layer, name] for part in self.each), weights)

    def magnitude(self, name: str, weights: Sequence[float] | None = None) -> Array:
        """Σ|gₖ|."""
        return self._once("magnitude", name, (part.magnitude(name) for part in self.each), weights)

    def where_lost(
        self, term: Term, wrong: Wrong, batch: Analytic | None, divisor: float, weights: Sequence[float] | None = None
    ) -> str:
        """The layer that turns gradients that are the sum of their parts into others.

        batch  the gradients of the batch; None where it is not the backward that disagrees
        """

        def disagrees(layer: str, name: str) -> bool:
            if batch is None:
                return False
            found = self.evidence.seen(name, batch.contributions[layer, name])
            return not np.all(np.abs(found - self.share(layer, name, weights) / divisor) <= wrong[name][2])

        return nearest_to_loss(self.evidence, term, wrong, disagrees)

    def at_kink(self) -> str:
        """The first layer or term of which a part is on another piece than in the batch; empty if there is none."""
        traces = [part.trace for part in self.each]
        return on_other_pieces(self.evidence.case.network, self.batch.trace, traces)

    def _joined(self, name: str, each: Iterable[Array], weights: Sequence[float] | None) -> Array:
        factors = weights or [1.0] * len(self.sizes)
        scaled = (factor * array if factor != 1 else array for factor, array in zip(factors, each, strict=True))
        if name in self.batched:
            return np.concatenate(list(scaled))
        total: Array = np.array(next(scaled))
        for array in scaled:
            total += array
        return total

    def _once(self, what: str, name: str, each: Iterable[Array], weights: Sequence[float] | None) -> Array:
        """What is asked for again and again, put together once."""
        key = (what, name, tuple(weights or ()))
        if key not in self._known:
            self._known[key] = self._joined(name, each, weights)
        return self._known[key]


def bound(
    evidence: Evidence, parts: Parts, name: str, rounding: float, weights: Sequence[float] | None = None
) -> Array:
    """γ_K Σ|gᵢ| + 10 s, for the sum-reduced loss; s the tensor's greatest, because each side rounds in its own way.

    rounding  that of the batch's gradient, times its divisor
    """
    measured = max(parts.rounding[name], rounding)
    spread = max(evidence.greatest_rounding(name) * scale(evidence), measured)
    gamma = contraction_bound(evidence.case.point.batch_size + _INNER_TERMS, evidence.unit)
    found: Array = gamma * parts.magnitude(name, weights) + 10 * spread + evidence.underflow
    return found


def scale(evidence: Evidence) -> float:
    """What turns an error of the declared objective into one of the sums: the greatest of all terms."""
    return evidence.once("scale", lambda: _scale(evidence))


def _scale(evidence: Evidence) -> float:
    network, arrays = evidence.case.network, evidence.stage.arrays
    scales = [1.0]
    for term, losses in zip(network.terms, evidence.analytic.trace.losses, strict=True):
        divisor = term.divisor(term.reduction, arrays, np.shape(losses)) or float(evidence.case.point.batch_size)
        scales.append(to_sum(term, divisor, arrays))
    return max(scales)


def disagreeing(
    evidence: Evidence, batch: Analytic, rounding: Mapping[str, float], parts: Parts, divisor: float,
    weights: Sequence[float] | None = None,
) -> Wrong:  # fmt: skip
    """Of parameters, inputs and activations, those whose batch gradient is not Σ wₖ gₖ / D."""
    wrong = {}
    for name, gradient_of_batch in batch.gradients.items():
        if name in evidence.case.skipped:
            continue
        found = evidence.seen(name, gradient_of_batch)
        together = parts.gradient(name, weights) / divisor
        allowed = bound(evidence, parts, name, divisor * rounding[name], weights) / divisor
        if not np.all(np.abs(found - together) <= allowed):
            wrong[name] = found, together, allowed
    return wrong


def not_cut(evidence: Evidence, alone: str) -> str:
    """Why a batch cannot be held against its parts; empty if it can.

    alone  what is said of a batch of one sample
    """
    if evidence.case.point.batch_size == 1:
        return alone
    if evidence.stage.coupled:
        names = " and ".join(sorted(evidence.stage.coupled))
        verb = "couples" if len(evidence.stage.coupled) == 1 else "couple"
        return f"{names} {verb} the samples of a batch (measured), so a sample alone has another gradient"
    return unusable(evidence) or unrepeatable(evidence)


def place(evidence: Evidence, name: str, index: tuple[int, ...]) -> tuple[str, tuple[int, ...] | None]:
    """Where the parts disagree, in words, and the entry; None along a direction of a tensor that was probed."""
    if evidence.probe is not None and name in evidence.names:
        return f"along direction {index[0] + 1}", None
    return f"at {list(index)}", index
