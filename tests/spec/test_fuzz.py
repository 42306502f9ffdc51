"""Whatever stands in a file, the reader answers with problems: never with another exception."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck.catalogue import Catalogue
from gradcheck.errors import NothingSelected, Problem, SpecError
from gradcheck.spec._problems import Problems
from gradcheck.spec._yaml import compose
from gradcheck.spec.read import PluginFailure, read_case, validate
from gradcheck.spec.schema import json_schema

GOOD = Path(__file__).parent / "corpus" / "good"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(GOOD.glob("*.yaml"))]
CATALOGUE = Catalogue()
SCHEMA = jsonschema.Draft7Validator(json_schema())
lean = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def must_answer(text: str) -> None:
    """Read and validate: the two must agree, and the schema refuse nothing that they accept."""
    path = str(GOOD / "fuzz.yaml")
    problems, notes = validate(path, text, CATALOGUE)
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems)
    refused = _problems_of_a_run(path, text)
    assert refused == problems or notes
    assert len(refused) >= len(problems)
    if not problems:
        assert SCHEMA.is_valid(plain(text))


def _problems_of_a_run(path: str, text: str) -> list[Problem]:
    try:
        read_case(path, text, CATALOGUE)
    except SpecError as error:
        return error.problems
    except (NothingSelected, PluginFailure):
        return []
    return []


def plain(text: str) -> Any:
    root = compose(text, Problems("s.yaml"))
    assert root is not None
    return root.plain()


JUNK: tuple[tuple[Any, ...], ...] = (
    (None,),
    (False, True),
    (-3, -2, -1, 0, 1, 2, 3),
    (10**6, 2**63, -(10**30), 0.5, -1e300, float("inf"), float("nan")),
    ("", "linear", "relu", "input", "linear_1", "relu_1.0", "a.b", "loss", "../x.npz", "x\x00y", "mse"),
    ([], {}, [[]], [1, [2]], [[1, 2], [3, 4]], {"name": 3}, {"shape": [2]}, ["relu", "relu"]),
)
junk = st.one_of(*map(st.sampled_from, JUNK))
names = st.sampled_from(
    ["shape", "values", "file", "classes", "fill", "inputs", "target", "name", "linear", "conv2d", "x", "per_sample"]
)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A good spec with up to three values or keys changed, written as JSON, which is YAML."""
    spec = plain(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, spec)
    return json.dumps(spec).replace("Infinity", ".inf").replace("NaN", ".nan")


def _change(draw: st.DrawFn, value: Any) -> None:
    """Replace, remove, rename or repeat something at a random depth."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not (isinstance(value[key], dict | list) and value[key] and draw(st.booleans())):
            break
        value = value[key]
    action = draw(st.sampled_from(["replace", "remove", "rename", "repeat"]))
    if action == "replace":
        value[key] = draw(junk)
    elif action == "remove":
        del value[key]
    elif isinstance(value, dict):
        value[draw(names)] = value.pop(key) if action == "rename" else value[key]
    else:
        value.insert(key, json.loads(json.dumps(value[key])))


@lean
@given(changed())
def test_changed_specs(text: str) -> None:
    must_answer(text)


@lean
@given(st.sampled_from(TEXTS), st.data())
def test_specs_with_characters_changed(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        removed = data.draw(st.integers(0, 3))
        added = data.draw(st.text(alphabet=" \n\t:-[]{},&*!|>'\"#%@`?~0.e1aX\x00\x07é\u2028", max_size=3))
        text = text[:at] + added + text[at + removed :]
    must_answer(text)


@lean
@given(st.text(alphabet="ab1:-[]{},&*!<>|'\"#% \n\t.?~", max_size=40))
def test_text_that_looks_like_yaml(text: str) -> None:
    must_answer(text)


@lean
@given(st.recursive(junk, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)))
def test_any_values(value: Any) -> None:
    must_answer(json.dumps(value).replace("Infinity", ".inf").replace("NaN", ".nan"))


@pytest.mark.parametrize("section", ["data", "network", "loss", "checks", "parameters", "name", "seed", "dtype"])
def test_any_value_of_a_section(section: str) -> None:
    spec = plain(TEXTS[0])
    for value in chain.from_iterable(JUNK):
        must_answer(json.dumps({**spec, section: value}).replace("Infinity", ".inf").replace("NaN", ".nan"))
