"""The section `ignore`: findings that the author of the spec knows of, each with a reason."""

from __future__ import annotations

from gradcheck.errors import UsageError
from gradcheck.findings import Location
from gradcheck.silencing import Ignore, code_prefix
from gradcheck.spec._grammar import IgnoreOptions
from gradcheck.spec._options import Owner, convert_each, options_of, read_keys
from gradcheck.spec._problems import Problems, show
from gradcheck.spec._yaml import Node

_FORM = "a list of entries such as {code: GC114, at: relu_1, reason: why this is all right}"


def read_ignore(node: Node | None, path: str, problems: Problems) -> tuple[Ignore, ...]:
    """The entries, as far as they can be understood."""
    if node is None:
        return ()
    if not isinstance(node.value, list) or not node.value:
        problems.add(node.place, f"`ignore` must be {_FORM}; got {show(node.plain())}")
        return ()
    found = (_entry(item, path, problems) for item in node.value)
    return tuple(ignore for ignore in found if ignore is not None)


def _entry(node: Node, path: str, problems: Problems) -> Ignore | None:
    options, before = options_of(IgnoreOptions), len(problems)
    nodes = read_keys(node, options, Owner("an entry of `ignore`", "key"), problems)
    values = convert_each(nodes, options, problems)
    if "code" in values:
        try:
            values["code"] = code_prefix(values["code"])
        except UsageError as error:
            problems.add(nodes["code"].place, str(error))
    if "reason" in values and not values["reason"].strip():
        problems.add(nodes["reason"].place, "`reason` is empty; say why the finding is all right, for whoever reads it")
    if len(problems) > before:
        return None
    ignore = IgnoreOptions(**values)
    reason = " ".join(ignore.reason.split())
    return Ignore(ignore.code, ignore.at, reason, Location(path, node.place.line, node.place.column))
