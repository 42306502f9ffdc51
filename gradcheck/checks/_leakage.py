"""Whether the backward of a layer hands one sample's gradient to another, although its forward keeps them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.checks._base import entry_name
from gradcheck.checks._callee import OPERATIONS, Callee, greatest
from gradcheck.checks._questioning import keeps_contract
from gradcheck.evidence import Evidence
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: So many samples are asked one by one for the one that leaks.
_ASKED = 64


class Leak(Struct, frozen=True):
    """A sample's upstream gradient that reaches another sample's input.

    index  the entry of the input's gradient that should be zero
    """

    part: str
    operand: str
    sample: int
    index: tuple[int, ...]
    value: float

    def __str__(self) -> str:
        return (
            f"{self.part}: backward hands the gradient of one sample to another: where the upstream gradient is zero "
            f"except in sample {self.sample}, it says {self.value:.6g} at {entry_name(self.operand, self.index)}, and "
            "forward keeps the samples apart (measured)"
        )


def leaks(evidence: Evidence) -> Iterator[Leak]:
    """The first leak of every layer, and elementwise loss, that does not couple samples in its forward."""
    failed = {failure.node for failure in evidence.analytic.failures}
    parts: tuple[Node | Term, ...] = (*evidence.case.network.nodes, *evidence.case.network.terms)
    samples = evidence.case.point.batch_size
    for part in parts:
        reducing = isinstance(part, Term) and not part.elementwise
        if reducing or part.name in failed or part.name in evidence.stage.coupled:
            continue
        found = _leak(_Asked(Callee(evidence.ground, part), keeps_contract(evidence, part.name)), samples)
        if found:
            yield found


class _Asked:
    """Backward of one part, with upstream gradients in some samples alone.

    again  one forward will do for all of them: the part was shown to leave its cache as it is
    """

    def __init__(self, callee: Callee, again: bool) -> None:
        self.callee, self.again = callee, again
        self.answer = callee.forward(callee.given())
        self.everywhere = callee.upstream(self.answer, 1)

    def about(self, chosen: Iterable[int]) -> dict[str, Array]:
        """An upstream gradient in the chosen samples alone -> copies of what backward gives."""
        upstream = tuple(np.zeros_like(g) for g in self.everywhere)
        samples = list(chosen)
        for some, g in zip(upstream, self.everywhere, strict=True):
            some[samples] = g[samples]
        answer = self.answer if self.again else self.callee.forward(self.callee.given())
        found = self.callee.backward(upstream, answer.cache)
        return {name: gradient.copy() for name, gradient in found.items()}


def _leak(asked: _Asked, samples: int) -> Leak | None:
    """Every pair of samples is told apart by one bit of their numbers: one of the two gets an upstream gradient."""
    at_zero = asked.about(())
    bound = {name: OPERATIONS * asked.callee.unit_of(one) * greatest(one)
             for name, one in asked.about(range(samples)).items()}  # fmt: skip
    for bit in range(max(1, (samples - 1).bit_length())):
        for value in (0, 1):
            chosen = [i for i in range(samples) if i >> bit & 1 == value]
            reached = _reached(asked, chosen, at_zero, bound)
            if reached:
                alone = (_reached(asked, [i], at_zero, bound, i) for i in chosen[:_ASKED])
                return next(filter(None, alone), reached)
    return None


def _reached(
    asked: _Asked, chosen: list[int], at_zero: Mapping[str, Array], bound: Mapping[str, float],
    alone: int | None = None,
) -> Leak | None:  # fmt: skip
    """Where the upstream gradients of the chosen samples arrive at others."""
    for name, gradient in asked.about(chosen).items():
        if name.partition(" (input ")[0] not in asked.callee.samples:
            continue
        beside = np.abs(gradient.astype(np.float64) - at_zero[name])
        beside[chosen] = 0
        if np.any(beside > bound[name]):
            index = tuple(int(i) for i in np.unravel_index(int(np.nanargmax(beside)), beside.shape))
            sample = chosen[0] if alone is None else alone
            return Leak(asked.callee.name, name, sample, index, float(gradient[index]))
    return None
