from __future__ import annotations

import math
import time
from typing import Any

import pytest

from gradcheck.spec._problems import Place, Problems
from gradcheck.spec._yaml import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, Node, compose


def read(text: str) -> Any:
    problems = Problems("s.yaml")
    root = compose(text, problems)
    assert problems.sorted() == []
    assert root is not None
    return root.plain()


def refused(text: str) -> list[str]:
    problems = Problems("s.yaml")
    compose(text, problems)
    return [str(problem) for problem in problems.sorted()]


def node(text: str) -> Node:
    root = compose(text, Problems("s.yaml"))
    assert root is not None
    return root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6), ("1E3", 1000.0), ("-.5", -0.5), ("1.", 1.0), ("+2", 2), ("-0", 0),
        ("017", 17), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("1:30", "1:30"),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("Null", None), ("none", "none"), ("2001-01-01", "2001-01-01"),
        ("'1'", "1"), ('"true"', "true"), ("''", ""), ("=", "="), ("0b1", "0b1"),
        (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf), ("inf", "inf"), ("1e999", math.inf),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = read(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(read("a: .nan")["a"])


def test_an_integer_of_ten_thousand_digits_is_no_crash() -> None:
    assert read(f"a: {'9' * 10_000}")["a"] == math.inf


def test_places_of_keys_and_values() -> None:
    root = node("a: 1\nb:\n  - x\n  - {c: [2]}\n")
    assert root.keys == {"a": (1, 1), "b": (2, 1)}
    items = root.value["b"].value
    assert items[0].place == Place(3, 5)
    assert items[1].keys["c"] == Place(4, 6)
    assert items[1].value["c"].value[0].place == Place(4, 10)


def test_a_value_that_is_left_out_stands_where_its_key_stands() -> None:
    assert node("a:\n\n\nb: 1\n").value["a"].place == Place(1, 1)


def test_an_alias_stands_where_it_is_written() -> None:
    root = node("a: &x {b: 1}\nc: *x\n")
    assert root.plain() == {"a": {"b": 1}, "c": {"b": 1}}
    assert root.value["c"].place == Place(2, 4)


def test_of_two_equal_keys_the_first_holds() -> None:
    root = compose("a: 1\na: 2\n", Problems("s.yaml"))
    assert root is not None
    assert root.plain() == {"a": 1}


def test_a_byte_order_mark_is_no_text() -> None:
    assert read("\ufeffa: 1") == {"a": 1}


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_of_other_systems(newline: str) -> None:
    root = node(f"a: 1{newline}b: 2{newline}")
    assert root.keys["b"] == Place(2, 1)


def test_limits() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert refused("[" * 40_000) == [f"s.yaml:1:{MAX_DEPTH + 1}: the spec is nested more than {MAX_DEPTH} levels deep"]
    (message,) = refused("a" * (MAX_CHARACTERS + 1))
    assert message.startswith("s.yaml:1:1: the spec has 1,000,001 characters, more than 1,000,000; put large arrays")


def test_a_small_file_cannot_become_a_large_one() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 40))
    started = time.perf_counter()
    (message,) = refused(bomb)
    assert "more than 100,000 values, aliases written out" in message
    assert time.perf_counter() - started < 1


def test_the_limit_counts_aliases_as_what_they_stand_for() -> None:
    half = "[" + ", ".join("0" * (MAX_VALUES // 200)) + "]"
    assert refused(f"a: &a {half}\nb: [{', '.join(['*a'] * 150)}]\n") == []
    assert len(refused(f"a: &a {half}\nb: [{', '.join(['*a'] * 250)}]\n")) == 1


def test_an_anchor_may_be_used_again() -> None:
    assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ]", "s.yaml:1:4: a value is missing here"),
        ("a: {b: 1", "s.yaml:1:4: the bracket that opens here is not closed; expected `,` or `}`"),
        ("a: *", r"s.yaml:1:5: this is not valid YAML: expected alphabetic or numeric character, but found '\x00'"),
        ('- "\\U00110000"', "s.yaml:1:1: this is not valid YAML: chr() arg not in range(0x110000)"),
        ("%YAML x\n---\n1", "s.yaml:1:7: this is not valid YAML: expected a digit, but found 'x'"),
        ("a: \ud800", "s.yaml:1:4: the control character U+D800 stands here; remove it"),
    ],
)
def test_syntax(text: str, message: str) -> None:
    assert refused(text) == [message]
