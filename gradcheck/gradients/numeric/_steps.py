"""What a change of an activation is, and how a forward answers it, step by step or along a tangent.

A change is that of K copies: `Columns` of moves where each copy differs in one block of an axis, else an array.

Plain     copies x + d, real or complex. An array of changes holds the copies themselves, (K, N, ...), so that what is
          not cheap is the plain evaluation, bit for bit.
Tangent   copies x + i h t. The step h is so short that a forward is linear along it to the last digit and its real part
          stays what it is, so only t travels: y's tangent is Im f(x + i h t) / h, and of a layer that is affine what
          it says of the moves themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gradcheck.gradients.numeric.schemes import COMPLEX_STEP
from gradcheck.layers._columns import Columns

Array = NDArray[Any]
Change = Array | Columns


class Step(Protocol):
    """One of the two.

    arrays      every array at the point, activations included
    is_complex  whether the step is
    """

    arrays: Mapping[str, Array]
    is_complex: bool

    def unit(self, steps: Array | complex) -> Any:
        """The moves of what is perturbed by these steps."""

    def shifted(self, base: Array, moves: Array) -> Array:
        """What forward is called on where `base` moves by that."""

    def answer(self, base: Array, y: Array) -> Array:
        """By how much y has moved from `base`."""

    def operand(self, name: str, change: Change) -> Array:
        """The copies written out, for a forward: (K, N, ...)."""

    def outcome(self, y: Array) -> Array:
        """The change that a forward on whole copies has led to."""

    def carried(self, name: str, moves: Array) -> Array:
        """The change of an array that moves by that: (K, N, ...)."""

    def moves(self, name: str, change: Change) -> Array:
        """By how much whole copies move: (K, N, ...)."""

    def moves_it(self, name: str) -> bool:
        """Whether such a step can move an array of that dtype."""


class Plain:
    """x + d."""

    def __init__(self, arrays: Mapping[str, Array], is_complex: bool = False) -> None:
        self.arrays, self.is_complex = arrays, is_complex

    def unit(self, steps: Array | complex) -> Any:
        """d."""
        return steps

    def shifted(self, base: Array, moves: Array) -> Array:
        """x + d."""
        copies: Array = base + moves
        return copies

    def answer(self, base: Array, y: Array) -> Array:
        """f(x + d) − f(x), in which nothing is rounded where d is short."""
        moves: Array = y - base
        return moves

    def operand(self, name: str, change: Change) -> Array:
        """The change itself, as it is the copies."""
        return change.moved(self.arrays[name]) if isinstance(change, Columns) else change

    def outcome(self, y: Array) -> Array:
        """y."""
        return y

    def carried(self, name: str, moves: Array) -> Array:
        """y + d."""
        return self.shifted(self.arrays[name], moves)

    def moves(self, name: str, change: Change) -> Array:
        """The copies less x."""
        base = self.arrays[name]
        if isinstance(change, Columns):
            return change.dense(base.shape)
        moves: Array = np.subtract(change, base, dtype=int if base.dtype == bool else None)
        return moves

    def moves_it(self, name: str) -> bool:
        """Any: an index may jump."""
        return True


class Tangent:
    """x + i h t."""

    is_complex = True

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays

    def unit(self, steps: Array | complex) -> Any:
        """t."""
        return steps.imag / COMPLEX_STEP

    def shifted(self, base: Array, moves: Array) -> Array:
        """x + i h t."""
        copies = np.empty(moves.shape, dtype=np.result_type(base, moves, np.complex64))
        copies.real = base
        np.multiply(moves, COMPLEX_STEP, out=copies.imag)
        return copies

    def answer(self, base: Array, y: Array) -> Array:
        """Im f(x + i h t) / h."""
        moves: Array = np.imag(y) / COMPLEX_STEP
        return moves

    def operand(self, name: str, change: Change) -> Array:
        """x + i h t."""
        return self.shifted(self.arrays[name], self.moves(name, change))

    def outcome(self, y: Array) -> Array:
        """Im y / h."""
        return self.answer(y, y)

    def carried(self, name: str, moves: Array) -> Array:
        """The moves."""
        return moves

    def moves(self, name: str, change: Change) -> Array:
        """The change, as it is nothing else."""
        return change.dense(self.arrays[name].shape) if isinstance(change, Columns) else change

    def moves_it(self, name: str) -> bool:
        """Real numbers alone: an index has no slope."""
        return bool(self.arrays[name].dtype.kind == "f")
