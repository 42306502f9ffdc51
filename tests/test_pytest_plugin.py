"""Specs as tests of pytest. Each run is one of pytest within this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_within import OPTIONS

import gradcheck.pipeline
from gradcheck.pipeline import check_names

pytest_plugins = "pytester"
LAYERS = """\
import numpy as np
from gradcheck import Layer

class Scale(Layer):
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}

    def forward(self, x, gain):
        return x * gain, (x, gain)

    def backward(self, dy, cache):
        x, gain = cache
        return dy * gain, {"gain": (dy * x).mean(axis=0)}
"""
SPEC = """\
data: {batch_size: 3, inputs: {shape: [2]}, targets: {shape: [2]}}
network: [%s]
loss: mse
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".gradcheck.yaml", good=SPEC % "tanh", wrong=SPEC % "tanh, scale")
    pytester.makefile(".yaml", other=SPEC % "nothing")
    pytester.makepyfile(layers=LAYERS)
    pytester.makepyprojecttoml(
        '[tool.gradcheck]\nplugins = ["layers.py"]\n[tool.pytest.ini_options]\naddopts = "--strict-markers"\n'
    )
    return pytester


def test_tests_are_named_by_check_and_parameter_and_fail_with_the_finding(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(*OPTIONS, "-v", "-rs")
    outcomes = dict(line.split()[:2] for line in result.outlines if "::" in line and "%]" in line)
    assert outcomes["good.gradcheck.yaml::gradient::input"] == "PASSED"
    assert outcomes["wrong.gradcheck.yaml::gradient::scale_1.gain"] == "FAILED"
    assert outcomes["wrong.gradcheck.yaml::gradient::input"] == "PASSED"
    assert outcomes["wrong.gradcheck.yaml::contract"] == "PASSED"
    checks = {name.partition("::")[2] for name in outcomes if name.startswith("wrong")}
    assert checks == {*check_names()} - {"gradient"} | {"layers", "gradient::input", "gradient::scale_1.gain"}
    text = result.stdout.str()
    failure = text.split("gradient scale_1.gain _")[1].split("\n____")[0]
    assert "error GC" in failure
    assert "analytic, from backward:" in failure
    assert "Repeat it: gradcheck run wrong.gradcheck.yaml --plugin layers.py" in failure
    assert "Traceback" not in text
    assert "pytest_plugin.py" not in text


def test_one_test_can_be_selected_and_so_can_all_by_their_marker(project: pytest.Pytester) -> None:
    project.makepyfile("def test_other(): pass")
    name = "wrong.gradcheck.yaml::gradient::scale_1.gain"
    project.runpytest_inprocess(*OPTIONS, name).assert_outcomes(failed=1)
    result = project.runpytest_inprocess(*OPTIONS, "-m", "not gradcheck")
    assert result.parseoutcomes()["deselected"] == 2 * len(check_names()) + 3
    assert result.parseoutcomes()["passed"] == 1


def test_a_spec_is_run_once_and_not_before_its_tests_are(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    run_case = gradcheck.pipeline.run_case

    def counted(case, replay):
        runs.append(case.path)
        return run_case(case, replay)

    monkeypatch.setattr(gradcheck.pipeline, "run_case", counted)
    project.runpytest_inprocess(*OPTIONS, "--collect-only")
    assert runs == []
    assert "passed" in project.runpytest_inprocess(*OPTIONS, "good.gradcheck.yaml").parseoutcomes()
    assert runs == ["good.gradcheck.yaml"]


def test_the_last_failures_can_be_repeated(project: pytest.Pytester) -> None:
    failed = project.runpytest_inprocess(*OPTIONS, "wrong.gradcheck.yaml").parseoutcomes()["failed"]
    project.runpytest_inprocess(*OPTIONS, "--lf").assert_outcomes(failed=failed)


@pytest.mark.parametrize(("network", "said"), [
    ("reul", "*bad.gradcheck.yaml:2:11: unknown layer `reul`; did you mean `relu`?*"),
    ("[", "*bad.gradcheck.yaml:*"),
])  # fmt: skip
def test_a_broken_spec_is_an_error_of_its_collection(network: str, said: str, pytester: pytest.Pytester) -> None:
    pytester.makefile(".gradcheck.yaml", bad=SPEC % network)
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])
    assert "Traceback" not in result.stdout.str()


def test_settings_hold_here_too(project: pytest.Pytester) -> None:
    project.makepyprojecttoml('[tool.gradcheck]\nplugins = ["layers.py"]\nignore = ["GC1,GC3,GC4"]\nseed = 5\n')
    result = project.runpytest_inprocess(*OPTIONS, "-rs", "wrong.gradcheck.yaml")
    assert "failed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["*its findings are excused or left out*"])
    project.makepyprojecttoml("[tool.gradcheck]\nsede = 5\n")
    result = project.runpytest_inprocess(*OPTIONS, "good.gradcheck.yaml")
    result.stdout.fnmatch_lines(["*there is no setting `sede`; did you mean `seed`?*"])


def test_a_layer_that_raises_is_a_failure(project: pytest.Pytester) -> None:
    project.makepyfile(layers=LAYERS.replace("return x * gain, (x, gain)", "raise ValueError('no')"))
    result = project.runpytest_inprocess(*OPTIONS, "wrong.gradcheck.yaml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GC901 layer-raised*", "*forward raised ValueError: no*"])


def test_the_plugin_loads_nothing_heavy() -> None:
    heavy = {"numpy", "click", "rich", "ruamel.yaml"}
    code = f"import sys, gradcheck.pytest_plugin; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert done.stdout == "[]\n"
