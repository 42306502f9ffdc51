"""Losses of parameters in a spec: which they take, and what does not go with them."""

from __future__ import annotations

import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import SpecError
from gradcheck.spec.case import Case
from gradcheck.spec.read import Overrides, read_case, validate

SPEC = """\
data: {{batch_size: 3, inputs: {{shape: [2]}}, targets: {{shape: [2]}}}}
network:
  - linear: {{out_features: 2}}
  - linear: {{out_features: 2, name: head}}
{more}loss:
  - mse
  - {penalty}
"""


MISSING = "`parameters: had.weight` of `l2_penalty` fits no parameter that is trained"


def case(penalty: str, more: str = "") -> Case:
    return read_case("x.yaml", SPEC.format(penalty=penalty, more=more), Catalogue(), Overrides())


def refusal(penalty: str, more: str = "") -> str:
    with pytest.raises(SpecError) as refused:
        case(penalty, more)
    assert list(map(str, validate("x.yaml", SPEC.format(penalty=penalty, more=more), Catalogue())[0])) == str(
        refused.value
    ).split("\n")
    return str(refused.value)


@pytest.mark.parametrize(
    ("penalty", "taken"),
    [
        ("l2_penalty", ["linear_1.weight", "linear_1.bias", "head.weight", "head.bias"]),
        ("l2_penalty: {parameters: '*.weight'}", ["linear_1.weight", "head.weight"]),
        ("l1_penalty: {parameters: [head.*, linear_1.bias]}", ["linear_1.bias", "head.weight", "head.bias"]),
    ],
)
def test_a_penalty_takes_the_parameters_that_its_patterns_fit(penalty: str, taken: list[str]) -> None:
    term = case(penalty).network.terms[1]
    assert (list(term.predictions), term.reduction, dict(term.data)) == (taken, "once", {})


def test_what_is_frozen_costs_nothing() -> None:
    found = case("l2_penalty: {parameters: '*.weight'}", "parameters: {freeze: [head.*]}\n").network.terms[1]
    assert found.predictions == ("linear_1.weight",)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        ("l2_penalty: {parameters: had.weight}", f"7:5: {MISSING}; did you mean `head.weight`?"),
        ("l2_penalty: {inputs: [head]}",
         "7:26: `l2_penalty` takes parameters, those that `parameters` fits; leave `inputs` out"),
        ("l2_penalty: {target: target}",
         "7:26: `l2_penalty` takes parameters, those that `parameters` fits; leave `target` out"),
        ("l2_penalty: {reduction: mean}", "7:29: `l2_penalty` has no reduction 'mean'; it has `once`"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_penalty_is_said(penalty: str, message: str) -> None:
    assert refusal(penalty) == f"x.yaml:{message}"
