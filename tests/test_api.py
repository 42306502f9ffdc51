"""One call for a layer, a loss or a network in Python."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from user_layers import Halved, Raises, Raising

import gradcheck
from gradcheck import Layer
from gradcheck.errors import ShapeError, UsageError
from gradcheck.layers.linear import Linear
from gradcheck.layers.softmax import Softmax
from gradcheck.losses.mse import Mse

RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 4))


def test_a_layer_that_ships_passes_and_its_report_is_that_of_a_spec() -> None:
    report = gradcheck.check_layer(Linear(2), X)
    (spec,) = report.specs
    assert (report.version, report.verdict, spec.name) == (gradcheck.__version__, "pass", "linear")
    assert [row.name for row in spec.rows] == ["linear.weight", "linear.bias", "input"]
    assert [check.check for check in spec.checks] == ["contract", "gradient", "per_sample", "vacuity"]
    assert spec.counts.total == 4 * 2 + 2 + 12


def test_a_softmax_does_not_hide_behind_a_sum() -> None:
    (spec,) = gradcheck.check_layer(Softmax(), X).specs
    assert spec.counts.passed == X.size
    assert not spec.findings


def test_options_are_those_of_a_spec() -> None:
    report = gradcheck.check_layer(
        Linear(2), X, parameters={"weight": np.ones((4, 2))}, dtype="float32", method="central", step=1e-4,
        checks=["gradient"], name="mine", seed=9,
    )  # fmt: skip
    (spec,) = report.specs
    assert (spec.name, spec.seed, spec.dtype, len(spec.checks)) == ("mine", 9, "float32", 1)
    assert {row.method for row in spec.rows} == {"central"}


def test_the_assertion_says_what_the_report_says_worst_first() -> None:
    gradcheck.assert_layer(Linear(2), X)
    with pytest.raises(AssertionError) as caught:
        gradcheck.assert_layer(Halved(), X)
    message = str(caught.value)
    first, *_ = [line for line in message.splitlines() if line.startswith("error")]
    (spec,) = gradcheck.check_layer(Halved(), X).specs
    assert first.endswith(f": input{list(spec.findings[0].index)}")
    assert message.index("analytic, from backward") < message.index("gradient of")
    assert "fail: Of 12 entries, 12 disagree. Guilty: layer halved" in message
    assert all(len(line) <= 80 for line in message.splitlines())
    assert "\x1b" not in message
    assert "user_layers.py:" in message


def test_findings_can_be_ignored() -> None:
    gradcheck.assert_layer(Halved(), X, ignore=["GC1"])
    (spec,) = gradcheck.check_layer(Halved(), X, ignore=["GC1"]).specs
    assert spec.ignored == 1


def test_unittest_shows_it() -> None:
    class Case(unittest.TestCase):
        def runTest(self) -> None:  # noqa: N802 - the name is unittest's
            gradcheck.assert_layer(Halved(), X)

    result = unittest.TestResult()
    Case().run(result)
    ((_, text),) = result.failures
    assert "analytic, from backward" in text
    assert "gradcheck/api.py" not in text


def test_user_code_that_fails_is_a_finding() -> None:
    for layer, phase in ((Raises(), "forward"), (Raising(), "backward")):
        (spec,) = gradcheck.check_layer(layer, X).specs
        (finding,) = [f for f in spec.findings if f.code == "GC901"]
        assert f"{phase} raised ValueError: no" in finding.message
        assert finding.source is not None
    with pytest.raises(AssertionError, match="layer-raised"):
        gradcheck.assert_layer(Raises(), X)


def test_losses() -> None:
    target = RNG.standard_normal(X.shape)
    gradcheck.assert_loss(Mse(), X, target=target, sample_weight=np.array([1.0, 2.0, 3.0]))
    gradcheck.assert_loss("cross_entropy", X, target=np.array([0, 3, 1]), reduction="sum")
    (spec,) = gradcheck.check_loss("triplet_margin", X, X + 1, X - 0.5).specs
    assert [row.name for row in spec.rows] == ["prediction_1", "prediction_2", "prediction_3"]
    assert spec.verdict == "pass"
    assert "reduction" in [check.check for check in spec.checks]


def test_networks() -> None:
    target = RNG.standard_normal((3, 2))
    layers = [{"linear": {"out_features": 3}}, "tanh", Linear(2)]
    gradcheck.assert_network(layers, X, "mse", target=target)
    (spec,) = gradcheck.check_network({"hidden": Linear(3), "head": Halved()}, X).specs
    assert [finding.layer for finding in spec.findings if not finding.consequence_of] == ["head"]
    (spec,) = gradcheck.check_network([{"bilinear": {"out_features": 2}}], {"a": X, "b": X + 1}).specs
    assert [row.name for row in spec.inputs] == ["a", "b"]
    assert spec.verdict == "pass"


def test_nothing_checked_is_no_success() -> None:
    with pytest.raises(AssertionError, match="nothing was checked"):
        gradcheck.assert_layer(Linear(2), X, checks=["vacuity"])


@pytest.mark.parametrize(("call", "said"), [
    (lambda: gradcheck.check_layer(Linear(2), X, sed=1), "there is no option `sed`; did you mean `seed`?"),
    (lambda: gradcheck.check_layer(Linear(2), X, checks=["gradent"]), "no check 'gradent'; did you mean `gradient`?"),
    (lambda: gradcheck.check_layer(Linear(2), X, checks=[]), "`checks` is empty; there are accumulation, contract"),
    (lambda: gradcheck.check_layer(Linear(2), X, ignore=["GX"]), "there is no code or name 'GX'"),
    (lambda: gradcheck.check_layer(Linear(2), X, dtype="f4"), "there is no dtype 'f4'; there are float64, float32"),
    (lambda: gradcheck.check_layer(Linear(2), X, method="cental"), "no method 'cental'; did you mean `central`?"),
    (lambda: gradcheck.check_layer(Linear(2), X, parameters={"W": X}), "no parameter `linear.W`; there are linear.w"),
    (lambda: gradcheck.check_layer(Linear(2), 1.0), "expected the same number of samples on axis 0, one at least"),
    (lambda: gradcheck.check_layer(Linear(2), X * np.nan), "input has NaN or Inf in it"),
    (lambda: gradcheck.check_layer(Linear(2), X * 1j), "input is an array of complex128"),
    (lambda: gradcheck.check_loss("mse", X, target=X[:2]), "target has the shape (2, 4), prediction has (3, 4)"),
    (lambda: gradcheck.check_loss("mse", X), "mse: missing a required argument: 'target'"),
    (lambda: gradcheck.check_loss("mse", X, target=X, reduction="meen"), "no reduction 'meen'; did you mean `mean`?"),
    (lambda: gradcheck.check_loss("msee", X, target=X), "there is no loss `msee`; did you mean `mse`?"),
    (lambda: gradcheck.check_network(["reul"], X), "there is no layer `reul`; did you mean `relu`?"),
    (lambda: gradcheck.check_network(["relu"], X, target=X), "there is no loss that could take target"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(call: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert said in str(caught.value)


def test_shapes_and_things_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="mse needs a target"):
        gradcheck.check_loss("mse", X, target=X[:, :2])
    with pytest.raises(TypeError, match=r"int 3 is no layer; expected a gradcheck\.Layer"):
        gradcheck.check_layer(3, X)
    with pytest.raises(TypeError, match="int is no loss"):
        gradcheck.check_loss(3, X)


def test_names_are_loaded_when_they_are_used() -> None:
    code = (
        "import gradcheck, sys; assert 'numpy' not in sys.modules; gradcheck.check_layer; assert 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
    assert {"check_layer", "assert_layer", "from_stateful", "from_functions"} <= set(gradcheck.__all__)
    assert all(getattr(gradcheck, name) for name in gradcheck.__all__)
    assert issubclass(Layer, gradcheck.Layer)
