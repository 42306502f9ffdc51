"""A forward, seen operation by operation: with the slope of one of them changed, wherever it is called.

Arrays of a class of their own go through a forward as any others do, and every NumPy operation on them is seen with its
place in the source. There its slope can be made that of a constant, of the opposite sign, of a function that was
forgotten. What comes out is the derivative that a backward with just that mistake gives; no backward is asked for it.

The derivative goes along in one of two ways. By the complex step an array is base + i h delta. Where forward does not
take complex numbers it is base + h delta, with the bases from a first run in which nothing moves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gradcheck.diagnosis._sites import Site, site_of

Array = NDArray[Any]
#: Operations of one number each that are looked back at: 1 / (1 + exp(-x)) has four.
_LONGEST = 6
_COMPLEX_STEP = 1e-40
_REAL_STEP = 2.0**-17
PRODUCTS = ("matmul", "dot")
#: Operations of each number by itself, where their other operands are constants.
_ONE_BY_ONE = frozenset(
    name for name in dir(np) if isinstance(getattr(np, name), np.ufunc) and getattr(np, name).signature is None
) | {"clip", "where"}


class Step(Struct, frozen=True):
    """An operation of one number each: what went into it, by how much that moves, and where it is."""

    base: Array
    delta: Array
    site: Site


class Call(Struct, frozen=True):
    """One call of an operation.

    bases    the operands where nothing moves
    deltas   by how much they move; None for what does not
    carried  operands that were made in an earlier round of a loop
    chain    the operations of one number each that lead to the result, this one first
    round    how often the site was called before
    """

    bases: tuple[Any, ...]
    deltas: tuple[Array | None, ...]
    carried: frozenset[int]
    chain: tuple[Step, ...]
    round: int


class Seen(Struct, frozen=True):
    """What the calls of a site have in common.

    moving   operands that have a derivative
    carried  those of them that come from an earlier round of a loop, or do not move in its first one
    given    those of them that are an array of forward as it was given
    chain    the operations of one number each that end here, this one first
    through  the sites of these, in all rounds
    square   whether it is a product with a square matrix
    fold     how many numbers go into one of the result
    rounds   how often it is called
    """

    moving: frozenset[int]
    carried: frozenset[int]
    given: frozenset[int]
    chain: tuple[str, ...]
    through: frozenset[Site]
    square: bool
    fold: int
    rounds: int


class Mistake(Struct, frozen=True):
    """Another slope at a site, or at every one where `site` is None.

    operands  a call -> how its operands move instead, by number
    result    a call, the base of its result, how that moves -> how it moves instead
    through   other sites that it looks back at
    """

    site: Site | None
    operands: Callable[[Call], Mapping[int, Array | None]] | None = None
    result: Callable[[Call, Array, Array], Array] | None = None
    through: frozenset[Site] = frozenset()

    def needs(self, site: Site) -> bool:
        """Whether it must know of the calls of a site."""
        return self.site is None or site is self.site or site in self.through


class Tracer:
    """Sees the operations of one forward, and makes at most one mistake in it.

    bases  what a run in which nothing moves has seen, by site and round; None for the complex step
    calls  how often the mistake's site is called, where that is known: after that nothing more has to be seen
    """

    def __init__(
        self, mistake: Mistake | None = None, bases: Mapping[Any, tuple[Any, Any]] | None = None, calls: int = 0
    ) -> None:
        self.mistake, self.bases, self.left = mistake, bases, calls
        self.over = False
        self.rounds: dict[Site, int] = {}
        self.seen: dict[Site, Seen] = {}
        self.record: dict[tuple[Site, int], tuple[Any, Any]] = {}
        self.calls = 0

    def wrap(self, x: Array, born: tuple[Site, int] | None = None, chain: tuple[Step, ...] = ()) -> Traced:
        """An array whose operations are seen."""
        found = x.view(Traced)
        found.tracer, found.born, found.chain, found.given = self, born, chain, born is None
        return found

    def operate(self, site: Site, act: Callable[..., Any], operands: Sequence[Any]) -> Any:
        """The operation on its plain operands, with the mistake where it is made here."""
        self.calls += 1
        if self.over:
            return act(*map(plain, operands))
        number = self.rounds.get(site, 0)
        self.rounds[site] = number + 1
        values = tuple(map(plain, operands))
        if self.mistake is not None and not self.mistake.needs(site):
            return self._wrapped(act(*values), (site, number), ())
        mistake = self.mistake if self.mistake and self.mistake.site in (None, site) else None
        call = self._call(site, number, operands, values)
        if mistake is not None and mistake.operands is not None:
            changed = mistake.operands(call)
            values = tuple(self._joined(call.bases[k], changed[k]) if k in changed else x for k, x in enumerate(values))
        found = act(*values)
        if mistake is not None and mistake.result is not None and _is_real(found):
            base, delta = self._apart(found, self._recorded(site, number)[1])
            if any(move is not None for move in call.deltas):
                found = self._joined(base, mistake.result(call, base, np.zeros(base.shape) if delta is None else delta))
        if self.bases is not None and not self.bases and mistake is None:
            self.record[site, number] = _deeply(_kept, values), _kept(found)
        if self.mistake is None:
            self._note(site, call, operands, found)
        elif mistake is not None:
            self.left -= 1
            self.over = self.left == 0
        alike = bool(call.chain) and np.shape(call.chain[0].base) == np.shape(found)
        return self._wrapped(found, (site, number), call.chain[:_LONGEST] if alike else ())

    def rounds_of(self, site: Site | None) -> int:
        """How often a site was called, where an operation that is not seen is one as any other; 0 where it is not.

        The magnitude of a complex number has no derivative unless it is seen.
        """
        if site is None or any(each.operation == "absolute" for each in self.rounds):
            return 0
        return self.rounds.get(site, 0)

    def _recorded(self, site: Site, number: int) -> tuple[Any, Any]:
        return (self.bases or {}).get((site, number)) or (None, None)

    def _call(self, site: Site, number: int, operands: Sequence[Any], values: Sequence[Any]) -> Call:
        recorded: Sequence[Any] = self._recorded(site, number)[0] or (None,) * len(values)
        apart = [self._apart(x, base) for x, base in zip(values, recorded, strict=True)]
        bases, deltas = tuple(base for base, _ in apart), tuple(delta for _, delta in apart)
        carried = frozenset(k for k, x in enumerate(operands) if self._is_carried(number, x))
        moving = [k for k, delta in enumerate(deltas) if delta is not None]
        chain: tuple[Step, ...] = ()
        if len(moving) == 1 and site.operation in _ONE_BY_ONE:
            (k,) = moving
            last = Step(bases[k], deltas[k], site)
            before = operands[k].chain if isinstance(operands[k], Traced) else ()
            chain = (last, *before)
        return Call(bases, deltas, carried, chain, number)

    def _apart(self, x: Any, recorded: Any) -> tuple[Any, Any]:
        """Base and delta of an operand or a result."""
        if not _is_real(x):
            return x, None
        if self.bases is None:
            return (x.real, x.imag) if x.dtype.kind == "c" and x.imag.any() else (x, None)
        if recorded is None or np.shape(recorded) != x.shape:
            return x, None
        delta = x - recorded
        return recorded, (delta if delta.any() else None)

    def _joined(self, base: Any, delta: Array | None) -> Any:
        if delta is None:
            return base
        return np.asarray(base + (1j * delta if self.bases is None else delta))

    def _is_carried(self, number: int, x: Any) -> bool:
        born = x.born if isinstance(x, Traced) else None
        return born is not None and born[1] < number

    def _note(self, site: Site, call: Call, operands: Sequence[Any], found: Any) -> None:
        moving = frozenset(k for k, delta in enumerate(call.deltas) if delta is not None)
        if not moving:
            return
        first = call.bases[min(moving)]
        fold = first.size // np.size(found) if _is_real(found) and np.size(found) and first.size else 1
        given = frozenset(k for k in moving if isinstance(operands[k], Traced) and operands[k].given)
        square = site.operation in PRODUCTS and any(
            _is_real(x) and x.ndim >= 2 and x.shape[-1] == x.shape[-2] for x in call.bases
        )
        alike = bool(call.chain) and np.shape(first) == np.shape(found)
        chain = call.chain if alike else ()
        names, through = tuple(step.site.operation for step in chain), frozenset(step.site for step in chain)
        before = self.seen.get(site, Seen(moving, frozenset(), given, names, through, square, max(fold, 1), 0))
        late = frozenset() if before.rounds == 0 and call.round == 0 else moving - before.moving
        late |= moving if before.rounds == 0 and call.round > 0 else frozenset()
        self.seen[site] = Seen(
            before.moving | moving, before.carried | (call.carried & moving) | late, before.given | given,
            max(names, before.chain, key=len), before.through | through, square or before.square, before.fold,
            call.round + 1,
        )  # fmt: skip

    def _wrapped(self, found: Any, born: tuple[Site, int], chain: tuple[Step, ...]) -> Any:
        if isinstance(found, tuple | list):
            return type(found)(self._wrapped(x, born, chain) for x in found)
        return self.wrap(np.asarray(found), born, chain) if _is_real(found) else found


class Traced(np.ndarray):
    """An array of which every operation is seen by a tracer."""

    tracer: Tracer
    born: tuple[Site, int] | None = None
    chain: tuple[Step, ...] = ()
    given: bool = False

    def __array_finalize__(self, other: Any) -> None:
        """Views and copies: of the same origin; what leads to it is known for arrays of the same shape alone."""
        if isinstance(other, Traced):
            alike = other.shape == self.shape
            self.tracer, self.born = other.tracer, other.born
            self.chain, self.given = (other.chain, other.given) if alike else ((), False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """An operation of numbers, or a sum along an axis."""
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        out = options.pop("out", None)
        act = _magnitude if name == "absolute" else getattr(ufunc, method)
        if options:
            act = partial(act, **{key: _deeply(plain, x) for key, x in options.items()})
        found = self.tracer.operate(site_of(name), act, inputs)
        if out is None:
            return found
        plain(out[0])[...] = plain(found)
        if isinstance(out[0], Traced) and isinstance(found, Traced):
            out[0].born, out[0].chain, out[0].given = found.born, (), False
        return out[0]

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        """A function of NumPy, as one operation; of a sequence of arrays each is an operand."""
        options = {key: _deeply(plain, x) for key, x in options.items()}
        site = site_of(function.__name__)
        if arguments and isinstance(arguments[0], tuple | list):
            rest = _deeply(plain, tuple(arguments[1:]))
            return self.tracer.operate(site, lambda *xs: function(list(xs), *rest, **options), arguments[0])
        return self.tracer.operate(site, lambda *xs: function(*xs, **options), arguments)


def plain(x: Any) -> Any:
    """The array itself."""
    return x.view(np.ndarray) if isinstance(x, Traced) else x


def _kept(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


def _magnitude(x: Any, **options: Any) -> Any:
    """|x| with the slope of the real number."""
    return x * np.sign(x.real) if np.iscomplexobj(x) else np.absolute(x, **options)


def _is_real(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fc"


def _deeply(change: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, tuple | list):
        return type(x)(_deeply(change, each) for each in x)
    return change(x)


Forward = Callable[[Any], Sequence[Array]]


class Machine(Struct, frozen=True, eq=False):
    """A forward at some arrays, to be run with one mistake after the other.

    forward  arrays by name -> outputs
    arrays   all that it takes
    operand  the name of the one that moves
    bases    what it does where nothing moves; None for the complex step
    """

    forward: Forward
    arrays: Mapping[str, Array]
    operand: str
    bases: Mapping[Any, Any] | None

    @staticmethod
    def of(forward: Forward, arrays: Mapping[str, Array], operand: str, complex_safe: bool) -> Machine:
        """The complex step, where forward takes complex numbers."""
        if complex_safe:
            return Machine(forward, arrays, operand, None)
        still = Tracer(bases={})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forward({name: still.wrap(x.copy()) if _is_real(x) else x for name, x in arrays.items()})
        return Machine(forward, arrays, operand, still.record)

    def run(self, direction: Array, mistake: Mistake | None = None, calls: int = 0) -> tuple[Array, Tracer]:
        """The derivative of all outputs along a direction of the operand, flat; and what was seen.

        calls  how often the mistake's site is called, where that is known
        """
        if self.bases is None:
            found, tracer = self._at(1j * _COMPLEX_STEP * direction, mistake, calls)
            return found.imag / _COMPLEX_STEP, tracer
        h = _REAL_STEP * max(1.0, float(np.max(np.abs(self.arrays[self.operand]), initial=0.0)))
        (up, tracer), (down, _) = (self._at(sign * h * direction, mistake, calls) for sign in (1, -1))
        return (up - down) / (2 * h), tracer

    def _at(self, move: Array, mistake: Mistake | None, calls: int) -> tuple[Array, Tracer]:
        tracer = Tracer(mistake, self.bases, calls)
        arrays = {name: tracer.wrap(x.copy()) if _is_real(x) else x for name, x in self.arrays.items()}
        arrays[self.operand] = tracer.wrap(self.arrays[self.operand] + move)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = self.forward(arrays)
        return np.concatenate([np.ravel(plain(np.asarray(y))) for y in outputs]), tracer
