from __future__ import annotations

import pytest

from gradcheck.spec._problems import Place, Problems, counted, did_you_mean, show, typo_of

LAYERS = ["linear", "conv2d", "max_pool2d", "relu", "leaky_relu", "elu", "tanh", "softmax", "log_softmax", "flatten"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("conv2", "conv2d"), ("conv2D", "conv2d"), ("Conv2d", "conv2d"), ("conv_2d", "conv2d"),
        ("lienar", "linear"), ("Linear", "linear"), ("liner", "linear"), ("linears", "linear"),
        ("maxpool2d", "max_pool2d"), ("MaxPool2d", "max_pool2d"), ("LeakyReLU", "leaky_relu"),
        ("leakyrelu", "leaky_relu"),
        ("Relu", "relu"), ("rleu", "relu"), ("tahn", "tanh"), ("soft-max", "softmax"), ("flaten", "flatten"),
    ],
)  # fmt: skip
def test_slips_of_known_names(name: str, meant: str) -> None:
    assert typo_of(name, LAYERS) == meant


@pytest.mark.parametrize(
    "name",
    [
        "my_relu",
        "scaled_tanh",
        "relu_twice",
        "my_linear",
        "bad_softmax",
        "conv",
        "attention",
        "x",
        "",
        "linear_no_bias",
    ],
)
def test_names_of_their_own(name: str) -> None:
    assert typo_of(name, LAYERS) is None


def test_nothing_is_a_slip_of_nothing() -> None:
    assert typo_of("relu", []) is None
    assert did_you_mean("relu", []) == ""


def test_a_part_of_a_name_is_meant_to_be_the_name() -> None:
    assert did_you_mean("kernel", ["out_channels", "kernel_size"]) == "; did you mean `kernel_size`?"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (3, "3"), (1e-6, "1e-06"), ("two", "'two'"),
        (float("nan"), ".nan"), (float("-inf"), "-.inf"), ([1, None, ["a"]], "[1, null, ['a']]"),
        ({"a": 1, "b": [True]}, "{a: 1, b: [true]}"), ("\x1b[2J", r"'\x1b[2J'"),
        ("x" * 100, "'" + "x" * 56 + "..."), ([10] * 1000, "[" + "10, " * 14 + "..."),
    ],
)  # fmt: skip
def test_values_as_a_spec_writes_them(value: object, text: str) -> None:
    assert show(value) == text
    assert len(text) <= 60


def test_an_integer_too_long_to_print() -> None:
    assert show(10**5000) == "an integer of very many digits"


def test_problems_are_in_the_order_of_the_file_and_said_once() -> None:
    problems = Problems("s.yaml")
    for place, message in [((2, 1), "b"), ((1, 9), "c"), ((1, 2), "a"), ((2, 1), "b")]:
        problems.add(Place(*place), message)
    assert [str(problem) for problem in problems.sorted()] == ["s.yaml:1:2: a", "s.yaml:1:9: c", "s.yaml:2:1: b"]
    assert len(problems) == 3


def test_what_a_terminal_would_obey_is_written_out() -> None:
    problems = Problems("s.yaml")
    problems.add(Place(1, 1), "a\x1b[2J\nb ≥ ä")
    assert problems.sorted()[0].message == "a\\x1b[2J\\nb ≥ ä"


def test_counted() -> None:
    assert [counted(k, "row") for k in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
