"""What formats for people conclude: the verdict on a spec or a run in a sentence, and what does not count."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck.findings import Finding, Report, Row, SpecReport
from gradcheck.report import _words as words


def conclusion(spec: SpecReport) -> str:
    """The verdict on one spec, in a sentence or two."""
    if spec.verdict == "refused":
        return f"This spec was not run: {words.plural(len(spec.errors), 'problem')}."
    guilty = [finding for finding in words.roots(spec) if finding.severity == "error"]
    sentences = [_agreement(spec), _guilt(guilty), _equivalences(spec), _excused(spec)]
    return " ".join(filter(None, sentences))


def brief(spec: SpecReport) -> str:
    """The verdict on a spec without failures, in half a line."""
    c = spec.counts
    passed, _, _, met = words.along(spec)
    kinks = f", {c.kink + met:,} on a kink" if c.kink + met else ""
    what = words.plural(passed, "direction") if spec.drawn else words.plural(c.passed, "entry")
    agree = "agrees" if what.startswith("1 ") else "agree"
    excused = _excused(spec)
    return f"{what} {agree} {_how_closely(spec)}{kinks}.{' ' * bool(excused)}{excused}"


def total(report: Report) -> str:
    """One sentence over all specs: `3 specs: 2 pass, 1 fail; 1,204 entries checked: ...`."""
    verdicts = [spec.verdict for spec in report.specs]
    said = [f"{verdicts.count(v):,} {v.replace('_', ' ')}" for v in dict.fromkeys(sorted(verdicts, key=_best_first))]
    checked, along = (
        [sum(column) for column in zip(*map(counted, report.specs), strict=True)]
        for counted in (words.numbers, words.along)
    )
    entries = words.counted(sum(checked), sum(along), checked, along)
    excused = sum(len(silenced(spec)) for spec in report.specs)
    known = f" {words.plural(excused, 'finding')} excused." if excused else ""
    return f"{words.plural(len(verdicts), 'spec')}: {', '.join(said)}. {entries}.{known}"


def silenced(spec: SpecReport) -> list[str]:
    """What does not count, who says so, and why: `GC114 outside-subgradient at relu_1, by the spec: it is known`."""
    said = []
    ids = {each.finding.id for each in spec.silenced}
    for each in spec.silenced:
        found = each.finding
        if found.consequence_of in ids:
            continue
        family = {found.id}
        while grown := {e.finding.id for e in spec.silenced if e.finding.consequence_of in family} - family:
            family |= grown
        also = f" (and {words.plural(len(family) - 1, 'gradient')} wrong only because of it)" if len(family) > 1 else ""
        said.append(f"{found.code} {found.name} at {found.at}{also}, by the {each.by}: {each.reason}")
    return said


def _excused(spec: SpecReport) -> str:
    """How many findings do not count; empty if all do."""
    excused = len(silenced(spec))
    return f"{words.plural(excused, 'finding')} {'is' if excused == 1 else 'are'} excused." if excused else ""


def _agreement(spec: SpecReport) -> str:
    c = spec.counts
    if spec.drawn:
        return _agreement_along(spec)
    if not c.total:
        return "No entry was compared."
    how_closely = _how_closely(spec)
    if all(row.untested == row.checked for row in spec.rows):
        return "Nothing was tested: every gradient is zero within its error bar."
    if c.passed == c.total == sum(row.entries for row in spec.rows if not row.frozen):
        return f"Every entry agrees {how_closely}: at this point, backward is the derivative of forward."
    if c.passed == c.total:
        return f"Every entry asked for agrees {how_closely}."
    parts = [
        (c.fail, "disagrees", "disagree"),
        (c.inconclusive, "could not be decided", "could not be decided"),
        (c.kink, "sits on a kink", "sit on a kink"),
    ]
    said = [f"{n:,} {one if n == 1 else many}" for n, one, many in parts if n]
    if c.passed and not c.fail:
        said.append(f"the other {c.passed:,} agree {how_closely}")
    return f"Of {words.plural(c.total, 'entry')}, {words.listed(said)}."


def _agreement_along(spec: SpecReport) -> str:
    passed, fail, undecided, kink = words.along(spec)
    if passed == spec.drawn:
        return (
            f"Along every direction, {_how_closely(spec)}, the slopes agree: at this point, backward is the derivative "
            "of forward, but for mistakes that are too small to be seen or cancel along all of them."
        )
    parts = [
        (fail, "disagrees", "disagree"),
        (undecided, "could not be decided", "could not be decided"),
        (kink, "meets a kink", "meet a kink"),
    ]
    said = [f"{n:,} {one if n == 1 else many}" for n, one, many in parts if n]
    return f"Of {words.plural(spec.drawn, 'direction')}, {words.listed(said)}."


def _how_closely(spec: SpecReport) -> str:
    agreeing = (row.max_rel_error for row in spec.rows if not _fails(row))
    closest = max(agreeing, default=0.0, key=_nan_is_worst)
    return f"to a relative error of at most {words.number(closest)}" if closest else "exactly"


def _fails(row: Row) -> bool:
    return bool(row.counts.fail or (row.directions and row.directions["fail"]))


def _nan_is_worst(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _equivalences(spec: SpecReport) -> str:
    held, broken = (
        list(
            dict.fromkeys(
                words.check_title(c) for c in spec.checks if c.check not in words.ABOUT_ENTRIES and c.verdict == verdict
            )
        )
        for verdict in ("pass", "fail")
    )
    if broken:
        return f"Broken: {words.listed(broken)}."
    return f"{words.listed(held).capitalize()} {'holds' if len(held) == 1 else 'hold'}." if held else ""


def _guilt(guilty: Sequence[Finding]) -> str:
    codes: dict[str, dict[str, None]] = {}
    for finding in guilty:
        if not finding.layer:
            continue
        codes.setdefault(finding.layer, {})[f"{finding.code} {finding.name}"] = None
    blamed = [f"{'the loss' if who == 'loss' else f'layer {who}'} ({', '.join(what)})" for who, what in codes.items()]
    return f"Guilty: {words.listed(blamed)}." if blamed else ""


def _best_first(verdict: str) -> int:
    return ("pass", "kink", "not_applicable", "inconclusive", "fail", "refused").index(verdict)
