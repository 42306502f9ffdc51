"""What the formats for people have in common: how numbers, entries and verdicts are put into words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gradcheck.findings import CheckResult, Finding, Kink, Report, Row, SpecReport

SEVERITIES = ("error", "warning", "note")
CHECKS = {
    "contract": "contract of backward",
    "gradient": "gradient",
    "reduction": "sum versus mean",
    "per_sample": "per-sample versus batch",
    "accumulation": "micro-batches versus batch",
}
#: The checks that are about entries, and have their say beside the rows; the others are equivalences.
ABOUT_ENTRIES = ("gradient", "vacuity")
METHODS = {"complex": "complex step", "central": "central differences", "five_point": "five-point differences"}


def number(value: float) -> str:
    """Two significant digits."""
    return f"{value:.2g}"


def pair(left: float, right: float) -> tuple[str, str]:
    """Two numbers with as many digits (four at least) as it takes to tell them apart."""
    for digits in range(4, 18):
        words = f"{left:.{digits}g}", f"{right:.{digits}g}"
        if words[0] != words[1]:
            return words
    return f"{left:.4g}", f"{right:.4g}"


def apart(values: Sequence[float]) -> list[str]:
    """Numbers with as many digits (two at least, ten at most) as it takes to tell different ones apart."""
    for digits in range(2, 11):
        words = [f"{value + 0.0:.{digits}g}" for value in values]
        if len(set(words)) == len(set(values)):
            break
    return words


def plural(count: int, noun: str) -> str:
    """`1 entry`, `8,906 entries`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def listed(words: Sequence[str], most: int | None = 5) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c, d, e and 3 more`."""
    shown = list(words[:most])
    if most is not None and len(words) > most:
        shown.append(f"{len(words) - most:,} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def shape(sizes: Sequence[int]) -> str:
    """As Python writes a tuple: `(32,)`, `(32, 8)`."""
    return str(tuple(sizes))


def subject(finding: Finding) -> str:
    """What a finding is about: `head.weight[3, 5]`, a whole tensor, or the layer."""
    if finding.parameter is None:
        return finding.layer
    return _at(finding.parameter, finding.index or ())


def kinks(spec: SpecReport) -> list[str]:
    """Where entries meet their kinks: one sentence or two for each layer that has some, in the order of the rows."""
    first: dict[str, str] = {}
    for row in spec.rows:
        for kink in row.kinks:
            first.setdefault(kink.layer, _kink(row, kink))
    return list(first.values())


def _kink(row: Row, kink: Kink) -> str:
    """`input[0, 3] moved by -7.6e-06, 0 and 7.6e-06: relu_1[0, 2] sees -1e-06, 0 and 1e-06; its slope ...`."""
    steps, values, slopes = apart(kink.steps), apart(kink.values), apart(kink.slopes)
    sees = "sees" if kink.sampled == "input" else "gives"
    too = f", and {plural(kink.others, 'other unit')} met a kink, too" if kink.others else ""
    return (
        f"{_at(row.name, kink.index)} moved by {listed(steps)}: {_at(kink.output, kink.unit)} {sees} "
        f"{listed(values)}; its slope along the entry is {slopes[0]} below and {slopes[1]} above{too}. "
        f"Backward says {number(kink.analytic + 0.0)} for the entry."
    )


def _at(name: str, index: Sequence[int]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def seen(spec: SpecReport) -> str:
    """The smallest relative mistake that could have been seen in each tensor, rounded up to a power of ten.

    `...: 1e-14 in every tensor`, `...: 1e-14 in a and b; 1e-12 in c; none in d`. Empty where nothing says so.
    """
    groups: dict[float, list[str]] = {}
    for row in spec.rows:
        if row.detectable is not None:
            groups.setdefault(_power_of_ten(row.detectable), []).append(row.name)
        elif row.untested:
            groups.setdefault(math.inf, []).append(row.name)
    said = [
        f"{number(size) if size < math.inf else 'none'} in {_all_of(names, spec)}"
        for size, names in sorted(groups.items())
    ]
    return f"Smallest relative mistake that could have been seen: {'; '.join(said)}." if said else ""


def _all_of(names: Sequence[str], spec: SpecReport) -> str:
    return "every tensor" if len(names) == len(spec.rows) > 1 else listed(names, None)


def _power_of_ten(value: float) -> float:
    """The next one, above or equal."""
    return 10.0 ** math.ceil(math.log10(value)) if value > 0 else 0.0


def untested(spec: SpecReport) -> str:
    """In which tensors entries passed because there was nothing to see, and how many; empty where there are none."""
    rows = [row for row in spec.rows if row.untested]
    if not rows:
        return ""
    shares = [
        f"all {row.untested:,} of {row.name}" if row.untested == row.checked > 1
        else f"{row.untested:,} of {row.checked:,} in {row.name}"
        for row in rows
    ]  # fmt: skip
    entries = plural(sum(row.untested for row in rows), "entry")
    verb = "passes" if entries.startswith("1 ") else "pass"
    return (
        f"{entries} {verb} with a gradient of zero within its error bar, where no relative mistake could have been "
        f"seen: {listed(shares)}."
    )


def place(spec: SpecReport, finding: Finding) -> str:
    """`path:line:column`, or the path of the spec where the finding has no place in it."""
    at = finding.location
    return f"{at.path}:{at.line}:{at.column}" if at else spec.path


def check_title(check: CheckResult) -> str:
    """A check's name in words."""
    return CHECKS.get(check.check, check.check.replace("_", " "))


def method(name: str) -> str:
    """A scheme's name in words."""
    return METHODS.get(name, name.replace("_", " "))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, notes; within each the greatest ratio first, and before them what has no finite ratio."""

    def badness(finding: Finding) -> tuple[int, float]:
        ratio = finding.evidence.ratio if finding.evidence else math.inf
        return SEVERITIES.index(finding.severity), -(ratio if math.isfinite(ratio) else math.inf)

    return sorted(findings, key=badness)


def roots(spec: SpecReport) -> list[Finding]:
    """The findings that are no consequence of another one, worst first."""
    return [finding for finding in worst_first(spec.findings) if finding.consequence_of is None]


def consequences(spec: SpecReport, root: Finding) -> list[str]:
    """What is wrong only because of this finding, directly or through another consequence: tensors and layers."""
    family = {root.id}
    while grown := {f.id for f in spec.findings if f.consequence_of in family} - family:
        family |= grown
    return list(dict.fromkeys(f.parameter or f.layer for f in spec.findings if f.id in family - {root.id}))


def undecided(spec: SpecReport) -> list[Row]:
    """Rows with entries about which nothing could be concluded."""
    return [row for row in spec.rows if row.counts.inconclusive]


def counts(spec: SpecReport) -> str:
    """`107 entries checked: 67 pass, 40 fail, 0 inconclusive, 0 kink`."""
    return tally(plural(spec.counts.total, "entry") + " checked", *_numbers(spec))


def tally(what: str, passed: int, fail: int, inconclusive: int, kink: int) -> str:
    """All four counts, also where they are zero: they add up to what was checked."""
    return f"{what}: {passed:,} pass, {fail:,} fail, {inconclusive:,} inconclusive, {kink:,} kink"


def _numbers(spec: SpecReport) -> tuple[int, int, int, int]:
    c = spec.counts
    return c.passed, c.fail, c.inconclusive, c.kink


def conclusion(spec: SpecReport) -> str:
    """The verdict on one spec, in a sentence or two."""
    if spec.verdict == "refused":
        return f"This spec was not run: {plural(len(spec.errors), 'problem')}."
    guilty = [finding for finding in roots(spec) if finding.severity == "error"]
    sentences = [_agreement(spec), _guilt(guilty), _equivalences(spec)]
    return " ".join(filter(None, sentences))


def brief(spec: SpecReport) -> str:
    """The verdict on a spec without failures, in half a line."""
    c = spec.counts
    kinks = f", {c.kink:,} on a kink" if c.kink else ""
    return f"{plural(c.passed, 'entry')} agree {_how_closely(spec)}{kinks}."


def _how_closely(spec: SpecReport) -> str:
    closest = max((row.max_rel_error for row in spec.rows if not row.counts.fail), default=0.0, key=_nan_is_worst)
    return f"to a relative error of at most {number(closest)}" if closest else "exactly"


def _agreement(spec: SpecReport) -> str:
    c = spec.counts
    if not c.total:
        return "No entry was compared."
    how_closely = _how_closely(spec)
    if all(row.untested == row.checked for row in spec.rows):
        return "Nothing was tested: every gradient is zero within its error bar."
    if c.passed == c.total == sum(row.entries for row in spec.rows):
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
    return f"Of {plural(c.total, 'entry')}, {listed(said)}."


def _nan_is_worst(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _equivalences(spec: SpecReport) -> str:
    held, broken = (
        list(
            dict.fromkeys(check_title(c) for c in spec.checks if c.check not in ABOUT_ENTRIES and c.verdict == verdict)
        )
        for verdict in ("pass", "fail")
    )
    if broken:
        return f"Broken: {listed(broken)}."
    return f"{listed(held).capitalize()} {'holds' if len(held) == 1 else 'hold'}." if held else ""


def _guilt(guilty: Sequence[Finding]) -> str:
    codes: dict[str, dict[str, None]] = {}
    for finding in guilty:
        if not finding.layer:
            continue
        codes.setdefault(finding.layer, {})[f"{finding.code} {finding.name}"] = None
    blamed = [f"{'the loss' if who == 'loss' else f'layer {who}'} ({', '.join(what)})" for who, what in codes.items()]
    return f"Guilty: {listed(blamed)}." if blamed else ""


def total(report: Report) -> str:
    """One sentence over all specs: `3 specs: 2 pass, 1 fail; 1,204 entries checked: ...`."""
    verdicts = [spec.verdict for spec in report.specs]
    said = [f"{verdicts.count(v):,} {v.replace('_', ' ')}" for v in dict.fromkeys(sorted(verdicts, key=_best_first))]
    numbers = [sum(column) for column in zip(*map(_numbers, report.specs), strict=True)]
    entries = tally(plural(sum(numbers), "entry") + " checked", *numbers)
    return f"{plural(len(verdicts), 'spec')}: {', '.join(said)}. {entries}."


def _best_first(verdict: str) -> int:
    return ("pass", "kink", "not_applicable", "inconclusive", "fail", "refused").index(verdict)
