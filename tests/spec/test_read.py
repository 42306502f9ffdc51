from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import ALL

from gradcheck.catalogue import Catalogue
from gradcheck.errors import NothingSelected, SpecError, UsageError
from gradcheck.findings import Location
from gradcheck.spec.case import Case, GradientPlan
from gradcheck.spec.read import Overrides, read_case, validate

SPEC = """\
data:
  batch_size: 4
  inputs: {shape: [5]}
  targets: {shape: [3]}
network:
  - linear: {out_features: 4}
  - tanh
  - linear: {out_features: 3, name: head}
loss: mse
"""


def read(text: str = SPEC, path: str = "specs/first.yaml", **overrides: object) -> Case:
    return read_case(path, text, Catalogue(), Overrides(**overrides))  # type: ignore[arg-type]


def test_a_case_has_everything_that_a_run_needs() -> None:
    case = read(f"name: my spec\nseed: 3\ndtype: float32\nchecks: {{reduction: false}}\n{SPEC}")
    assert (case.path, case.name, case.seed, case.dtype) == ("specs/first.yaml", "my spec", 3, "float32")
    assert case.checks == ("contract", "gradient", "output_error", "per_sample", "accumulation", "vacuity")
    assert case.gradient == GradientPlan()
    assert [node.name for node in case.network.nodes] == ["linear_1", "tanh_1", "head"]
    assert case.point.parameters == ("linear_1.weight", "linear_1.bias", "head.weight", "head.bias")
    assert case.point.inputs == ("input",)
    assert case.point.batched == {"input", "target"}
    assert case.locations == {
        "linear_1": Location("specs/first.yaml", 10, 5),
        "tanh_1": Location("specs/first.yaml", 11, 5),
        "head": Location("specs/first.yaml", 12, 5),
        "loss": Location("specs/first.yaml", 13, 7),
    }


def test_defaults() -> None:
    case = read()
    assert (case.name, case.seed, case.dtype) == ("first", 0, "float64")
    assert case.checks == ALL
    assert read(path="-").name == "stdin"
    assert read(path="specs/odd\nname.yaml").name == "odd\nname"


def test_every_term_of_a_loss_has_its_place_and_its_name() -> None:
    case = read(SPEC.replace("loss: mse", "loss:\n  - mse: {weight: 2}\n  - l1: {reduction: sum}"))
    assert [(term.name, term.weight, term.reduction) for term in case.network.terms] == [
        ("loss_1", 2, "mean"),
        ("loss_2", 1, "sum"),
    ]
    assert [case.locations[name].line for name in ("loss", "loss_1", "loss_2")] == [10, 10, 11]


def test_the_gradient_check_is_configured() -> None:
    case = read(f"checks:\n  gradient: {{method: central, step: 1e-5, rtol: 0.1}}\n{SPEC}")
    assert case.gradient == GradientPlan("central", 1e-5, 0.1)


