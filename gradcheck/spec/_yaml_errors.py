"""What a YAML parser complains about, said in sentences that name the cause."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from gradcheck.spec._problems import Place

# The parser's own words -> (where the cause stands: at the problem or at the start of what it is in, the sentence).
_SENTENCES: tuple[tuple[str, str, str], ...] = (
    (r"found character '\\t'", "problem", "a tab stands where YAML wants spaces; indent with spaces"),
    (r"found character '(.)'", "problem", "a value cannot start with `{0}`; put it in quotes"),
    (
        r"mapping values are not allowed",
        "problem",
        "a `:` stands where no key can be; check the indentation, and put a text that contains `: ` in quotes",
    ),
    (r"could not find expected ':'", "context", "a key starts here, but no `:` follows it"),
    (r"found unknown escape character '(.*)'", "problem", r"`\{0}` is no escape; put the text in single quotes"),
    (r"found unexpected end of stream", "context", "the quoted text that starts here is not closed"),
    (r"expected ',' or '([\]}])'", "context", "the bracket that opens here is not closed; expected `,` or `{0}`"),
    (r"expected the node content.*stream end", "problem", "the file ends before a value that belongs here"),
    (r"expected the node content", "problem", "a value is missing here"),
    (r"expected <block end>", "problem", "this line does not fit the ones above; check the indentation and the quotes"),
)  # fmt: skip


def explain(error: Exception, text: str, reached: Place) -> tuple[Place, str]:
    """The place and the sentence for what the parser raised over a text, having `reached` a place."""
    if isinstance(error, ReaderError):
        before = text[: error.position].split("\n")
        place = Place(len(before), len(before[-1]) + 1)
        return place, f"the control character U+{_code(error.character):04X} stands here; remove it"
    if not isinstance(error, MarkedYAMLError):
        return reached, f"this is not valid YAML: {error}"
    problem = str(error.problem)
    marks = {"problem": error.problem_mark, "context": error.context_mark or error.problem_mark}
    for pattern, where, sentence in _SENTENCES:
        if match := re.search(pattern, problem):
            return _place(marks[where], reached), sentence.format(*match.groups())
    return _place(marks["problem"], reached), f"this is not valid YAML: {problem}"


def _code(character: Any) -> int:
    return ord(character) if isinstance(character, str) else int(character)


def _place(mark: Any, reached: Place) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark is not None else reached
