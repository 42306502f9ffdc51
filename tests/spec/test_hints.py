from __future__ import annotations

import collections.abc
from typing import Annotated, Any, Literal

import jsonschema
import numpy as np
import pytest
from msgspec import Meta

from gradcheck.spec._hints import Anything, Mismatch, parse

Count = Annotated[int, Meta(ge=1)]
REFUSED = object()


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "an integer"), (Count, "an integer ≥ 1"), (float, "a number"), (str, "a string"), (bool, "true or false"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number > 0 and < 1"), (None, "null"),
        (Literal["same"], "`same`"), (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (Count | tuple[Count, Count], "an integer ≥ 1 or a pair of them"),
        (Count | Annotated[tuple[Count, ...], Meta(min_length=2, max_length=2)], "an integer ≥ 1 or a pair of them"),
        (int | tuple[int, int, int], "an integer or a list of 3 of them"),
        (int | tuple[int, int] | Literal["same"], "an integer or a pair of them or `same`"),
        (int | None, "an integer"), (int | float, "a number"), (int | str, "an integer or a string"),
        (tuple[int, ...], "a list of integers"), (list[Count], "a list of integers ≥ 1"),
        (tuple[tuple[int, int], ...], "a list of lists of integers"),
        (tuple[int, str], "a list [an integer, a string]"),
        (Annotated[list[str], Meta(min_length=1)], "a non-empty list of strings"),
        (Annotated[list[str], Meta(min_length=3)], "a list of at least 3 strings"),
        (collections.abc.Sequence[float], "a list of numbers"), (list, "a list of values of any kind"),
        (np.ndarray, "anything"), (Any, "anything"), (int | np.ndarray, "anything"), ("forward", "anything"),
    ],
)  # fmt: skip
def test_words(hint: Any, words: str) -> None:
    assert parse(hint).words()[0] == words


@pytest.mark.parametrize(
    ("hint", "value", "converted"),
    [
        (int, 3, 3), (int, 3.0, REFUSED), (int, True, REFUSED), (int, "3", REFUSED), (int, 2**63, REFUSED),
        (Count, 0, REFUSED), (float, 3, 3.0), (float, 1e-6, 1e-6), (float, "1", REFUSED), (float, False, REFUSED),
        (float, float("nan"), REFUSED), (float, float("inf"), REFUSED), (float, 10**400, REFUSED),
        (bool, True, True), (bool, 1, REFUSED), (bool, "yes", REFUSED), (str, "a", "a"), (str, None, REFUSED),
        (Literal["same"], "same", "same"), (Literal["same"], ["same"], REFUSED), (int | None, None, None),
        (Count | tuple[Count, Count], [1, 2], (1, 2)), (Count | tuple[Count, Count], [1, 0], REFUSED),
        (Count | tuple[Count, Count], [1], REFUSED), (Count | tuple[Count, Count], {"a": 1}, REFUSED),
        (tuple[int, str], [1, "a"], (1, "a")), (tuple[int, str], [1, 2], REFUSED), (tuple[int, str], [1], REFUSED),
        (list[float], [1, 2.5], [1.0, 2.5]), (list[float], [1, [2]], REFUSED), (list[float], "ab", REFUSED),
        (tuple[int, ...], [], ()), (Annotated[list[int], Meta(min_length=1)], [], REFUSED),
        (tuple[tuple[int, int], ...], [[1, 2], [3, 4]], ((1, 2), (3, 4))), (np.ndarray, [1, "a"], [1, "a"]),
    ],
)  # fmt: skip
def test_conversion_and_schema_agree(hint: Any, value: Any, converted: Any) -> None:
    parsed = parse(hint)
    schema = jsonschema.Draft7Validator(parsed.schema())
    jsonschema.Draft7Validator.check_schema(parsed.schema())
    if converted is REFUSED:
        with pytest.raises(Mismatch):
            parsed.convert(value)
        only_python_knows = isinstance(value, float | int) and not isinstance(value, bool) and schema.is_valid(value)
        assert not schema.is_valid(value) or only_python_knows
    else:
        found = parsed.convert(value)
        assert found == converted
        assert type(found) is type(converted)
        assert schema.is_valid(value)


def test_a_hint_that_says_nothing_accepts_anything() -> None:
    assert parse(object) == Anything()
    assert Anything().schema() == {}
