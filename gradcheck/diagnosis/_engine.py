"""From a guilty layer to the name of its mistake: every hypothesis in turn, held against the analytic values.

A mistake is named only where the gradient that it would give meets the analytic one within the error bars. Where two of
them do, they predict once more for other data of the same layer - another upstream gradient, inputs in another order -
and those that fail there are out. Whatever is predicted right up to a factor that can be read is two mistakes at once.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

import gradcheck.diagnosis
from gradcheck.alone import Accused
from gradcheck.diagnosis._fit import factor, readings
from gradcheck.diagnosis._picture import picture
from gradcheck.diagnosis._prediction import Prediction, explained, fits
from gradcheck.findings import CODES, Diagnosis, Entry, Finding
from gradcheck.suspect import Suspect

Array = NDArray[Any]
UNEXPLAINED = "GC100"
#: A closest miss that explains less than this is not worth a word.
_WORTH = 0.2
_SHOWN = 3
#: How closely the upstream gradient that was delivered must meet the numeric one to be taken for it.
_SAME = 1e-12
#: The draw of the data that tells two diagnoses apart.
_PROBE = 2


class Named(Struct, frozen=True):
    """A diagnosis, in code and words; `share` is what it explains."""

    code: str
    formula: str
    says: str
    look: str
    share: float


class Opinion(Struct, frozen=True):
    """What was found out about one suspect.

    named     names that fit, the simplest first
    closest   the closest miss, where nothing fits
    excluded  how many predictions missed
    probed    what was drawn to tell apart what the spec's own data fit, and what it told; empty where nothing was
    """

    named: tuple[Named, ...]
    closest: Named | None
    excluded: int
    probed: str = ""


#: What a hypothesis is asked for: predictions about one suspect.
Ask = Callable[[Suspect], Iterator[Prediction]]
#: A prediction with the code and the question that it comes from.
_Held = tuple[str, Ask, Prediction]
#: So many predictions of one hypothesis that fit are told apart by other data.
_ALIKE = 3
#: From this place on a mistake is named by where it is, not by every value: only where nothing else fits.
_BY_STRUCTURE = 100


@cache
def hypotheses() -> tuple[tuple[int, str, Ask], ...]:
    """Place, code and question of every known mistake, found by walking their folder, in the order of the places."""
    names = [m.name for m in pkgutil.iter_modules(gradcheck.diagnosis.__path__) if not m.name.startswith("_")]
    modules = [import_module(f"{gradcheck.diagnosis.__name__}.{name}") for name in names]
    found = [(place, module.CODE, ask) for module in modules for place, ask in module.ASKED]
    return tuple(sorted(found, key=lambda one: one[:2]))


def diagnosed(findings: Sequence[Finding], accused: Sequence[Accused]) -> tuple[Finding, ...]:
    """The findings, those about a guilty layer with the name of its mistake."""
    by_id = {one.finding: one for one in accused}
    contracts = {f.layer: f for f in reversed(findings) if f.code in _LOOSE and f.severity == "error"}
    named = [_diagnosed(f, by_id.get(f.id), contracts.get(f.layer)) for f in findings]
    causes = {f.layer: f.id for f in named if f.code in _NOT_LINEAR}
    return tuple(
        replace(f, consequence_of=causes[f.layer]) if f.code == "GC504" and f.layer in causes else f for f in named
    )


#: Marks that special cases of theirs, which are asked before them, bear as well.
_GENERAL = ("GC103", "GC104", "GC108")
#: Mistakes for which a backward that is not linear in its upstream gradient is the consequence.
_NOT_LINEAR = ("GC118", "GC119", "GC122", "GC123")
#: What makes the numbers of a backward depend on more than its arguments, and what spoils them.
_UNSTEADY = ("GC502", "GC503")
_LOOSE = (*_UNSTEADY, "GC501", "GC504")


def _diagnosed(finding: Finding, accused: Accused | None, contract: Finding | None) -> Finding:
    if accused is None:
        return _plain(finding)
    suspect = _suspect(accused)
    finding = _with_evidence(finding, suspect)
    if finding.code != UNEXPLAINED:
        return _plain(finding)
    opinion = ask(suspect)
    if contract is not None and (contract.code in _UNSTEADY or not opinion.named):
        finding = replace(finding, consequence_of=contract.id)
    if not opinion.named:
        return replace(finding, message=f"{finding.message}. {_no_name(opinion)}")
    first, *others = opinion.named
    rivals = [o for o in others if o.code != first.code and o.code not in _GENERAL]
    also = "".join(f" It fits {o.code} {CODES[o.code]} as well: {o.says}." for o in rivals)
    seen = _seen(finding, suspect)
    told = f" {opinion.probed}" if opinion.probed else ""
    message = f"{suspect.part.name}: {first.says}. What to look for: {first.look}.{also}{told} In numbers: {seen}"
    found = Diagnosis(CODES[first.code], round(first.share, 6), first.formula)
    return replace(finding, code=first.code, message=message, diagnosis=found, probed=opinion.probed)


def _plain(finding: Finding) -> Finding:
    """A finding whose code says already what is wrong, with a diagnosis of that name."""
    formulas = {
        "GC108": "no gradient was returned",
        "GC114": "a outside of Σ g [lo, hi]",
        "GC115": "a is NaN or Inf, n is finite",
        "GC120": "the shape of a is not that of its array",
    }
    if finding.code not in formulas or finding.consequence_of or finding.diagnosis:
        return finding
    return replace(finding, diagnosis=Diagnosis(CODES[finding.code], 1.0, formulas[finding.code]))


def _seen(finding: Finding, suspect: Suspect) -> str:
    """Where it shows: what was said before the mistake had a name."""
    rest = finding.message.removeprefix(f"{suspect.part.name}: ").removeprefix(f"{suspect.operand}: ")
    _, colon, after = rest.partition(" is not that of its own forward: ")
    return after if colon else rest


def _no_name(opinion: Opinion) -> str:
    tried = f"No known mistake gives these values: {opinion.excluded:,} predictions were held against them"
    closest = opinion.closest
    if closest is None or closest.share < _WORTH:
        return tried
    name = f"{closest.code} {CODES[closest.code]}"
    return f"{tried}; {name} comes closest ({closest.formula}) and explains {closest.share:.0%}"


def _suspect(accused: Accused) -> Suspect:
    """The layer alone, under the numeric upstream gradient where that shows the mistake, else under the delivered "
    "one."""
    delivered = Suspect.of(accused.alone, accused.part, accused.operand)
    with suppress(Exception):
        upstream = accused.alone.numeric_upstream(accused.part)
        if all(np.allclose(g, dy, rtol=_SAME, atol=0) for g, dy in zip(upstream, delivered.upstream, strict=True)):
            return delivered
        numeric = Suspect.of(accused.alone, accused.part, accused.operand, upstream)
        if numeric.wrong.any():
            return numeric
    return delivered


