"""JUnit XML that every reader of it takes."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as Xml

from msgspec.structs import replace
from published import schema

from gradcheck.findings import CheckResult, Finding, Report, Silenced, SpecReport
from gradcheck.report import junit

Written = Callable[..., str]


def test_all_verdicts(report: Report, written: Written, snapshot: Callable[[str, str], None]) -> None:
    text = written(junit, report)
    snapshot("junit.xml", text)
    assert text == written(junit, report, "ascii")


def test_it_keeps_the_published_schema(report: Report, written: Written) -> None:
    import xmlschema

    xmlschema.XMLSchema(str(schema("junit-10.xsd"))).validate(written(junit, report))


def test_counts_add_up_and_names_are_unique(report: Report, written: Written) -> None:
    root = Xml.fromstring(written(junit, report))
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite)
        for name, kind in kinds.items():
            assert int(suite.get(name, "")) == len(suite.findall(f"testcase/{kind}"))
    for name in ("tests", "failures", "errors"):
        assert int(root.get(name, "")) == sum(int(suite.get(name, "")) for suite in root)
    names = [test.get("name") for test in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert "specs/mlp.yaml::gradient::linear_1.weight" in names
    assert not [test for test in root.iter("testcase") if test.get("time")]


def test_each_outcome(report: Report, written: Written) -> None:
    root = Xml.fromstring(written(junit, report))
    tests = {test.get("name", "").partition("::")[::2]: test for test in root.iter("testcase")}
    outcomes = {name: [child.tag for child in test] for (path, name), test in tests.items() if "sign" in path}
    assert outcomes == {
        "layers": [],
        "gradient::[/foo].weight": ["failure"],
        "gradient::head.bias": ["failure"],
        "gradient::frozen.weight": ["skipped"],
        "gradient::input": ["failure"],
        "reduction": ["failure"],
    }
    assert [child.tag for child in tests["specs/bad.yaml", "spec"]] == ["error"]
    tainted = next(test for (path, name), test in tests.items() if "sign" in path and name == "gradient::input")
    assert "input is wrong only because of what follows." in (tainted[0].text or "")


def test_no_character_that_xml_does_not_have(failing: SpecReport, written: Written) -> None:
    bad = replace(failing.findings[1], message="\x1b[31mred\x1b[0m \x00 <&> \ud800 é")
    text = written(junit, Report("0.1.0", (replace(failing, findings=(bad,), path="a\x07b.yaml"),)))
    message = Xml.fromstring(text).find(".//failure")
    assert message is not None
    assert "\\x1b[31mred\\x1b[0m \\x00 <&> \\ud800 é" in message.get("message", "")


def test_what_is_excused_or_undecided_is_skipped(failing: SpecReport, written: Written) -> None:
    excused = Silenced(failing.findings[1], "spec", "known")
    undecided = CheckResult("accumulation", "GC401", "inconclusive", "too wide")
    spec = replace(failing, findings=(), silenced=(excused,), checks=(*failing.checks, undecided))
    root = Xml.fromstring(written(junit, Report("0.1.0", (spec,))))
    said = {test.get("name", "").partition("::")[2]: test.find("skipped") for test in root.iter("testcase")}
    assert {name for name, skipped in said.items() if skipped is None} == {"layers", "gradient::input"}
    assert said["accumulation"].get("message") == "inconclusive: too wide"
    assert said["reduction"].get("message") == "its findings are excused or left out"


def test_nothing_known_of_a_tensor_is_a_failure(failing: SpecReport, written: Written) -> None:
    row = replace(failing.inputs[0], counts=type(failing.inputs[0].counts)(0, 0, 160))
    finding = Finding("time-1", "GC903", "error", "", "time ran out")
    spec = replace(failing, parameters=(), inputs=(row,), findings=(finding,))
    failures = Xml.fromstring(written(junit, Report("0.1.0", (spec,)))).findall(".//failure")
    assert [failure.get("type") for failure in failures] == ["GC903", "inconclusive"]
