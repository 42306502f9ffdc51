"""A report as single tests: one for each parameter and input under the gradient check, and one for each other check.

Test runners count, select and repeat them by name. There is no bracket in a name: pytest takes those for parameters.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gradcheck.findings import CheckResult, Finding, Row, SpecReport, check_about
from gradcheck.report import _words as words
from gradcheck.report._tellings import is_undecided, paragraphs, root_of

#: The check that is one test for each tensor, and one more for what it says of layers.
PER_TENSOR, LAYERS = "gradient", "layers"
#: Where the spec itself could not be run.
SPEC = "spec"
PASS, FAIL, ERROR, SKIP = "pass", "fail", "error", "skip"


class Examined(Struct, frozen=True):
    """One test.

    name     `gradient::head.weight`, `layers`, `reduction`
    outcome  pass, fail, error (it could not be run), skip (it does not apply, or is excused)
    kind     the code of the worst finding, `inconclusive`, `refused`; empty where it passes
    summary  one line
    text     everything there is to say, findings worst first
    """

    name: str
    outcome: str
    kind: str = ""
    summary: str = ""
    text: str = ""


def names(checks: Iterable[str], tensors: Iterable[str]) -> list[str]:
    """The tests that a spec with these checks, parameters and inputs has."""
    tensors = list(tensors)
    return [
        name
        for check in checks
        for name in ([check] if check != PER_TENSOR else [LAYERS, *(f"{check}::{tensor}" for tensor in tensors)])
    ]


def cases(spec: SpecReport) -> list[Examined]:
    """All tests of a spec, in a fixed order."""
    if spec.errors:
        text = "\n".join(f"{e.path}:{e.line}:{e.column}: {e.message}" for e in spec.errors)
        return [Examined(SPEC, ERROR, "refused", spec.errors[0].message, text)]
    by_check: dict[str, list[CheckResult]] = {}
    for result in spec.checks:
        by_check.setdefault(result.check, []).append(result)
    found = []
    homeless = [finding for finding in words.roots(spec) if _check_of(spec, finding) not in by_check]
    if any(finding.severity == "error" for finding in homeless):
        found.append(_failed(spec, SPEC, homeless))
    for check, results in by_check.items():
        found.append(_of_check(spec, check, results))
        if check == PER_TENSOR:
            found += [_of_row(spec, row) for row in spec.rows]
    return found


def _of_check(spec: SpecReport, check: str, results: list[CheckResult]) -> Examined:
    name = LAYERS if check == PER_TENSOR else check
    tensors = {row.name for row in spec.rows} if check == PER_TENSOR else set()
    own = [f for f in words.roots(spec) if _check_of(spec, f) == check and f.parameter not in tensors]
    errors = [finding for finding in own if finding.severity == "error"]
    if errors:
        return _failed(spec, name, errors)
    verdicts = {result.verdict for result in results}
    reason = next((result.reason for result in results if result.reason), "")
    if verdicts == {"not_applicable"}:
        return Examined(name, SKIP, summary=reason or "not applicable")
    if check != PER_TENSOR and "fail" in verdicts:
        return Examined(name, SKIP, summary="its findings are excused or left out")
    if check != PER_TENSOR and "inconclusive" in verdicts:
        return Examined(name, SKIP, "inconclusive", f"inconclusive: {reason}" if reason else "inconclusive")
    return Examined(name, PASS, text="\n\n".join("\n".join(paragraphs(spec, finding)) for finding in own))


def _of_row(spec: SpecReport, row: Row) -> Examined:
    name = f"{PER_TENSOR}::{row.name}"
    own = [f for f in words.worst_first(spec.findings) if f.parameter == row.name and _check_of(spec, f) == PER_TENSOR]
    errors = [finding for finding in own if finding.severity == "error"]
    if errors:
        roots = [root_of(spec, finding) for finding in errors]
        return _failed(spec, name, list(dict.fromkeys(roots)), row)
    if not row.examined:
        return Examined(name, SKIP, summary=row.reason or "not checked")
    if row.verdict == "fail":
        return Examined(name, SKIP, summary="its findings are excused or left out")
    if is_undecided(row):
        share = f"{words.undecided_share(row)} could not be decided"
        return Examined(name, FAIL, "inconclusive", share, f"{share}: {row.reason}" if row.reason else share)
    left = row.counts.inconclusive
    return Examined(name, PASS, text=f"{words.undecided_share(row)} could not be decided" if left else "")


def _failed(spec: SpecReport, name: str, findings: list[Finding], row: Row | None = None) -> Examined:
    worst = findings[0]
    summary = f"{worst.code} {worst.name}: {worst.message}"
    said = [
        "\n".join([f"{f.severity} {f.code} {f.name}: {words.subject(f)}", f"at {words.place(spec, f)}", *lines])
        for f, lines in ((finding, paragraphs(spec, finding)) for finding in findings)
    ]
    if row is not None and all(finding.parameter != row.name for finding in findings):
        said.insert(0, f"{row.name} is wrong only because of what follows.")
    return Examined(name, FAIL, worst.code, " ".join(summary.split()), "\n\n".join(said))


def _check_of(spec: SpecReport, finding: Finding) -> str:
    """The check that has found it, as its id says (`reduction-2`); else the one that its code is about."""
    check = finding.id.rpartition("-")[0]
    return check if any(result.check == check for result in spec.checks) else check_about(finding.code)
