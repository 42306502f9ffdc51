"""The section `data`: the batch size, the rows that are drawn, and every array by name."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gradcheck.spec._array_options import read_array
from gradcheck.spec._arrays import ArrayProblem, Recipe
from gradcheck.spec._grammar import LOSS_NAME, NAME, Data
from gradcheck.spec._options import Owner, convert, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, counted
from gradcheck.spec._yaml import Node

_DEFAULT_NAMES = {"inputs": "input", "targets": "target"}


class Arrays(Struct):
    """The data of a spec.

    inputs     names, in the spec's order
    targets    names
    places     where each array is written
    numbers    the arrays; those that are a problem are missing
    batched    names of the arrays that have samples on axis 0
    possible   drawn classes as they might have been: with the greatest class among them
    complete   whether all names are known: if not, an unknown name may be one of them
    """

    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)
    numbers: dict[str, NDArray[Any]] = field(default_factory=dict)
    batched: frozenset[str] = frozenset()
    possible: dict[str, NDArray[Any]] = field(default_factory=dict)
    complete: bool = False


def read_data(node: Node | None, seed: int, dtype: str, spec_path: str, problems: Problems) -> Arrays:
    """Every array of the batch. What is wrong with one is a problem and leaves the others standing."""
    if node is None:
        return Arrays()
    options = options_of(Data)
    before = len(problems)
    nodes = read_keys(node, options, Owner("`data`", "key"), problems)
    if not isinstance(node.value, dict):
        return Arrays()
    size = convert({k: v for k, v in nodes.items() if k == "batch_size"}, options, problems)
    arrays, recipes = Arrays(complete=len(problems) == before), []
    for role in ("inputs", "targets", "sample_weight"):
        if role not in nodes:
            continue
        for name, array in _named(role, nodes[role]).items():
            if not _is_free(name, role, nodes[role], arrays, problems):
                arrays.complete = False
                continue
            arrays.places[name] = nodes[role].keys.get(name, node.keys[role])
            arrays.inputs += (name,) if role == "inputs" else ()
            arrays.targets += (name,) if role == "targets" else ()
            recipes.append(read_array(name, role, array, spec_path, problems))
    known = [recipe for recipe in recipes if recipe is not None]
    arrays.batched = frozenset(recipe.name for recipe in known if recipe.batched)
    _require_batched_input(arrays, known, nodes, problems)
    if size is not None and len(known) == len(recipes):
        _make(arrays, known, nodes.get("batch_size"), node.place, (seed, dtype), problems)
    return arrays


def _named(role: str, node: Node) -> dict[str, Node]:
    """One array under its default name, or several: a mapping whose values are all mappings."""
    several = (
        isinstance(node.value, dict) and node.value and all(isinstance(v.value, dict) for v in node.value.values())
    )
    if several and role in _DEFAULT_NAMES:
        return dict(node.value)
    return {_DEFAULT_NAMES.get(role, role): node}


def _is_free(name: str, role: str, node: Node, arrays: Arrays, problems: Problems) -> bool:
    place = node.keys.get(name, node.place)
    if name in arrays.places:
        message = f"the name `{name}` is taken by another array on line {arrays.places[name].line}"
        problems.add(place, f"{message}; give one of them another name")
        return False
    return check_name(name, place, problems)


def check_name(name: str, place: Place, problems: Problems) -> bool:
    """Whether a layer or an array may have this name."""
    if not re.fullmatch(NAME, name):
        problems.add(place, f"the name {name!r} may only have letters, digits, `_` and `-`")
        return False
    if re.fullmatch(LOSS_NAME, name):
        problems.add(place, f"the name `{name}` is kept for the loss; choose another")
        return False
    return True


def _require_batched_input(arrays: Arrays, known: list[Recipe], nodes: dict[str, Node], problems: Problems) -> None:
    inputs = [recipe for recipe in known if recipe.role == "inputs"]
    if inputs and len(inputs) == len(arrays.inputs) and not any(recipe.batched for recipe in inputs):
        problems.add(nodes["inputs"].place, "at least one input needs a batch axis; leave `per_sample: false` out")
        known.clear()


def _make(
    arrays: Arrays, recipes: list[Recipe], size: Node | None, place: Place, draws: tuple[int, str], problems: Problems
) -> None:
    """Draw and cut every array, if there is a batch size that they all agree with."""
    seed, dtype = draws
    rows = [recipe for recipe in recipes if recipe.rows is not None]
    batch_size = _batch_size(size, rows, place, problems)
    if batch_size is None:
        return
    chosen = _chosen_rows(rows, batch_size, seed)
    for recipe in recipes:
        mine = chosen if recipe.rows is not None and recipe.rows > batch_size else None
        try:
            array = arrays.numbers[recipe.name] = recipe.make(seed, batch_size, mine, dtype)
            if recipe.options.classes:
                arrays.possible[recipe.name] = np.concatenate([[recipe.options.classes - 1], array.flat[1:]]).reshape(
                    array.shape
                )
        except ArrayProblem as problem:
            problems.add(recipe.place, str(problem))


def _batch_size(size: Node | None, rows: list[Recipe], place: Place, problems: Problems) -> int | None:
    if size is None and not rows:
        problems.add(place, "`data` needs the key `batch_size`: no values and no file say how many samples there are")
        return None
    before = len(problems)
    _require_equal_rows(rows, size, problems)
    for recipe in rows:
        count = recipe.rows or 0
        if size is not None and count < size.value:
            message = (
                f"the array `{recipe.name}` has {counted(count, 'row')}, fewer than the batch_size of {size.value}"
            )
            problems.add(recipe.place, message)
        elif size is not None and recipe.source == "values" and count > size.value:
            message = f"the array `{recipe.name}` has {counted(count, 'row')}, more than the batch_size of {size.value}"
            problems.add(recipe.place, f"{message}; rows are drawn from files alone, so leave batch_size out")
    if len(problems) > before:
        return None
    return int(size.value) if size is not None else rows[0].rows


def _require_equal_rows(rows: list[Recipe], size: Node | None, problems: Problems) -> None:
    """Samples belong together by their row: all files, and all arrays where they say the batch size, have as many."""
    together = [recipe for recipe in rows if recipe.source == "file" or size is None]
    for recipe in together[1:]:
        if recipe.rows != together[0].rows:
            problems.add(
                recipe.place,
                f"the array `{recipe.name}` has {counted(recipe.rows or 0, 'row')} and `{together[0].name}` has "
                f"{together[0].rows}; rows belong together, so there must be as many",
            )


def _chosen_rows(rows: list[Recipe], batch_size: int, seed: int) -> NDArray[Any]:
    """The rows of the files that make up the batch, in the files' order; the same for every array."""
    count = max((recipe.rows or 0 for recipe in rows), default=0)
    if count <= batch_size:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, *b"data.rows"]).choice(count, batch_size, replace=False))
