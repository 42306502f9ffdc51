from __future__ import annotations

from typing import Any

import pytest

from gradcheck.calling import guarded, positional_names
from gradcheck.errors import LayerFailure


def test_what_user_code_raises_is_a_failure_and_what_ours_raises_is_our_own() -> None:
    with pytest.raises(LayerFailure) as failure, guarded("a", "backward", trusted=False):
        raise ZeroDivisionError("by zero")
    assert failure.value.message == "a: backward raised ZeroDivisionError: by zero"
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError), guarded("a", "backward", trusted=True):
        raise ZeroDivisionError("by zero")
    with pytest.raises(KeyboardInterrupt), guarded("a", "backward", trusted=False):
        raise KeyboardInterrupt
    original = LayerFailure("GC120", "b", "forward", "as it was")
    with pytest.raises(LayerFailure) as failure, guarded("a", "backward", trusted=False):
        raise original
    assert failure.value is original


def test_positional_names_are_those_in_front_of_the_options() -> None:
    def forward(a: Any, b: Any, *, c: Any = None, **rest: Any) -> Any:
        return None

    assert positional_names(forward) == ["a", "b"]
