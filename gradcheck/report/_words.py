"""What the formats for people have in common: how numbers, entries and verdicts are put into words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gradcheck.findings import CheckResult, Finding, Kink, LayerRow, Row, SpecReport

SEVERITIES = ("error", "warning", "note")
#: Verdicts of what did not pass.
FAILING = ("refused", "fail", "inconclusive")
CHECKS = {
    "contract": "contract of backward",
    "gradient": "gradient",
    "reduction": "sum versus mean",
    "output_error": "output error",
    "per_sample": "per-sample versus batch",
    "accumulation": "micro-batches versus batch",
    "probe": "better inputs for every layer alone",
}
#: The checks that are about entries, and have their say beside the rows; the others are equivalences.
ABOUT_ENTRIES = ("gradient", "vacuity", "probe")
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


def objective(spec: SpecReport) -> str:
    """What a step makes of the loss, where that is not to lower it."""
    if spec.objective != "maximize":
        return ""
    return "; it is to be maximized: gradients are those of the loss, and a step goes along them (θ + η ∂loss/∂θ)"


def learnt(layer: LayerRow) -> str:
    """How many parameters a layer has: `42`, `42 shared` where they are those of a layer above, `7 + 42 shared`."""
    shared = f"{layer.shared:,} shared" if layer.shared else ""
    own = f"{layer.parameters:,}" if layer.parameters else ""
    return " + ".join(filter(None, (own, shared))) or "-"


def shared(spec: SpecReport) -> list[str]:
    """Which parameters stand in several places; all of one module share a sentence."""
    modules: dict[tuple[str, tuple[str, ...]], None] = {}
    others = []
    for row in spec.rows:
        owner, places = _module(row)
        if places:
            modules[owner, places] = None
        elif row.uses:
            count = len(row.uses)
            others.append(f"{row.name} stands in {count} places, and its gradient is the sum: {listed(row.uses)}.")
    said = [
        f"{owner} stands in {len(places)} places ({listed(places)}): the gradient of each of its parameters is the sum."
        for owner, places in modules
    ]
    return said + others


def _module(row: Row) -> tuple[str, tuple[str, ...]]:
    """The module whose parameter this is, and where that is used; nothing where it is no module's alone.

    `tower.linear_1.weight` in `tower_1.linear_1.weight` and `tower_2.linear_1.weight`.
    """
    owner, _, inner = row.name.partition(".")
    places = tuple(use.removesuffix(f".{inner}") for use in row.uses)
    alike = "." in inner and all(place != use for place, use in zip(places, row.uses, strict=True))
    return (owner, places) if alike else ("", ())


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


def index(numbers: Sequence[int] | None) -> str:
    """`[3, 5]`; empty where there is none."""
    return f"[{', '.join(map(str, numbers))}]" if numbers is not None else ""


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
    of_one = " in one entry of usual size" if spec.drawn else ""
    return f"Smallest relative mistake{of_one} that could have been seen: {'; '.join(said)}." if said else ""


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
    """Rows with entries, or directions, about which nothing could be concluded."""
    return [row for row in spec.rows if row.counts.inconclusive or (row.directions and row.verdict == "inconclusive")]


def undecided_share(row: Row) -> str:
    """`3 of 8 entries`, `2 of 4 directions`."""
    if row.directions:
        drawn = row.directions["drawn"]
        left = drawn - row.directions["pass"] - row.directions["fail"]
        return f"{left:,} of {plural(drawn, 'direction')}"
    return f"{row.counts.inconclusive:,} of {plural(row.checked, 'entry')}"


def counts(spec: SpecReport) -> str:
    """`107 entries checked: 67 pass, 40 fail, 0 inconclusive, 0 kink`; or directions."""
    return counted(spec.counts.total, spec.drawn, numbers(spec), along(spec))


def counted(entries: int, drawn: int, checked: Sequence[int], along: Sequence[int]) -> str:
    """Entries, directions, or both: what there is nothing of is left out, unless there is nothing at all."""
    said = [tally(plural(entries, "entry") + " checked", *checked)] if entries or not drawn else []
    said += [tally(plural(drawn, "direction") + " probed", *along)] if drawn else []
    return "; ".join(said)


def along(spec: SpecReport) -> tuple[int, int, int, int]:
    """Directions that pass, fail, could not be decided, or met a kink; those of one row that do neither are alike."""
    passed = fail = undecided = kink = 0
    for row in spec.rows:
        if row.directions:
            left = row.directions["drawn"] - row.directions["pass"] - row.directions["fail"]
            passed, fail = passed + row.directions["pass"], fail + row.directions["fail"]
            undecided, kink = (undecided, kink + left) if row.verdict == "kink" else (undecided + left, kink)
    return passed, fail, undecided, kink


def tally(what: str, passed: int, fail: int, inconclusive: int, kink: int) -> str:
    """All four counts, also where they are zero: they add up to what was checked."""
    return f"{what}: {passed:,} pass, {fail:,} fail, {inconclusive:,} inconclusive, {kink:,} kink"


def numbers(spec: SpecReport) -> tuple[int, int, int, int]:
    c = spec.counts
    return c.passed, c.fail, c.inconclusive, c.kink


def directions_at_kinks(spec: SpecReport) -> str:
    """What became of the directions that met a kink; empty if there are none."""
    *_, met = along(spec)
    if not met:
        return ""
    return (
        f"{plural(met, 'direction')} met a kink (a relu at 0, a tie in a maximum), where there is no derivative, so "
        "each layer on the path was judged alone: backward says one of the slopes allowed."
    )
