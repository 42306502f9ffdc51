"""Good and bad specs: what the reader says of each, word by word, and that the JSON Schema says the same where it can.

A bad spec opens with what it teaches, whether the schema can tell, and every message that is expected:
`expect LINE:COLUMN: MESSAGE`, or `run` and `validate` where the two differ, `validate note` for what is no problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import jsonschema
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import Problem, SpecError
from gradcheck.spec import read
from gradcheck.spec._problems import Problems
from gradcheck.spec._yaml import compose
from gradcheck.spec.schema import json_schema

CORPUS = Path(__file__).parent / "corpus"
SPECS = Path(__file__).parents[2] / "specs"
GOOD = sorted(CORPUS.glob("good/*.yaml"))
BAD = sorted(CORPUS.glob("bad/*.yaml"))


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json_schema())


class Told(NamedTuple):
    """What `validate` says of a spec, the values in it, and whether its YAML is in order."""

    problems: list[Problem]
    notes: list[str]
    plain: Any
    sound: bool


def validated(path: Path) -> Told:
    """Validate a spec, whose YAML is composed once: that takes longest of all."""
    composed = []

    def told(text: str, problems: Problems) -> Any:
        root = compose(text, problems)
        composed.append((None if root is None else root.plain(), not len(problems)))
        return root

    with patch.object(read, "compose", told):
        problems, notes = read.validate(str(path), path.read_text(encoding="utf-8"), Catalogue())
    ((plain, sound),) = composed
    return Told(problems, notes, plain, sound)


def header(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def expected(path: Path, command: str) -> list[str]:
    """The messages of the header for one of the commands."""
    found = []
    for line in header(path):
        who, _, message = line.partition(" ")
        if who in ("expect", command):
            found.append(message)
    return found


def said(path: Path, problems: list[Problem], notes: Sequence[str] = ()) -> list[str]:
    """What the reader says of a spec."""
    assert all(problem.path == str(path) for problem in problems)
    messages = [f"{problem.line}:{problem.column}: {problem.message}" for problem in problems]
    return messages + [f"note {note.removeprefix(f'{path}:')}" for note in notes]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_reported_word_by_word_and_the_schema_tells_what_it_can(
    path: Path, schema: jsonschema.Draft7Validator
) -> None:
    with pytest.raises(SpecError) as error:
        read.read_case(str(path), path.read_text(encoding="utf-8"), Catalogue())
    assert said(path, error.value.problems) == expected(path, "run")
    told = validated(path)
    assert said(path, told.problems, told.notes) == expected(path, "validate")
    refuses = told.sound and not schema.is_valid(told.plain)
    assert f"schema: {'refuses' if refuses else 'cannot tell'}" in header(path)


def test_mistakes_that_a_schema_can_tell_are_most_of_the_corpus() -> None:
    told = [path for path in BAD if "schema: refuses" in header(path)]
    assert len(told) > 50


@pytest.mark.parametrize("path", [*GOOD, *sorted(SPECS.glob("*.yaml"))], ids=lambda path: path.stem)
def test_a_good_spec_has_no_problem_and_the_schema_agrees(path: Path, schema: jsonschema.Draft7Validator) -> None:
    told = validated(path)
    assert (told.problems, told.notes) == ([], [])
    case = read.read_case(str(path), path.read_text(encoding="utf-8"), Catalogue())
    assert case.network.nodes
    assert case.network.terms
    assert [error.message for error in schema.iter_errors(told.plain)] == []


@pytest.mark.parametrize("path", sorted(SPECS.glob("wrong/*.yaml")), ids=lambda path: path.stem)
def test_a_spec_of_a_plugin_is_noted_without_it(path: Path, schema: jsonschema.Draft7Validator) -> None:
    """With its plugin it is run: test_specs."""
    told = validated(path)
    assert told.problems == []
    assert len(told.notes) == 1
    assert told.notes[0].endswith("it may come from a plugin")
    assert schema.is_valid(told.plain)
