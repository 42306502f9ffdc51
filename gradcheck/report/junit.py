"""JUnit XML: a suite for each spec; in it a test for each tensor under the gradient check, and for each other check.

There are no times in it: the same run gives the same bytes. Characters that XML cannot have are written out.
"""

from __future__ import annotations

import re
from typing import TextIO
from xml.etree import ElementTree as Xml

from gradcheck.findings import Report, SpecReport
from gradcheck.report._cases import ERROR, FAIL, SKIP, Examined, cases
from gradcheck.report._issues import path_of

_ELEMENTS = {FAIL: "failure", ERROR: "error", SKIP: "skipped"}
_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(report: Report, stream: TextIO) -> None:
    """Write one XML document, in ASCII: whatever the stream's encoding is, it says so rightly."""
    root = Xml.Element("testsuites", {"name": "gradcheck"})
    suites = [_suite(spec) for spec in report.specs]
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.extend(suites)
    Xml.indent(root)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(Xml.tostring(root, encoding="us-ascii").decode("ascii").split("?>\n")[-1] + "\n")


def _suite(spec: SpecReport) -> Xml.Element:
    path, found = path_of(spec.path), cases(spec)
    outcomes = [case.outcome for case in found]
    counts = {"failures": FAIL, "errors": ERROR, "skipped": SKIP}
    suite = Xml.Element("testsuite", {"name": _possible(path), "tests": str(len(found))})
    for name, outcome in counts.items():
        suite.set(name, str(outcomes.count(outcome)))
    suite.extend(_test(path, case) for case in found)
    return suite


def _test(path: str, case: Examined) -> Xml.Element:
    test = Xml.Element("testcase", {"classname": _possible(path), "name": _possible(f"{path}::{case.name}")})
    if case.outcome in _ELEMENTS:
        said = Xml.SubElement(test, _ELEMENTS[case.outcome], {"message": _possible(" ".join(case.summary.split()))})
        if case.kind:
            said.set("type", case.kind)
        said.text = _possible(case.text) or None
    elif case.text:
        Xml.SubElement(test, "system-out").text = _possible(case.text)
    return test


def _possible(text: str) -> str:
    return _IMPOSSIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
