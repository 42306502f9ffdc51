"""What is measured at every perturbed copy: as many numbers as the checks need, each linear in the losses.

Differences are taken of these numbers one by one, before anything is summed over the batch: per sample for the
elementwise form (which costs nothing and gains a digit), per reduction and per sample for the reducing form. Every
reduction is then one vector of weights, so that one sweep serves all checks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.gradients.numeric._copies import Copies
from gradcheck.network import Network, Point, Term

Array = NDArray[Any]
PER_SAMPLE = "per_sample"


class Block(Struct, frozen=True):
    """Some columns of the observables.

    term       position of the term that they belong to
    kind       `losses` (N columns: the sum of each sample's losses), `none` (N columns: the same, contracted with the
               random vector), a reduction of the reducing form (1 column), or `per_sample` (N columns: its sum-reduced
               loss of each sample alone)
    """

    term: int
    kind: str
    width: int


class Observables:
    """Evaluates the terms of the loss on perturbed copies -> (copies, columns), and knows what the columns mean."""

    def __init__(self, network: Network, point: Point, per_sample: bool) -> None:
        self.terms = network.terms
        self.point = point
        self.blocks = tuple(self._blocks(per_sample))
        self.starts = np.cumsum([0, *(block.width for block in self.blocks)])
        #: Whether column i of every block belongs to sample i alone.
        self.sample_by_sample = all(term.elementwise for term in self.terms)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.starts[-1])

    def of_term(self, position: int) -> Array:
        """Which columns belong to one term: (columns,)."""
        return np.repeat([block.term == position for block in self.blocks], [block.width for block in self.blocks])

    def of(self, terms: Collection[Term]) -> Array:
        """Which columns belong to some of the terms: (columns,), bool."""
        return np.repeat([self.terms[block.term] in terms for block in self.blocks], np.diff(self.starts))

    def evaluate(self, copies: Copies, changed: Mapping[str, Array], coupled: frozenset[str]) -> Array:
        """changed: the predictions (and other activations) that differ, (K, N, ...) -> (K, columns)."""
        columns = [
            self._columns(block, copies, _predictions(self.terms[block.term], changed), coupled)
            for block in self.blocks
        ]
        return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def weights(self, term: int, reduction: str, arrays: Mapping[str, Array], losses_shape: tuple[int, ...]) -> Array:
        """The vector that makes the reduced loss of one term out of the columns."""
        weights = np.zeros(self.width)
        owner = self.terms[term]
        kind = reduction if not owner.elementwise or reduction == "none" else "losses"
        divisor = owner.divisor(reduction, arrays, losses_shape) if owner.elementwise else 1.0
        weights[self._slice(term, kind)] = 1 / (divisor or 1.0)
        return weights

    def per_sample_weights(self, term: int) -> Array | None:
        """The vector that sums the sum-reduced losses of single samples; None where they were not measured."""
        weights = np.zeros(self.width)
        kind = "losses" if self.terms[term].elementwise else PER_SAMPLE
        if not any(block.term == term and block.kind == kind for block in self.blocks):
            return None
        weights[self._slice(term, kind)] = 1.0
        return weights

    def _slice(self, term: int, kind: str) -> slice:
        k = next(k for k, block in enumerate(self.blocks) if (block.term, block.kind) == (term, kind))
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    def _blocks(self, per_sample: bool) -> Sequence[Block]:
        n = self.point.batch_size
        blocks = []
        for position, term in enumerate(self.terms):
            if term.elementwise:
                blocks.append(Block(position, "losses", n))
                if term.reduction == "none":
                    blocks.append(Block(position, "none", n))
                continue
            blocks.extend(Block(position, reduction, 1) for reduction in term.loss.reductions)
            if per_sample and "sum" in term.loss.reductions:
                blocks.append(Block(position, PER_SAMPLE, n))
        return blocks

    def _columns(self, block: Block, copies: Copies, changed: Mapping[str, Array], coupled: frozenset[str]) -> Array:
        term = self.terms[block.term]
        names = (*term.predictions, *term.data.values())
        if not term.elementwise:
            return _reducing(block, term, copies, changed)
        if not changed:
            losses = np.asarray(term.apply(copies.arrays)[0])[None].repeat(copies.count, axis=0)
        elif term.name in coupled:
            losses = np.stack([term.apply(copies.one(k, names, changed))[0] for k in range(copies.count)])
        else:
            flat = np.asarray(term.apply(copies.stacked(names, changed))[0])
            losses = flat.reshape(copies.count, copies.batch_size, *flat.shape[1:])
        if block.kind == "none":
            losses = losses * copies.arrays[term.contraction]
        flat_losses = losses.reshape(copies.count, copies.batch_size, -1)
        return flat_losses[:, :, 0] if flat_losses.shape[2] == 1 else np.add.reduce(flat_losses, 2)


def _predictions(term: Term, changed: Mapping[str, Array]) -> dict[str, Array]:
    """What a term sees of a change: its predictions; a target is held constant, whatever array it is."""
    return {name: changed[name] for name in term.predictions if name in changed}


def _reducing(block: Block, term: Term, copies: Copies, changed: Mapping[str, Array]) -> Array:
    names = (*term.predictions, *term.data.values())
    rows = []
    for k in range(copies.count):
        arrays = copies.one(k, names, changed)
        if block.kind != PER_SAMPLE:
            rows.append([term.apply(arrays, block.kind)[0]])
            continue
        samples = [copies.sample(i, names, arrays) for i in range(copies.batch_size)]
        rows.append([term.apply(sample, "sum")[0] for sample in samples])
    return np.array(rows)
