"""The section `parameters`: which are checked, frozen and tied, and the user's own weights.

Names are held against those of the layers while the network is put together, and once it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field

from gradcheck.spec._grammar import Parameters
from gradcheck.spec._options import Owner, convert_each, options_of, read_keys
from gradcheck.spec._problems import Place, Problems, meant, quoted
from gradcheck.spec._ties import Shape, Ties, read_ties
from gradcheck.spec._weights import Weights, read_weights
from gradcheck.spec._yaml import Node


class Globs(Struct, frozen=True):
    """Patterns of names (`head.*`) with their places, as one of the options has them."""

    option: str
    patterns: tuple[tuple[str, Place], ...] = ()

    def matching(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that one of the patterns fits."""
        return frozenset(name for name in names if any(fnmatchcase(name, glob) for glob, _ in self.patterns))


class ParameterPlan(Struct):
    """What the section says.

    weights  None where the spec gives none, or they cannot be read
    """

    weights: Weights | None
    ties: Ties
    check: Globs
    freeze: Globs
    problems: Problems
    tied: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def require_all_fit(self, known: Mapping[str, Shape], unknown: set[str]) -> None:
        """What is named must exist: all weights, both ends of every tie, and something for every pattern.

        known    the parameters of the network
        unknown  layers of which nothing is known
        """
        if self.weights is not None:
            self.weights.require_all_taken(unknown)
        self.ties.require_all_met(known, unknown)
        frozen = self.freeze.matching(known)
        for globs in (self.freeze, self.check):
            for glob, place in globs.patterns:
                fits = [name for name in known if fnmatchcase(name, glob)]
                if not fits and not unknown:
                    self.problems.add(place, self._nothing_fits(globs.option, glob, known))
                elif fits and globs is self.check and frozen.issuperset(fits):
                    message = f"`check: {glob}` fits {quoted(fits[:3])}, but `freeze` does too"
                    self.problems.add(place, f"{message}: a frozen parameter has no gradient to check")

    def left_out(self, known: Iterable[str]) -> frozenset[str]:
        """The parameters that are not to be checked."""
        return frozenset(known) - self.check.matching(known) if self.check.patterns else frozenset()

    def _nothing_fits(self, option: str, glob: str, known: Mapping[str, Shape]) -> str:
        tied = [name for name in self.tied if fnmatchcase(name, glob)]
        if tied:
            return f"`{option}: {glob}` fits `{tied[0]}` alone, which is tied; name its owner `{self.tied[tied[0]][0]}`"
        return f"`{option}: {glob}` fits no parameter{meant(glob, known, set())}"


def read_parameters(node: Node | None, spec_path: str, problems: Problems) -> ParameterPlan:
    """The section, as far as it can be understood."""
    options = options_of(Parameters)
    nodes = {} if node is None else read_keys(node, options, Owner("`parameters`", "key"), problems)
    if node is not None and node.value == {}:
        problems.add(node.place, f"`parameters` is empty; its keys are {quoted(options)}")
    values = convert_each({key: each for key, each in nodes.items() if key != "tie"}, options, problems)
    return ParameterPlan(
        read_weights(nodes["file"].place, values["file"], spec_path, problems) if "file" in values else None,
        Ties(read_ties(nodes["tie"], problems) if "tie" in nodes else (), problems),
        _globs("check", nodes, values),
        _globs("freeze", nodes, values),
        problems,
    )


def _globs(option: str, nodes: Mapping[str, Node], values: Mapping[str, Any]) -> Globs:
    if option not in values:
        return Globs(option)
    written = nodes[option].value if isinstance(nodes[option].value, list) else [nodes[option]]
    return Globs(option, tuple((each.value, each.place) for each in written))
