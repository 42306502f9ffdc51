"""Numbers that are written out in a spec, nested in lists, as an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.spec._problems import Problems, show
from gradcheck.spec._yaml import Node

_INT64 = 2**63


def numbers(name: str, node: Node, problems: Problems) -> NDArray[Any] | None:
    """The array: of booleans or integers where all are, else of real numbers. None where that is a problem."""
    leaves = _leaves(name, node, problems)
    if leaves is None:
        return None
    wrong = [leaf for leaf in leaves if not isinstance(leaf.value, int | float)]
    if wrong:
        more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
        problems.add(wrong[0].place, f"the array `{name}` must hold numbers, got {show(wrong[0].plain())}{more}")
        return None
    kinds = {type(leaf.value) for leaf in leaves}
    if bool in kinds and len(kinds) > 1:
        problems.add(node.place, f"the array `{name}` mixes true and false with numbers; write one or the other")
        return None
    huge = next((leaf for leaf in leaves if isinstance(leaf.value, int) and abs(leaf.value) >= _INT64), None)
    if huge is not None:
        problems.add(huge.place, f"the array `{name}` holds an integer beyond 64 bits: {show(huge.value)}")
        return None
    kind = np.bool_ if kinds == {bool} else np.int64 if kinds == {int} else np.float64
    return np.array([leaf.value for leaf in leaves], dtype=kind).reshape(_shape(node))


def _shape(node: Node) -> tuple[int, ...]:
    shape = []
    while isinstance(node.value, list):
        shape.append(len(node.value))
        if not node.value:
            break
        node = node.value[0]
    return tuple(shape)


def _leaves(name: str, node: Node, problems: Problems) -> list[Node] | None:
    """All that is not a list, in order; None, and a problem, where the lists are not a regular grid."""
    level = [node]
    while any(isinstance(item.value, list) for item in level):
        first = level[0]
        for item in level:
            if not isinstance(item.value, list) or not isinstance(first.value, list):
                odd, found = (item, show(item.plain())) if isinstance(first.value, list) else (item, "a list")
                expected = f"a list of {len(first.value)}" if isinstance(first.value, list) else "a number"
                problems.add(odd.place, f"the rows of the array `{name}` differ: expected {expected} here, got {found}")
                return None
            if len(item.value) != len(first.value):
                message = f"expected {len(first.value)} values here as in the first row, got {len(item.value)}"
                problems.add(item.place, f"the rows of the array `{name}` differ in length: {message}")
                return None
        level = [child for item in level for child in item.value]
    return level
