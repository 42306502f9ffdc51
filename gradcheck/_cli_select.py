"""Which findings count, and what a run exits with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gradcheck.errors import UsageError
from gradcheck.findings import CODES, Finding, SpecReport, worst_verdict

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_REFUSED = 2
EXIT_BUG = 3
EXIT_NOTHING = 5
EXIT_INTERRUPTED = 130
#: The worst exit of several specs is that of the run. What could not be run weighs most.
_WORST_FIRST = (EXIT_REFUSED, EXIT_FINDINGS, EXIT_NOTHING, EXIT_OK)
FAIL_ON = ("error", "inconclusive", "never")


def code_prefix(text: str) -> str:
    """A code (`GC101`), the beginning of codes (`GC1`) or a name (`sign-flipped`) -> the code or beginning."""
    by_name = {name: code for code, name in CODES.items()}
    prefix = by_name.get(text.lower(), text.upper())
    if len(prefix) > 1 and any(code.startswith(prefix) for code in CODES):
        return prefix
    close = difflib.get_close_matches(text.lower(), by_name, n=1) or difflib.get_close_matches(prefix, CODES, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; `gradcheck list checks` shows all codes"
    raise UsageError(f"there is no code or name {text!r}{hint}")


@dataclass(frozen=True)
class Selection:
    """--select and --ignore: prefixes of codes. The longer one wins; of two equal ones --ignore does."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def keeps(self, code: str) -> bool:
        """Whether findings with this code count."""
        chosen = _longest(self.select, code) if self.select else 0
        return chosen > _longest(self.ignore, code)

    def apply(self, spec: SpecReport) -> tuple[SpecReport, list[Finding]]:
        """The report without the findings that do not count, and those; counts of entries stay as they are.

        A consequence goes with its cause. The verdict is that of what was selected: `fail` where an error is left.
        """
        gone = {finding.id for finding in spec.findings if not self.keeps(finding.code)}
        while more := {f.id for f in spec.findings if f.consequence_of in gone} - gone:
            gone |= more
        kept = tuple(finding for finding in spec.findings if finding.id not in gone)
        dropped = [finding for finding in spec.findings if finding.id in gone]
        if dropped and spec.verdict == "fail" and not any(finding.severity == "error" for finding in kept):
            spec = replace(spec, verdict=_verdict_without_errors(spec))
        return replace(spec, findings=kept, ignored=len(dropped)), dropped


def exit_code(spec: SpecReport, fail_on: str) -> int:
    """What one spec asks the run to exit with."""
    if spec.verdict == "refused":
        return EXIT_REFUSED
    examined = [check for check in spec.checks if check.verdict != "not_applicable"]
    if not (spec.counts.total or spec.findings or examined):
        return EXIT_NOTHING
    undecided = [row for row in spec.rows if row.checked and row.counts.inconclusive == row.checked]
    uncertain = fail_on == "inconclusive" and spec.verdict == "inconclusive"
    if fail_on != "never" and (spec.verdict == "fail" or _errors(spec.findings) or undecided or uncertain):
        return EXIT_FINDINGS
    return EXIT_OK


def worst_exit(codes: Iterable[int]) -> int:
    """The exit of a run of several specs."""
    return min(codes, key=_WORST_FIRST.index)


def _errors(findings: Sequence[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _verdict_without_errors(spec: SpecReport) -> str:
    counts = spec.counts
    present = ["inconclusive"] * (counts.inconclusive > 0) + ["kink"] * (counts.kink > 0)
    return worst_verdict([*present, *(c.verdict for c in spec.checks if c.verdict in ("inconclusive", "pass"))])


def _longest(prefixes: Sequence[str], code: str) -> int:
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)
