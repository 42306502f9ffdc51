"""Parameters that are others, or their transposes: an embedding and the output weights behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from gradcheck.spec._problems import Place, Problems, meant, show
from gradcheck.spec._yaml import Node

Shape = tuple[int, ...]
_TRANSPOSE = ".T"


class Tie(Struct, frozen=True):
    """A parameter that is another one, or its transpose, as it is written: `head.weight: embedding.weight.T`."""

    name: str
    other: str
    place: Place
    other_place: Place

    def resolved(self, known: Mapping[str, Any]) -> tuple[str, bool] | None:
        """The other's name, and whether it is transposed; None where there is none of that name."""
        if self.other in known:
            return self.other, False
        name = self.other.removesuffix(_TRANSPOSE)
        return (name, True) if name in known and name != self.other else None


class Ties:
    """Every tie by the name of the parameter that is not one of its own."""

    def __init__(self, ties: Iterable[Tie], problems: Problems) -> None:
        self._ties = {tie.name: tie for tie in ties}
        self._problems = problems
        self._met: dict[str, bool] = {}

    def take(self, name: str, shape: Shape, known: Mapping[str, Shape]) -> tuple[str, bool] | None:
        """What a parameter of that shape is tied to; None where it is not tied, or the tie is a problem.

        known  the parameters of the layers before
        """
        tie = self._ties.get(name)
        if tie is None:
            return None
        found = tie.resolved(known)
        self._met[name] = found is not None
        if found is None:
            return None
        other, transposed = found
        own = known[other]
        if transposed and len(own) != 2:
            self._problems.add(tie.other_place, f"`{other}` has the shape {own}; only a matrix can be transposed")
        elif (own[::-1] if transposed else own) != shape:
            message = f"`{name}` has the shape {shape}, but `{tie.other}` has {own[::-1] if transposed else own}"
            turned = other if transposed else f"{other}{_TRANSPOSE}"
            hint = (
                f"; did you mean `{turned}`?" if len(own) == 2 and (own if transposed else own[::-1]) == shape else ""
            )
            self._problems.add(tie.other_place, f"{message}{hint}")
        else:
            return found
        return None

    def require_all_met(self, known: Mapping[str, Shape], unknown: set[str]) -> None:
        """What ties a parameter that does not exist, or one to another that does not stand before it, is a problem.

        unknown  layers of which nothing is known
        """
        for name, tie in self._ties.items():
            other = tie.resolved(known)
            if name not in self._met and name.rpartition(".")[0] not in unknown:
                self._problems.add(tie.place, f"there is no parameter `{name}` to tie{meant(name, known, unknown)}")
            if self._met.get(name):
                continue
            if other is None and tie.other.removesuffix(_TRANSPOSE).rpartition(".")[0] not in unknown:
                transposes = [f"{each}{_TRANSPOSE}" for each in known] if tie.other.endswith(_TRANSPOSE) else []
                hint = meant(tie.other, [*known, *transposes], unknown)
                self._problems.add(tie.other_place, f"there is no parameter `{tie.other}` to tie `{name}` to{hint}")
            elif other is not None and name in self._met:
                turned = f"`{other[0]}: {name}{_TRANSPOSE if other[1] else ''}`"
                message = f"`{name}` is tied to `{other[0]}`, whose layer comes later; tie the later one: {turned}"
                self._problems.add(tie.other_place, message)


def read_ties(node: Node, problems: Problems) -> list[Tie]:
    """The ties that make sense by themselves."""
    form = "`tie` must be a mapping of parameters to others, such as {head.weight: embedding.weight.T}"
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node.place, f"{form}, got {show(node.plain())}")
        return []
    ties = []
    for name, other in node.value.items():
        if isinstance(other.value, str):
            ties.append(Tie(name, other.value, node.keys[name], other.place))
        else:
            problems.add(other.place, f"`{name}` must be tied to the name of a parameter, got {show(other.plain())}")
    names = {tie.name: tie for tie in ties}
    return [tie for tie in ties if not _is_chained(tie, names, problems)]


def _is_chained(tie: Tie, names: Mapping[str, Tie], problems: Problems) -> bool:
    found = tie.resolved(names)
    if found is None:
        return False
    further = names[found[0]]
    if further is tie:
        message = f"`{tie.name}` is tied to itself; name another parameter"
    elif further.other.removesuffix(_TRANSPOSE) == tie.name:
        message = f"`{tie.name}` and `{further.name}` are tied to each other; leave out one of the two"
    else:
        end, turned = further.other.removesuffix(_TRANSPOSE), found[1] != further.other.endswith(_TRANSPOSE)
        end += _TRANSPOSE if turned else ""
        message = f"`{tie.name}` is tied to `{further.name}`, which is tied itself; tie it to `{end}`"
    problems.add(tie.other_place, message)
    return True
