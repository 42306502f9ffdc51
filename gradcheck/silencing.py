"""Findings that do not count: which they are, and what is left of a report without them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from gradcheck.errors import UsageError
from gradcheck.findings import CODES, Finding, Location, Silenced, SpecReport, check_about, worst_verdict

UNUSED = "GC604"
#: The text of every code that is given here.
TEXTS = {
    UNUSED: """An exception in a spec that excuses nothing.

## What it is
An entry of the spec's `ignore` fits none of the findings of this run.

## Why it is bad
It is no mistake of the network. But the entry stays behind like an open door: the next mistake that it fits passes
unseen, with a reason that is about another one.

## Typical causes
The mistake was mended and the entry forgotten; the layer has another name now; the code of the finding has changed
because gradcheck can say more about it; a slip in `at`.

## How to repair
Take the entry out of the spec, or write what the finding says: its code, and its layer or parameter.

## How to silence
`--ignore GC604`. A warning never changes the exit code.
""",
}


class Ignore(Struct, frozen=True):
    """One entry of a spec's `ignore`.

    code    a code or the beginning of codes
    at      a layer or a parameter, or a pattern of them; `*` for all
    reason  the user's own
    """

    code: str
    at: str
    reason: str
    location: Location

    def fits(self, finding: Finding) -> bool:
        """Whether it excuses a finding."""
        names = (finding.layer, finding.parameter or finding.layer)
        return finding.code.startswith(self.code) and any(fnmatchcase(name, self.at) for name in names)


def code_prefix(text: str) -> str:
    """A code (`GC101`), the beginning of codes (`GC1`) or a name (`sign-flipped`) -> the code or beginning."""
    by_name = {name: code for code, name in CODES.items()}
    prefix = by_name.get(text.lower(), text.upper())
    if len(prefix) > 1 and any(code.startswith(prefix) for code in CODES):
        return prefix
    close = difflib.get_close_matches(text.lower(), by_name, n=1) or difflib.get_close_matches(prefix, CODES, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; `gradcheck list checks` shows all codes"
    raise UsageError(f"there is no code or name {text!r}{hint}")


def without(spec: SpecReport, ids: Collection[str]) -> tuple[SpecReport, list[Finding]]:
    """The report without some findings, and those; counts of entries stay as they are.

    A consequence goes with its cause. The verdict is that of what is left: `fail` where an error is.
    """
    gone = set(ids)
    while more := {f.id for f in spec.findings if f.consequence_of in gone} - gone:
        gone |= more
    kept = tuple(finding for finding in spec.findings if finding.id not in gone)
    dropped = [finding for finding in spec.findings if finding.id in gone]
    if dropped and spec.verdict == "fail" and not any(finding.severity == "error" for finding in kept):
        spec = replace(spec, verdict=_verdict_without_errors(spec))
    return replace(spec, findings=kept), dropped


def silence(spec: SpecReport, by: str, reasons: dict[str, str]) -> SpecReport:
    """The report with some findings excused; `reasons` are by the ids of findings."""
    left, dropped = without(spec, reasons)
    causes = {finding.id: finding.consequence_of for finding in dropped}

    def reason(name: str) -> str:
        while name not in reasons and (cause := causes.get(name)):
            name = cause
        return reasons.get(name, "")

    silenced = tuple(Silenced(finding, by, reason(finding.id)) for finding in dropped)
    return replace(left, silenced=(*spec.silenced, *silenced))


def ignoring(spec: SpecReport, ignores: Sequence[Ignore], whole: bool = True) -> SpecReport:
    """The report without what the spec's own `ignore` excuses, and with a warning for every entry that is unused.

    whole  whether all that the spec asks for was looked at: else an unused entry may well be needed, as one may that is
           about a check which is off
    """
    ran = {result.check for result in spec.checks}
    reasons: dict[str, str] = {}
    unused: list[Finding] = []
    for ignore in ignores:
        fitting = [finding for finding in spec.findings if ignore.fits(finding)]
        reasons = {finding.id: ignore.reason for finding in fitting} | reasons
        if not fitting and whole and check_about(ignore.code) in ran:
            unused.append(_unused(ignore, len(unused) + 1, spec.replay))
    spec = silence(spec, "spec", reasons)
    return replace(spec, findings=(*spec.findings, *unused))


def _unused(ignore: Ignore, number: int, replay: str) -> Finding:
    what = ignore.code if ignore.at == "*" else f"{ignore.code} at {ignore.at}"
    message = f"the spec ignores {what}, but there is no such finding; take the entry out of `ignore`"
    return Finding(f"ignore-{number}", UNUSED, "warning", "", message, location=ignore.location, replay=replay)


def _verdict_without_errors(spec: SpecReport) -> str:
    counts = spec.counts
    present = ["inconclusive"] * (counts.inconclusive > 0) + ["kink"] * (counts.kink > 0)
    return worst_verdict([*present, *(c.verdict for c in spec.checks if c.verdict in ("inconclusive", "pass"))])
