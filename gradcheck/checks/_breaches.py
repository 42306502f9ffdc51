"""What a backward may not do, asked of one layer or loss alone: each question answers with the breach, or with None.

The questions build upon each other: whatever is not repeatable cannot be asked whether the order of calls matters, and
whatever depends on that cannot be asked whether it is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from gradcheck.checks._apart import Slack, grows, identical, where_apart
from gradcheck.checks._callee import OPERATIONS, Answer, Callee, Given, Upstream, greatest
from gradcheck.checks._contents import changed, contents
from gradcheck.errors import LayerFailure
from gradcheck.gradients._moves import moved, moved_within

Array = NDArray[Any]
Gradients = Mapping[str, Array]
#: How often the same call is made.
_TIMES = 5
#: Factors of the upstream gradient: small and great ones, all powers of two, so that nothing is rounded by them.
_FACTORS = (2.0, -1.0, 2.0**10, 2.0**-10)
_DRAWS = 4
_SHOWN = 3


class Breach(Struct, frozen=True):
    """A broken part of the contract.

    rest   what was broken, as the end of a sentence that begins with the part's name
    """

    code: str
    rest: str
    severity: str = "error"


@dataclass
class Asked:
    """One part under questioning.

    pure      whether it leaves what it is given as it is: else every call gets copies of its own
    skipped   what could not be asked, and why
    """

    callee: Callee
    pure: bool = True
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.here = self.callee.given()
        self.upstream: Upstream = ()

    def breaches(self) -> Iterator[Breach]:
        """All that is wrong with it, as far as that can be told."""
        state = self.callee.state()
        impure = self.changes()
        if impure:
            self.pure = False
            yield impure
        for question in (self.repeats, self.independent_of_order, self.leaves_results, self.linear):
            found = question()
            if found:
                yield found
                return
        kept = changed(state, self.callee.state())
        if kept and not impure:
            yield Breach("GC501", f"keeps {_listed(kept)} between calls, which another thread or another use of the "
                         "layer may change; nothing that was asked of it here depends on that", "warning")  # fmt: skip

    # Purity -----------------------------------------------------------------------------------------------------------

    def changes(self) -> Breach | None:
        """Whether a call changes what it is given: inputs, parameters, data, the upstream gradient, the cache."""
        callee, given = self.callee, self.here.fresh()
        before = self._of_given(given)
        answer = callee.forward(given)
        self.upstream = callee.upstream(answer, 1)
        between = self._of_given(given)
        upstream = copied(self.upstream)
        kept = _of_backward(upstream, answer)
        callee.backward(upstream, answer.cache)
        after = _of_backward(upstream, answer)
        by_forward = changed(before, between)
        by_backward = [*changed(between, self._of_given(given)), *changed(kept, after)]
        told = [f"{method} changes {_listed(places)}" for method, places in
                (("forward", by_forward), ("backward", by_backward)) if places]  # fmt: skip
        if not told:
            return None
        return Breach("GC501", f"{' and '.join(told)}; both must leave what they are given as it is, because others "
                      "read it, and the next call does")  # fmt: skip

    def _of_given(self, given: Given) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, array in zip(self.callee.inputs, given.inputs, strict=True):
            found |= contents(array, f"its input {name}")
        for name, array in given.keywords.items():
            what = "parameter" if name in self.callee.parameters else "argument"
            found |= contents(array, f"its {what} `{name}`")
        return found

    # Repeatability ----------------------------------------------------------------------------------------------------

    def repeats(self) -> Breach | None:
        """Whether the same call gives the same numbers, five times."""
        answers = [self.forward() for _ in range(_TIMES)]
        first = answers[0]
        for other in answers[1:]:
            apart = self._outputs_apart(first, other)
            if apart:
                return Breach("GC502", f"forward does not repeat itself: called twice with the same numbers, {apart}. "
                              "A mask or noise belongs into `constants`, which are drawn once")  # fmt: skip
        gradients = self.backward(first, self.upstream)
        for other in answers[1:]:
            again = self.backward(other, self.upstream)
            for name, gradient in gradients.items():
                if not identical(gradient, again[name]):
                    slack = self.callee.noise(first, self.upstream, gradients)[name]
                    apart = where_apart(name, gradient, again[name], slack)
                    if apart:
                        return self._unlike(name, apart, slack)
        return None

    def _unlike(self, name: str, apart: str, slack: float) -> Breach:
        """Of gradients that differ from call to call: a buffer grows by the same in each, anything else is drawn."""
        series = [self.backward(self.forward(), self.upstream)[name] for _ in range(_TIMES)]
        if grows(series, slack):
            return Breach("GC503", f"backward adds the same again to {name} in every call: a buffer that is kept "
                          f"between calls and not cleared; {apart}")  # fmt: skip
        return Breach("GC502", "backward does not repeat itself: after two equal forwards, with the same upstream "
                      f"gradient, {apart}. What forward has drawn must be in its cache")  # fmt: skip

    def _outputs_apart(self, first: Answer, other: Answer) -> str:
        for k, (y, again) in enumerate(zip(first.outputs, other.outputs, strict=True)):
            if identical(np.asarray(y), np.asarray(again)):
                continue
            size = max(greatest(y), *(greatest(x) for x in self.here.inputs))
            slack = OPERATIONS * self.callee.unit * size
            told = where_apart(f"output {k}" if len(first.outputs) > 1 else "its output", np.asarray(y), again, slack)
            if told:
                return told
        return ""

    # The order of calls -----------------------------------------------------------------------------------------------

    def independent_of_order(self) -> Breach | None:
        """Whether a backward belongs to its own forward, whatever else was called in between."""
        own = self.forward()
        expected = self.backward(own, self.upstream)
        others = list(self._others())
        for what, found in self._orders(others):
            try:
                gradients = found()
            except LayerFailure as failure:
                return Breach("GC503", f"{what}, {said(failure)}")
            for name, gradient in expected.items():
                if identical(gradient, gradients[name]):
                    continue
                slack = self.callee.noise(own, self.upstream, expected)[name]
                apart = where_apart(name, gradient, gradients[name], slack)
                if apart:
                    return Breach("GC503", f"{what}, its gradient is another one: {apart}. A backward may depend on "
                                  "its cache and its upstream gradient alone")  # fmt: skip
        return self._forward_after(others)

    def _orders(self, others: list[tuple[str, Given]]) -> Iterator[tuple[str, Callable[[], Gradients]]]:
        """In words, an order of calls, and what its backward at the point gives."""

        def after_two() -> Gradients:
            first = self.forward()
            self.forward()
            return self.backward(first, self.upstream)

        def twice() -> Gradients:
            answer = self.forward()
            self.callee.backward(copied(self.upstream), answer.cache)
            return self.callee.backward(copied(self.upstream), answer.cache)

        yield "when forward is called twice before backward", after_two
        if self.pure:
            yield "when backward is called twice with the same cache", twice
        for words, other in others:
            called: list[Answer] = []

            def after_forward(other: Given = other, called: list[Answer] = called) -> Gradients:
                called[:] = self.forward(), self.forward(other)
                return self.backward(called[0], self.upstream)

            def after_both(other: Given = other, called: list[Answer] = called) -> Gradients:
                own, beside = called if self.pure else (self.forward(), self.forward(other))
                self.backward(beside, self.callee.upstream(beside, 2))
                return self.backward(own, self.upstream)

            yield f"after the forward of {words} in between", after_forward
            yield f"after forward and backward of {words} in between", after_both

    def _others(self) -> Iterator[tuple[str, Given]]:
        """Other batches that the part bears: of the same size, and of another one."""
        n = len(self.callee.arrays[self.callee.inputs[0]])
        batches = (("another batch", [min(1, n - 1), *range(1, n)] if n > 1 else [0]),
                   ("a batch of another size", [*range(n), 0] if n == 1 else list(range(1, n))))  # fmt: skip
        for words, samples in batches:
            for factor in (0.75, 1.0):
                with suppress(LayerFailure):
                    other = self.callee.of_samples(samples, factor)
                    answer = self.callee.forward(other.fresh())
                    self.callee.backward(self.callee.upstream(answer, 2), answer.cache)
                    yield words, other
                    break
            else:
                self.skipped.append(words)

    def _forward_after(self, others: list[tuple[str, Given]]) -> Breach | None:
        own = self.forward()
        for words, other in others:
            self.forward(other)
            apart = self._outputs_apart(own, self.forward())
            if apart:
                return Breach("GC503", f"after the forward of {words}, forward gives something else at the same "
                              f"numbers: {apart}. A forward may depend on what it is given alone")  # fmt: skip
        return None

    def leaves_results(self) -> Breach | None:
        """Whether what a call has returned stays as it is in the next one: gradients of several uses are added up."""
        first, second = self.forward(), self._beside()
        returned = self.callee.backward(copied(self.upstream), first.cache)
        kept = contents(first.outputs, "output") | contents(returned, "the gradient")
        with suppress(LayerFailure):
            answer = self.callee.forward(second)
            self.callee.backward(self.callee.upstream(answer, 2), answer.cache)
        now = contents(first.outputs, "output") | contents(returned, "the gradient")
        places = changed(kept, now)
        if not places:
            return None
        return Breach("GC503", f"what a call has returned ({_listed(places)}) is overwritten by the next one: where a "
                      "layer is used several times, the last use would be added up for all. Return a new array in "
                      "every call")  # fmt: skip

    def _beside(self) -> Given:
        """The same samples in the opposite order, with parameters a little smaller."""
        n = len(self.callee.arrays[self.callee.inputs[0]]) if self.here.inputs[0].ndim else 1
        return self.callee.of_samples(list(range(n))[::-1], 0.75)

    # Linearity --------------------------------------------------------------------------------------------------------

    def linear(self) -> Breach | None:
        """Whether backward is linear in the upstream gradient: B(0) = 0, B(c g) = c B(g), B(g + h) = B(g) + B(h)."""
        own = self.forward()
        g, h = self.upstream, self.callee.upstream(own, 2)
        of_g, of_h = ({name: one.astype(np.float64) for name, one in self._ask(own, dy).items()} for dy in (g, h))
        terms, at = sum(np.size(one) for one in g), ((g, of_g), (h, of_h))
        slack = Slack(self.callee, terms, (of_g, of_h), lambda: self._spread(own, at))
        if any(greatest(one) for one in of_g.values()) and all(np.array_equal(of_g[name], of_h[name]) for name in of_g):
            return Breach("GC504", "backward gives the same whatever the upstream gradient is: it ignores it")
        together = tuple(one + other for one, other in zip(g, h, strict=True))
        laws = [("B(0) is not 0", _times(g, 0.0), 0.0, 0.0), ("B(g + h) is not B(g) + B(h)", together, 1.0, 1.0)]
        laws[1:1] = [(f"B({c:g} g) is not {c:g} B(g)", _times(g, c), c, 0.0) for c in _FACTORS]
        for words, upstream, of_first, of_second in laws:
            for name, gradient in self._ask(own, upstream).items():
                expected = of_first * of_g[name] + of_second * of_h[name]
                judged = np.where(np.isfinite(gradient), gradient, expected) if of_first > 1 else gradient
                apart = slack.apart(name, expected, judged, abs(of_first) + of_second, _least(gradient))
                if apart:
                    clipped = of_first > 1 and greatest(gradient) < of_first * greatest(of_g[name]) / 2
                    hint = " (great ones are cut off: clipping)" if clipped else ""
                    return Breach("GC504", f"backward is not linear in the upstream gradient g: {words}{hint}; {apart}")
        return self._layouts(own, slack)

    def _layouts(self, own: Answer, slack: Slack) -> Breach | None:
        """The same upstream gradient, laid out otherwise in memory."""
        if not self.pure or not all(np.ndim(g) for g in self.upstream):
            return None
        even = tuple(np.repeat(g[:1], len(g), axis=0) for g in self.upstream)
        for words, plain, laid_out in (
            ("every second number of a greater array", self.upstream, tuple(map(_strided, self.upstream))),
            ("one row that stands for all samples", even, tuple(map(_broadcast, even))),
        ):
            expected = self._ask(own, plain)
            try:
                found = self._ask(own, laid_out, as_it_is=True)
            except LayerFailure as failure:
                return Breach("GC504", f"{said(failure)} where the upstream gradient is {words}, and nowhere else")
            for name, gradient in found.items():
                apart = slack.apart(name, expected[name], gradient)
                if apart:
                    return Breach(
                        "GC504",
                        f"backward depends on how the upstream gradient lies in memory: where it is {words}, {apart}",
                    )
        return None

    def _spread(self, own: Answer, at: Sequence[tuple[Upstream, Gradients]]) -> dict[str, float]:
        """s by gradient: its greatest change when the upstream gradient or the cache moves by one ulp."""
        spread = dict.fromkeys(at[0][1], 0.0)
        for seed in range(_DRAWS):
            upstream, gradients = at[seed % 2]
            near = tuple(moved(np.asarray(g), seed)[()] if np.asarray(g).dtype.kind == "f" else g for g in upstream)
            for name, found in self._moved(own, near, seed).items():
                change = found.astype(np.float64) - gradients[name]
                spread[name] = max(spread[name], greatest(change))
        return spread

    def _moved(self, own: Answer, near: Upstream, seed: int) -> Gradients:
        """Backward where the upstream gradient has moved, and the cache too if it may."""
        if self.pure:
            with suppress(LayerFailure):
                return self.backward(Answer(own.outputs, moved_within(own.cache, seed)), near)
        with suppress(LayerFailure):
            return self._ask(own, near)
        return {}

    # Calls ------------------------------------------------------------------------------------------------------------

    def forward(self, given: Given | None = None) -> Answer:
        """Forward at the point, or at something else; with copies where the part changes what it is given."""
        given = given or self.here
        return self.callee.forward(given if self.pure else given.fresh())

    def backward(self, answer: Answer, upstream: Upstream) -> Gradients:
        """Backward of that forward, with an upstream gradient of its own -> copies of what it gives."""
        found = self.callee.backward(copied(upstream), answer.cache)
        return {name: gradient.copy() for name, gradient in found.items()}

    def _ask(self, own: Answer, upstream: Upstream, as_it_is: bool = False) -> Gradients:
        """The same at the point, where that was asked before: of an equal forward if the part spoils its cache."""
        answer = own if self.pure else self.forward()
        if not as_it_is:
            return self.backward(answer, upstream)
        return self.callee.backward(upstream, answer.cache)


def _of_backward(upstream: Upstream, answer: Answer) -> dict[str, Any]:
    """What a backward gets, or could reach."""
    found = contents(answer.cache, "cache")
    for what, arrays in (("the upstream gradient", upstream), ("its output", answer.outputs)):
        found |= contents(arrays if len(arrays) > 1 else arrays[0], what)
    return found


def _least(gradient: Array) -> float:
    """What rounding may do at the bottom of a precision."""
    return 4 * float(np.finfo(gradient.dtype).smallest_subnormal) if gradient.dtype.kind == "f" else 0.0


def copied(upstream: Upstream) -> Upstream:
    """The same numbers in other arrays."""
    return tuple(np.copy(g)[()] for g in upstream)


def _times(upstream: Upstream, factor: float) -> Upstream:
    return tuple(g * np.asarray(g).dtype.type(factor) for g in upstream)


def _strided(array: Array) -> Array:
    """The array as every second number, along every axis, of one whose first axis varies fastest."""
    greater = np.zeros([2 * size for size in array.shape], array.dtype, order="F")
    view = greater[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _broadcast(array: Array) -> Array:
    """Its first row for every sample; writable, as some compiled code asks for."""
    row = array[:1].copy()
    return as_strided(row, array.shape, (0, *row.strides[1:]))


def _listed(places: Sequence[str]) -> str:
    shown = list(places[:_SHOWN])
    if len(places) > _SHOWN:
        shown.append(f"{len(places) - _SHOWN:,} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def said(failure: LayerFailure) -> str:
    """What user code did, without its name."""
    return failure.message.partition(": ")[2]
