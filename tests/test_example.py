"""The sample repository: it passes; with its bug it fails where the bug is; a baseline lets that pass, and no other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from published import schema
from pytest_within import OPTIONS
from ruamel.yaml import YAML

from gradcheck.cli import main

pytest_plugins = "pytester"
EXAMPLE = Path(__file__).parent.parent / "examples" / "custom_layer"


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A copy of the repository, and commands given in it."""
    left_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    shutil.copytree(EXAMPLE, pytester.path, dirs_exist_ok=True, ignore=left_out)
    monkeypatch.delenv("CUSTOM_LAYER_BUGS", raising=False)
    return pytester


def line_of_backward(layer: str) -> int:
    """Where the class of that name begins its backward."""
    lines = (EXAMPLE / "custom_layer" / "layers.py").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"class {layer}(Layer):")
    return next(n for n, line in enumerate(lines[start:], start + 1) if line.startswith("    def backward("))


def test_it_passes(example: pytest.Pytester) -> None:
    assert main(["run", "specs"]) == 0
    result = example.runpytest_inprocess(*OPTIONS)
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] > 10
    assert not {"failed", "errors"} & set(outcomes)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run with the bug writes, by format."""
    folder = tmp_path_factory.mktemp("documents")
    formats = ("sarif", "github", "junit", "gitlab", "markdown", "json")
    reports = {fmt: folder / f"report.{fmt}" for fmt in formats}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(EXAMPLE)
        for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
            patch.delenv(name, raising=False)
        patch.setenv("CUSTOM_LAYER_BUGS", "swish")
        assert main(["run", "specs", *(f"--report={fmt}={path}" for fmt, path in reports.items())]) == 1
    return {fmt: path.read_text(encoding="utf-8") for fmt, path in reports.items()}


def test_with_its_bug_every_document_is_about_the_wrong_backward(documents: dict[str, str]) -> None:
    line = line_of_backward("LearnedSwish")
    (spec,) = json.loads(documents["json"])["specs"]
    roots = [f for f in spec["findings"] if f["consequence_of"] is None and f["severity"] == "error"]
    assert {f["layer"] for f in roots} == {"learned_swish_1"}
    for result in json.loads(documents["sarif"])["runs"][0]["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "custom_layer/layers.py"
        assert place["region"]["startLine"] == line
        (related,) = result["relatedLocations"]
        assert related["physicalLocation"]["artifactLocation"]["uri"] == "specs/net.gradcheck.yaml"
    annotations = [text for text in documents["github"].splitlines() if text.startswith("::error ")]
    assert annotations
    assert all(f"file=custom_layer/layers.py,line={line}," in text for text in annotations)
    assert {entry["location"]["lines"]["begin"] for entry in json.loads(documents["gitlab"])} == {line}
    failed = [
        test.get("name")
        for test in Xml.fromstring(documents["junit"]).iter("testcase")
        if test.find("failure") is not None
    ]
    assert "specs/net.gradcheck.yaml::layers" in failed
    assert f"custom_layer/layers.py:{line}" in documents["markdown"]


def test_with_its_bug_the_sarif_keeps_the_published_schema(documents: dict[str, str]) -> None:
    published = json.loads(schema("sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator(published).validate(json.loads(documents["sarif"]))


def test_with_its_bug_pytest_fails_at_the_named_tests(
    example: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOM_LAYER_BUGS", "swish")
    text = example.runpytest_inprocess(*OPTIONS).stdout.str()
    failed = set(re.findall(r"^FAILED (\S+)", text, re.MULTILINE))
    spec = "specs/net.gradcheck.yaml"
    assert f"{spec}::layers" in failed
    assert f"{spec}::gradient::linear_1.weight" in failed
    assert f"{spec}::gradient::learned_swish_1.beta" not in failed
    assert "tests/test_layers.py::test_backward_is_the_derivative_of_forward[layer0]" in failed
    assert "tests/test_layers.py::test_backward_is_the_derivative_of_forward[layer1]" not in failed
    assert "analytic, from backward" in text


def test_a_baseline_lets_the_old_bug_pass_and_no_new_one(
    example: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "specs", "--format", "json", "--baseline", "known.json"]
    monkeypatch.setenv("CUSTOM_LAYER_BUGS", "swish")
    assert main([*run, "--baseline-update"]) == 0
    assert main(run) == 0
    monkeypatch.setenv("CUSTOM_LAYER_BUGS", "swish,scale")
    capsys.readouterr()
    assert main(run) == 1
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert {finding["layer"] for finding in spec["findings"]} == {"feature_scale_1"}
    monkeypatch.delenv("CUSTOM_LAYER_BUGS")
    assert main([*run, "--baseline-prune"]) == 0
    assert json.loads(Path("known.json").read_text(encoding="utf-8"))["findings"] == []


def test_its_ci_files_are_valid_and_know_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    known = set(re.findall(r"(?<!\w)--[a-z-]+", capsys.readouterr().out))

    def yaml(name: str) -> Any:
        return YAML(typ="safe").load((EXAMPLE / name).read_text(encoding="utf-8"))

    steps = yaml(".github/workflows/gradcheck.yml")["jobs"]["gradcheck"]["steps"]
    hooks = yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    commands = [step.get("run", "") for step in steps] + yaml(".gitlab-ci.yml")["gradcheck"]["script"]
    commands += [hook["entry"] for hook in hooks]
    for command in commands:
        if command.startswith("gradcheck run"):
            assert set(re.findall(r"(?<!\w)--[a-z-]+", command)) <= known
    assert sum(command.startswith("gradcheck") for command in commands) == 4
