"""What a sweep says in words: paragraphs below the picture, and the legend. ASCII throughout."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradcheck.report import _words as words
from gradcheck.step_sweep import COMPLEX_STEP, LADDER, Slope, StepSweep

_SCHEMES = {
    "complex": "the complex step",
    "central": "central differences",
    "five_point": "five-point differences",
    "forward": "forward differences",
    "richardson": "extrapolated central differences (Richardson)",
}
_LEGEND = {
    "point": "|D(h) - reference| at one step",
    "kink": "the same at a step that met a kink, where D(h) is no derivative",
    "lost": "a step at which D(h) is not finite",
    "truncation": "truncation, C h^{order} through the points where it is above the noise",
    "noise": "bound of the noise that rounding may add to D(h), about 1/h",
    "analytic": "|backward - reference|",
    "reference": "error of the reference itself: points below it tell nothing",
    "plateau": "plateau",
    "chosen": "{chosen}",
}


def subject(sweep: StepSweep) -> str:
    """`head.weight[3, 5]`."""
    return f"{sweep.parameter}[{', '.join(map(str, sweep.index))}]"


def heading(sweep: StepSweep) -> str:
    """What is drawn."""
    scheme = _SCHEMES[sweep.scheme]
    steps = words.plural(len(sweep.points), "step")
    return f"{scheme[0].upper()}{scheme[1:]} at {steps}. The entry is {sweep.at:.4g}. Seed {sweep.seed}."


def legend(sweep: StepSweep, shown: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Character and meaning of whatever occurs in the picture; `shown` has the characters."""
    chosen = "step to choose" if sweep.choice.settled else "the scheme's usual step"
    for kind, meaning in _LEGEND.items():
        if kind in shown:
            yield shown[kind], meaning.format(order=sweep.order, chosen=chosen)


def paragraphs(sweep: StepSweep) -> Iterator[tuple[str, str]]:
    """Label and text, in the order of reading."""
    yield "reference", _reference(sweep)
    yield "backward", _backward(sweep)
    yield "truncation", _truncation(sweep)
    yield "noise", _noise(sweep.noise)
    yield "plateau", _plateau(sweep)
    yield "step to choose", _choice(sweep)
    yield "run takes", _default(sweep)
    if any(p.kink for p in sweep.points):
        yield "kinks", _kinks(sweep)
    if exact := sum(p.error == 0 for p in sweep.points):
        yield "exact", f"{words.plural(exact, 'point')} of {len(sweep.points)}: D(h) is the reference to the last bit."
    if lost := sum(not math.isfinite(p.error) for p in sweep.points):
        yield "not finite", f"{words.plural(lost, 'point')} of {len(sweep.points)}: D(h) is NaN or infinite."


def _reference(sweep: StepSweep) -> str:
    found = sweep.reference
    said = f"{found.value:.10g} +/- {words.number(found.error)}"
    why = f"not the complex step, because {found.reason}" if found.reason else ""
    if found.source == COMPLEX_STEP:
        text = f"{said}, by the complex step, which every layer between {sweep.parameter} and the loss bears."
    elif found.source == LADDER:
        text = f"{said}, from the plateau of a ladder of steps; {why}."
    else:
        text = (
            f"none that could be trusted: the steps of a ladder agree nowhere, or in two places; {why}. Errors are "
            f"measured from what one step says, {_value(found.value)}."
        )
    smooth = found.source == COMPLEX_STEP and not any(point.kink for point in sweep.points)
    if smooth and abs(found.value) <= found.error < math.inf:
        text += " That is zero within its error: here, a backward that says zero passes whatever its rule is."
    return text


def _backward(sweep: StepSweep) -> str:
    if sweep.failure:
        return f"no value: {sweep.failure}"
    apart = abs(sweep.analytic - sweep.reference.value)
    relative = f" ({words.number(apart / abs(sweep.reference.value))} of it)" if sweep.reference.value else ""
    said = words.pair(sweep.analytic, sweep.reference.value)[0] if apart else f"{sweep.analytic:.10g}"
    return f"{said}, {words.number(apart)} from the reference{relative if apart else ''}."


def _truncation(sweep: StepSweep) -> str:
    slope, order = sweep.truncation, sweep.order
    if slope.measured is None:
        return f"no slope to measure: {slope.reason}. Expected {order}, the order of the scheme."
    said = f"slope {slope.measured:.2f} over {_range(slope)}; expected {order}, the order of the scheme."
    if slope.as_expected:
        return said
    if slope.measured > order:
        return f"{said} It is steeper: the leading term vanishes here, or some steps met a kink that no layer tells of."
    return f"{said} It is flatter: a kink that no layer tells of, or steps too long for the order to show."


def _noise(slope: Slope) -> str:
    if slope.measured is None:
        return f"no slope to measure: {slope.reason}."
    said = f"slope {slope.measured:.2f} over {_range(slope)}; expected -1."
    return said if slope.as_expected else f"{said} The rounding of this forward is not like noise: a staircase, say."


def _range(slope: Slope) -> str:
    return f"{words.plural(slope.points, 'step')} from {words.number(slope.shortest)} to {words.number(slope.longest)}"


def _plateau(sweep: StepSweep) -> str:
    if sweep.plateau is None:
        return "none that could be seen around the step to choose."
    first, last = map(words.number, sweep.plateau)
    return f"from {first} to {last} the error stays within the error bar of the step to choose."


def _choice(sweep: StepSweep) -> str:
    choice = sweep.choice
    if not choice.settled:
        kinks = all(p.kink for p in sweep.points)
        why = "every step met a kink" if kinks else "no three steps of this scheme agree above its noise"
        return f"none: {why}. Its usual step, {words.number(choice.step)}, says {_value(choice.value)}."
    return f"{words.number(choice.step)}; it gives {choice.value:.10g} +/- {words.number(choice.error_bar)}."


def _default(sweep: StepSweep) -> str:
    default = sweep.default
    why = f"; {default.reason}" if default.reason else ""
    said = _value(default.value)
    said += f" +/- {words.number(default.error)}" if math.isfinite(default.value) else ""
    return (
        f"by default, {_SCHEMES[default.scheme]} with h = {words.number(default.step)} for all of "
        f"{sweep.parameter}; here it says {said}{why}."
    )


def _value(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else "no finite number"


def _kinks(sweep: StepSweep) -> str:
    count = sum(p.kink for p in sweep.points)
    where = words.listed(sweep.kink_layers)
    if count == len(sweep.points):
        return (
            f"every step leaves the smooth piece of {where}: the entry sits on a kink, where there is no derivative: "
            "D(h) mixes the slopes of its sides. `gradcheck run` judges such an entry layer by layer."
        )
    longest = max(p.step for p in sweep.points if not p.kink)
    return (
        f"{words.plural(count, 'step')} of {len(sweep.points)} left the smooth piece of {where}; "
        f"the longest that did not is {words.number(longest)}. Slopes and plateau leave them out."
    )