def test_the_command_line_wins() -> None:
    spec = f"seed: 3\nchecks:\n  gradient: {{method: central, step: 1e-5, rtol: 0.1}}\n{SPEC}"
    case = read(spec, method="forward", step=1e-3, rtol=0.0, seed=9)
    assert case.gradient == GradientPlan("forward", 1e-3, 0.0)
    assert case.seed == 9
    other = read(SPEC, seed=9)
    assert np.array_equal(case.point.arrays["input"], other.point.arrays["input"])
    assert np.array_equal(case.point.arrays["head.weight"], other.point.arrays["head.weight"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"step": 0.0}, "--step must be a number > 0, got 0.0"),
        ({"max_memory": 0.0}, "--max-memory must be a number > 0, got 0.0"),
        ({"rtol": -1.0}, "--rtol must be a number ≥ 0, got -1.0"),
        ({"seed": -1}, "--seed must be an integer ≥ 0 and ≤ 9223372036854775807, got -1"),
        (
            {"method": "exact"},
            "--method must be `auto`, `complex`, `central`, `five_point`, `forward` or `richardson`, got 'exact'",
        ),
    ],
)
def test_an_override_that_cannot_be(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(**overrides)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ("head.weight[3, 2]", ("head.weight", (3, 2))),
        ("head.weight[3,2]", ("head.weight", (3, 2))),
        (" linear_1.bias [ 0 ] ", ("linear_1.bias", (0,))),
        ("input[3, 4]", ("input", (3, 4))),
    ],
)
def test_entries_to_check(written: str, entry: tuple[str, tuple[int, ...]]) -> None:
    assert read(entries=(written,)).gradient.entries == (entry,)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "head.wieght[0, 0]",
            "no parameter and no input of real numbers is called 'head.wieght'; did you mean `head.weight`?",
        ),
        (
            "target[0, 0]",
            (
                "no parameter and no input of real numbers is called 'target'; there are `linear_1.weight`, "
                "`linear_1.bias`, `head.weight`, `head.bias`, `input`"
            ),
        ),
        ("head.bias", "'head.bias' names no entry of head.bias, whose shape is (3,); write head.bias[0], for example"),
        ("head.bias[3]", "head.bias[3] lies outside head.bias, whose shape is (3,); write head.bias[0], for example"),
        (
            "head.weight[1]",
            "head.weight[1] lies outside head.weight, whose shape is (4, 3); write head.weight[0, 0], for example",
        ),
        (
            "head.bias[-1]",
            "no parameter and no input of real numbers is called 'head.bias[-1]'; did you mean `head.bias`?",
        ),
    ],
)
def test_entries_that_do_not_exist(written: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(entries=(written,))
    assert str(error.value) == message


EQUIVALENCES = ("contract", "reduction", "output_error", "per_sample", "accumulation")


def test_nothing_is_selected_where_every_check_is_off() -> None:
    with pytest.raises(NothingSelected) as error:
        read(f"checks: {{{', '.join(f'{name}: false' for name in EQUIVALENCES)}, gradient: false}}\n{SPEC}")
    assert str(error.value) == (
        "specs/first.yaml: every check is switched off; leave one of them on: `contract`, `gradient`, `reduction`, "
        "`output_error`, `per_sample`, `accumulation`"
    )


def test_nothing_is_selected_where_there_is_nothing_to_differentiate() -> None:
    spec = "data: {batch_size: 2, inputs: {classes: 3}, targets: {shape: []}}\nnetwork: [relu]\nloss: mse\n"
    with pytest.raises(NothingSelected) as error:
        read(spec)
    assert str(error.value) == (
        "specs/first.yaml: there is nothing to check: no parameter, and no input of real numbers"
    )


def test_a_mistake_wins_over_nothing_selected() -> None:
    with pytest.raises(SpecError):
        read(f"checks: {{{', '.join(f'{name}: false' for name in EQUIVALENCES)}, gradient: false}}\nname: 3\n{SPEC}")


def test_the_users_weights_take_the_place_of_drawn_ones(tmp_path: Path) -> None:
    weights = {"linear_1.weight": np.ones((5, 4)), "linear_1.bias": np.arange(4), "head.weight": np.ones((4, 3))}
    np.savez(tmp_path / "w.npz", **weights, **{"head.bias": np.full(3, 0.1)})
    case = read(f"dtype: float32\nparameters: {{file: w.npz}}\n{SPEC}", path=f"{tmp_path}/s.yaml")
    assert np.array_equal(case.point.arrays["linear_1.bias"], [0.0, 1.0, 2.0, 3.0])
    assert case.point.arrays["linear_1.bias"].dtype == np.float64
    assert np.array_equal(case.point.arrays["head.bias"], np.full(3, np.float64(np.float32(0.1))))


def test_problems_are_those_of_every_section_in_the_order_of_the_file() -> None:
    problems, _ = validate("s.yaml", SPEC.replace("5", "x").replace("tanh", "tahn").replace("mse", "mes_"), Catalogue())
    assert [problem.line for problem in problems] == [3, 7]


def test_reading_needs_neither_scipy_nor_rich() -> None:
    program = "import sys, gradcheck.spec.read; print({'rich', 'scipy', 'torch', 'click'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