def ask(suspect: Suspect) -> Opinion:
    """Every hypothesis about one suspect."""
    return _ask(suspect) if suspect.wrong.any() else Opinion((), None, 0)


def _ask(suspect: Suspect) -> Opinion:
    missed: list[_Held] = []
    fitting: list[_Held] = []
    probed = ""
    with np.errstate(all="ignore"):
        for place, code, question in hypotheses():
            if fitting and (place >= _BY_STRUCTURE or fitting[0][2].certain):
                break
            met = 0
            for prediction in _predictions(question, suspect):
                on = prediction.on or suspect
                if prediction.certain or fits(on, prediction.values, prediction.free):
                    fitting.append((code, question, prediction))
                    met += 1
                else:
                    missed.append((code, question, prediction))
                if prediction.certain or met == (_ALIKE if place < _BY_STRUCTURE else 1):
                    break
        if len(fitting) > 1:
            fitting, probed = _apart(suspect, fitting)
        if fitting and not _is_structural(fitting[0]):
            return Opinion(_names(fitting, suspect), None, len(missed), probed)
        scaled = next(filter(None, (_scaled(code, question, p, suspect) for code, question, p in missed)), None)
        if scaled is not None:
            return Opinion((scaled,), None, len(missed))
        if fitting:
            return Opinion(_names(fitting, suspect), None, len(missed), probed)
        ranked = [_named(code, p, suspect) for code, _, p in missed]
    return Opinion((), max(ranked, key=lambda n: n.share, default=None), len(missed))


def _names(fitting: Sequence[_Held], suspect: Suspect) -> tuple[Named, ...]:
    """The simplest, and the simplest of another code."""
    first = fitting[0]
    other = next((held for held in fitting if held[0] != first[0]), None)
    return tuple(_named(code, p, suspect) for code, _, p in filter(None, (first, other)))


def _is_structural(fitting: _Held) -> bool:
    return any(question is fitting[1] and place >= _BY_STRUCTURE for place, _, question in hypotheses())


def _predictions(question: Ask, suspect: Suspect) -> Iterator[Prediction]:
    """A hypothesis may ask the layer for what it refuses: then it has nothing more to say."""
    with suppress(Exception):
        yield from question(suspect)


def _named(code: str, prediction: Prediction, suspect: Suspect) -> Named:
    share = explained(prediction.on or suspect, prediction.values)
    return Named(code, prediction.formula, prediction.says, prediction.look, share)


