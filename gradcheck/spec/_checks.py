"""The section `checks`: which are on, and how they are made."""

from __future__ import annotations

from gradcheck.spec._grammar import CHECKS, GradientOptions
from gradcheck.spec._hints import Anything
from gradcheck.spec._options import Option, Owner, convert_each, options_of, read_keys
from gradcheck.spec._problems import Problems, show
from gradcheck.spec._yaml import Node
from gradcheck.spec.case import GradientPlan


def read_checks(node: Node | None, problems: Problems) -> tuple[tuple[str, ...], GradientPlan]:
    """The names of the checks that are on, and the plan of the gradient check. What is not named is on."""
    on, options = list(CHECKS), GradientOptions()
    if node is None or node.value is None:
        return tuple(on), _plan(options)
    known = {name: Option(name, Anything(), required=False) for name in CHECKS}
    for name, chosen in read_keys(node, known, Owner("`checks`", "key"), problems).items():
        if chosen.value is False:
            on.remove(name)
        elif isinstance(chosen.value, dict):
            own = options_of(CHECKS[name])
            values = convert_each(read_keys(chosen, own, Owner(f"the check `{name}`"), problems), own, problems)
            options = GradientOptions(**values) if name == "gradient" else options
        elif chosen.value is not True and chosen.value is not None:
            problems.add(
                chosen.place,
                f"`{name}` must be true, false or a mapping of options to values, got {show(chosen.plain())}",
            )
    return tuple(on), _plan(options)


def _plan(options: GradientOptions) -> GradientPlan:
    return GradientPlan(
        options.method, options.step or None, options.rtol, directions=number_of(options.directions),
        max_memory=options.max_memory, probe=options.probe,
    )  # fmt: skip


def number_of(directions: int | str) -> int | None:
    """How many directions; None for `auto`."""
    return None if isinstance(directions, str) else directions
