"""Mutates the backward of a layer or loss: one change in its syntax tree, as a slip of the pen would make it.

sign      a + b for a - b, -a for what is returned or kept
factor    a / b for a * b, a number that is off by one, mean for sum
axis      another axis of a sum, a mean, a product
transpose `.T`, `.mT`, `swapaxes` left out; the factors of `@` the other way round
dropped   one term of a sum, one factor of a product left out
index     a bound of a slice or of `range`, or an index, that is off by one
"""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SWAPPED: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_AXES = ("axis", "dim", "keepdims")


@dataclass(frozen=True)
class Mutant:
    """One change. `number` counts those of a unit; the source says what the changed statement looks like."""

    unit: str
    number: int
    operator: str
    line: str


def of(kind: Any, name: str) -> list[tuple[Mutant, Any]]:
    """Every mutant of a class's backward, with the function that takes its place."""
    owner = next(base for base in kind.__mro__ if "backward" in vars(base))
    source = textwrap.dedent(inspect.getsource(owner.backward))
    tree = ast.parse(source)
    if "super()" in source:
        return []
    found = []
    for number, (operator, changed, line) in enumerate(_changes(tree)):
        namespace = dict(vars(sys.modules[owner.__module__]))
        code = compile(ast.fix_missing_locations(changed), f"<mutant {number} of {name}>", "exec")
        exec(code, namespace)
        found.append((Mutant(name, number, operator, line), namespace["backward"]))
    return found


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.Module, str]]:
    """Every changed tree, what kind of change it is, and the statement after it."""
    places = list(ast.walk(tree))
    for position, node in enumerate(places):
        for operator, replacement in _replacements(node, tree):
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[position]
            _put(other, target, replacement)
            yield operator, other, _statement(other, replacement)


def _put(tree: ast.Module, target: ast.AST, replacement: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, replacement)
                return
            if isinstance(value, list) and any(item is target for item in value):
                value[next(k for k, item in enumerate(value) if item is target)] = replacement
                return


def _statement(tree: ast.Module, inside: ast.AST) -> str:
    statements = [s for s in ast.walk(tree) if isinstance(s, ast.stmt) and any(n is inside for n in ast.walk(s))]
    smallest = min(statements, key=lambda s: len(ast.unparse(s)), default=None)
    return ast.unparse(smallest).splitlines()[0] if smallest is not None else ""


def _replacements(node: ast.AST, tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    node = copy.deepcopy(node)
    if isinstance(node, ast.BinOp):
        yield from _of_product(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    if isinstance(node, ast.Return) and node.value is not None:
        yield from _of_return(node)
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp | ast.Call) and not _is_tuple(node):
        yield "sign", _with(node, value=ast.UnaryOp(ast.USub(), node.value))
        yield "factor", _with(node, value=ast.BinOp(node.value, ast.Mult(), ast.Constant(2)))
    if isinstance(node, ast.Call):
        yield from _of_call(node)
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield "transpose", node.value
    if isinstance(node, ast.Slice):
        for field in ("lower", "upper"):
            bound = getattr(node, field)
            if bound is not None:
                yield "index", _with(node, **{field: ast.BinOp(bound, ast.Add(), ast.Constant(1))})
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        yield "dropped", ast.Assign([node.target], node.value, lineno=0)
        yield "sign", _with(node, op=ast.Sub())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float) and _is_factor(node, tree):
        yield "factor", ast.Constant(node.value + 1)


def _of_product(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    if type(node.op) in _SWAPPED:
        yield "sign", _with(node, op=_SWAPPED[type(node.op)]())
        yield "dropped", node.left
        yield "dropped", node.right if isinstance(node.op, ast.Add) else ast.UnaryOp(ast.USub(), node.right)
    if isinstance(node.op, ast.Mult):
        yield "factor", _with(node, op=ast.Div())
        yield "dropped", node.left
        yield "dropped", node.right
    if isinstance(node.op, ast.Div):
        yield "factor", _with(node, op=ast.Mult())
        yield "dropped", node.left
    if isinstance(node.op, ast.MatMult):
        yield "transpose", _with(node, left=node.right, right=node.left)
    if isinstance(node.op, ast.Pow):
        yield "dropped", node.left


def _of_return(node: ast.Return) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    first = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else None
    if first is not None and not isinstance(first, ast.Tuple | ast.Constant):
        rest = value.elts[1:]  # type: ignore[union-attr]
        for operator, changed in (
            ("sign", ast.UnaryOp(ast.USub(), first)),
            ("factor", ast.BinOp(first, ast.Mult(), ast.Constant(2))),
        ):
            yield operator, ast.Return(ast.Tuple([changed, *rest], ast.Load()))
    elif value is not None and not isinstance(value, ast.Tuple):
        yield "sign", ast.Return(ast.UnaryOp(ast.USub(), value))
        yield "factor", ast.Return(ast.BinOp(value, ast.Mult(), ast.Constant(2)))


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method in ("sum", "mean"):
        other = "mean" if method == "sum" else "sum"
        yield "factor", _with(node, func=_with(node.func, attr=other))
    if method == "swapaxes" and isinstance(node.func, ast.Attribute):
        yield "transpose", node.func.value
    for k, keyword in enumerate(node.keywords):
        if keyword.arg == "axis" and isinstance(keyword.value, ast.Constant | ast.UnaryOp):
            keywords = list(node.keywords)
            old = ast.literal_eval(keyword.value)
            if isinstance(old, int):
                keywords[k] = ast.keyword("axis", ast.Constant(0 if old != 0 else -1))
                yield "axis", _with(node, keywords=keywords)
    if isinstance(node.func, ast.Name) and node.func.id == "range" and node.args:
        last = ast.BinOp(node.args[-1], ast.Sub(), ast.Constant(1))
        yield "index", _with(node, args=[*node.args[:-1], last])


def _is_tuple(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def _is_factor(node: ast.Constant, tree: ast.Module) -> bool:
    """Whether a number stands in a sum or product, not among axes and indices."""
    return any(
        isinstance(parent, ast.BinOp) and any(ast.dump(side) == ast.dump(node) for side in (parent.left, parent.right))
        for parent in ast.walk(tree)
    )


def _with(node: Any, **changes: Any) -> Any:
    other = copy.copy(node)
    for field, value in changes.items():
        setattr(other, field, value)
    return other