def _apart(suspect: Suspect, fitting: list[_Held]) -> tuple[list[_Held], str]:
    """Those that also fit other data of the same layer, and a sentence if some do not.

    All are left where none of them fits there, or the layer cannot be asked.
    """
    what = f"{suspect.count} samples in another order under another upstream gradient"
    left, how = _hold(suspect.drawn(_PROBE), fitting), f"({what})"
    if len({code for code, _, _ in left}) > 1 and (resized := suspect.resized) is not None:
        still = _hold(resized, left)
        if len(still) < len(left):
            left, how = still, f"(distinct primes as sizes: {resized.arrays[resized.inputs[0]].shape})"
    before, after = _called(fitting), _called(left)
    if before == after:
        return left, ""
    several = "both" if len(before) == 2 else "all of these"
    fitted, fits_only = (" and ".join(some[:_SHOWN]) for some in (before, after))
    return left, f"The spec's own data fit {several}: {fitted}; inputs drawn for this layer {how} fit only {fits_only}."


def _called(held: Sequence[_Held]) -> list[str]:
    return list(dict.fromkeys(f"{code} {CODES[code]} ({prediction.formula})" for code, _, prediction in held))


def _hold(other: Suspect, fitting: list[_Held]) -> list[_Held]:
    """Those whose prediction is right there, too; all, if none is or nothing is wrong there."""
    left = []
    with suppress(Exception):
        if other.wrong.any():
            kinds: dict[Ask, set[str]] = {}
            for _, question, prediction in fitting:
                kinds.setdefault(question, set()).add(_kind(prediction))
            right = {question: _right(question, other, some) for question, some in kinds.items()}
            left = [held for held in fitting if right[held[1]].get(_kind(held[2]), True)]
    return left or fitting


def _right(question: Ask, other: Suspect, kinds: set[str]) -> dict[str, bool]:
    """By kind, whether a prediction of it is right about another suspect; what is not predicted there is left out."""
    found: dict[str, bool] = {}
    for p in _predictions(question, other):
        kind = _kind(p)
        if kind in kinds and not found.get(kind):
            found[kind] = p.certain or fits(p.on or other, p.values, p.free)
            if len(found) == len(kinds) and all(found.values()):
                break
    return found


def _kind(prediction: Prediction) -> str:
    """A formula without the numbers that depend on the data."""
    return "".join(c for c in prediction.formula if not c.isdigit() and c not in ".,-e+")


def _scaled(code: str, question: Ask, prediction: Prediction, suspect: Suspect) -> Named | None:
    """A prediction that is right up to a factor that can be read: -1, 2, N, 1/N, ..."""
    on = prediction.on or suspect
    if prediction.fixed or prediction.free:
        return None
    k = factor(on, prediction.values)
    if not math.isfinite(k) or k == 0 or not fits(on, k * prediction.values, 1):
        return None
    sign = k == -1 or abs(k + 1) < 1e-9
    found = [] if sign else readings(on, k, _factors(question, prediction, suspect.larger()))
    if not sign and not found:
        return None
    word = "the sign is flipped" if sign else f"it is scaled by {found[0].formula}"
    formula = f"{'-' if sign else found[0].formula + ' × '}({prediction.formula.removeprefix('a = ')})"
    return Named(
        code,
        f"a = {formula}",
        f"{prediction.says}; besides, {word}",
        prediction.look,
        explained(on, k * prediction.values),
    )


def _factors(question: Ask, prediction: Prediction, other: Suspect) -> dict[Suspect, float]:
    """By how much the same prediction is off for another number of samples."""
    for again in _predictions(question, other):
        on = again.on or other
        k = factor(on, again.values)
        if _kind(again) == _kind(prediction) and math.isfinite(k) and fits(on, k * again.values, 1):
            return {other: k}
    return {}


# Evidence -------------------------------------------------------------------------------------------------------------


def _with_evidence(finding: Finding, suspect: Suspect) -> Finding:
    """The three entries that show it best, and a picture where structure tells."""
    a, n, bar = suspect.a, suspect.n, suspect.bar
    ratio = np.where(suspect.wrong, np.abs(suspect.e) / np.maximum(bar, np.finfo(float).tiny), 0.0)
    order = np.argsort(-ratio, axis=None)[: min(_SHOWN, int(np.count_nonzero(ratio)))]
    indices = [tuple(int(i) for i in np.unravel_index(k, ratio.shape)) for k in order]
    entries = tuple(Entry(i, float(a[i]), float(n[i]), float(bar[i]), float(ratio[i])) for i in indices)
    drawn = picture(suspect.wrong, suspect.e) if suspect.entries is None else ()
    return replace(finding, entries=entries, picture=drawn)
