"""Good and bad specs: what the reader says of each, word by word, and that the JSON Schema says the same where it can.

A bad spec opens with what it teaches, whether the schema can tell, and every message that is expected:
`expect LINE:COLUMN: MESSAGE`, or `run` and `validate` where the two differ, `validate note` for what is no problem.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import SpecError
from gradcheck.spec._problems import Problems
from gradcheck.spec._yaml import compose
from gradcheck.spec.read import read_case, validate
from gradcheck.spec.schema import json_schema

CORPUS = Path(__file__).parent / "corpus"
SPECS = Path(__file__).parents[2] / "specs"
GOOD = sorted(CORPUS.glob("good/*.yaml"))
BAD = sorted(CORPUS.glob("bad/*.yaml"))


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json_schema())


def plain(path: Path) -> tuple[Any, bool]:
    """The values of a spec, and whether its YAML is in order."""
    problems = Problems(path.name)
    root = compose(path.read_text(encoding="utf-8"), problems)
    return (None if root is None else root.plain()), not len(problems)


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


def said(path: Path, command: str) -> list[str]:
    """What the reader says of a spec."""
    text = path.read_text(encoding="utf-8")
    notes: list[str] = []
    if command == "run":
        with pytest.raises(SpecError) as error:
            read_case(str(path), text, Catalogue())
        problems = error.value.problems
    else:
        problems, notes = validate(str(path), text, Catalogue())
    assert all(problem.path == str(path) for problem in problems)
    messages = [f"{problem.line}:{problem.column}: {problem.message}" for problem in problems]
    return messages + [f"note {note.removeprefix(f'{path}:')}" for note in notes]


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_reported_word_by_word(path: Path, command: str) -> None:
    assert said(path, command) == expected(path, command)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_schema_tells_what_it_can(path: Path, schema: jsonschema.Draft7Validator) -> None:
    spec, sound = plain(path)
    refuses = sound and not schema.is_valid(spec)
    assert f"schema: {'refuses' if refuses else 'cannot tell'}" in header(path)


def test_mistakes_that_a_schema_can_tell_are_most_of_the_corpus() -> None:
    told = [path for path in BAD if "schema: refuses" in header(path)]
    assert len(told) > 50


@pytest.mark.parametrize("path", [*GOOD, *sorted(SPECS.glob("*.yaml"))], ids=lambda path: path.stem)
def test_a_good_spec_has_no_problem_and_the_schema_agrees(path: Path, schema: jsonschema.Draft7Validator) -> None:
    text = path.read_text(encoding="utf-8")
    assert validate(str(path), text, Catalogue()) == ([], [])
    case = read_case(str(path), text, Catalogue())
    assert case.network.nodes
    assert case.network.terms
    assert [error.message for error in schema.iter_errors(plain(path)[0])] == []


@pytest.mark.parametrize("path", sorted(SPECS.glob("wrong/*.yaml")), ids=lambda path: path.stem)
def test_a_spec_of_a_plugin_is_noted_without_it(path: Path, schema: jsonschema.Draft7Validator) -> None:
    """With its plugin it is run: test_specs."""
    text = path.read_text(encoding="utf-8")
    problems, notes = validate(str(path), text, Catalogue())
    assert problems == []
    assert len(notes) == 1
    assert notes[0].endswith("it may come from a plugin")
    assert schema.is_valid(plain(path)[0])
