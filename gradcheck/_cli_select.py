"""Which findings count, and what a run exits with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gradcheck.findings import Finding, SpecReport
from gradcheck.silencing import without

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_REFUSED = 2
EXIT_BUG = 3
EXIT_NOTHING = 5
EXIT_INTERRUPTED = 130
#: The worst exit of several specs is that of the run. What could not be run weighs most.
_WORST_FIRST = (EXIT_REFUSED, EXIT_FINDINGS, EXIT_NOTHING, EXIT_OK)
FAIL_ON = ("error", "inconclusive", "never")


class Selection(Struct, frozen=True):
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
        left, dropped = without(spec, [finding.id for finding in spec.findings if not self.keeps(finding.code)])
        return replace(left, ignored=len(dropped)), dropped


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


def _longest(prefixes: Sequence[str], code: str) -> int:
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)
