"""One mutant in small random networks: whether it changes the gradient, whether it is caught, and who is blamed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from _trust.nets import SMALL, Net, draw_net
from _trust.planting import _overridden
from _trust.recipes import NoRecipe, Units
from msgspec.structs import replace

from _diagnosis import mutants
from gradcheck.errors import LayerFailure
from gradcheck.gradients.analytic import Analytic, gradient
from gradcheck.naming import spec_name
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case

#: Below this, relative to the greatest entry of a tensor, a change is rounding; and so is a gradient of that size.
_ROUNDING, _NOTHING = 1e-9, 1e-13
#: So many networks are drawn for a mutant that changes nothing in the first.
NETS = 4
#: What is run: the contract, for what is raised or not repeatable, and the gradient.
CHECKS = ("contract", "gradient")


@dataclass(frozen=True)
class Found:
    """What became of a mutant.

    outcome  unchanged, caught, missed or crashed
    layers   who is blamed, consequences left out; `blamed` whether that is the mutant alone
    codes    of the findings about it
    """

    mutant: mutants.Mutant
    outcome: str
    net: int = -1
    blamed: bool = False
    layers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    note: str = ""


@cache
def _units() -> Units:
    return Units.of_catalogue()


def tasks() -> list[tuple[str, str, int]]:
    """Folder, name and number of every mutant of every layer and loss."""
    units = _units()
    found = []
    for folder, kinds in (("layers", units.layers), ("losses", units.losses)):
        for name, kind in sorted(kinds.items()):
            found += [(folder, name, k) for k in range(len(mutants.of(kind, name)))]
    return found


def trial(task: tuple[str, str, int]) -> Found:
    """Plant the mutant in networks until it changes the gradient of one, and check that."""
    folder, name, number = task
    kinds: Any = _units().layers if folder == "layers" else _units().losses
    mutant, backward = mutants.of(kinds[name], name)[number]
    with np.errstate(all="ignore"):
        for net in _nets(folder, name):
            right = net.case()
            wrong, guilty = _planted(right, folder, name, backward)
            changed = _changed(right, wrong)
            if changed:
                return _judged(mutant, replace(wrong, checks=CHECKS), guilty, net.index, changed)
    return Found(mutant, "unchanged")


def _nets(folder: str, name: str) -> list[Net]:
    """Small networks with the unit in them."""
    units = _units()
    names, others = sorted(getattr(units, folder)), len(units.layers)
    place = names.index(name)
    found = []
    for k in range(NETS):
        index = place + len(names) * (k if folder == "layers" else k * 3 + 1)
        if folder == "losses":
            index = place + len(names) * (k * others + 1)
        try:
            net = draw_net(units, 11, index, SMALL)
        except NoRecipe:
            continue
        if folder == "layers" or spec_name(type(net.loss)) == name:
            found.append(net)
    return found


def _planted(case: Case, folder: str, name: str, backward: Any) -> tuple[Case, str]:
    """The case with the mutant in the last place where the unit stands, and the layer to be blamed."""
    network = case.network
    if folder == "losses":
        terms = tuple(replace(t, loss=_overridden(t.loss, backward=backward), trusted=False) for t in network.terms)
        return replace(case, network=replace(network, terms=terms)), "loss"
    guilty = [node for node in network.nodes if spec_name(type(node.layer)) == name][-1]
    wrong = replace(guilty, layer=_overridden(guilty.layer, backward=backward), trusted=False)
    nodes = tuple(wrong if node is guilty else node for node in network.nodes)
    return replace(case, network=replace(network, nodes=nodes)), guilty.written


def _changed(right: Case, wrong: Case) -> str:
    """How the gradients differ: empty, `raises` or `differs`."""
    before = gradient(right.network, right.point)
    try:
        after: Analytic = gradient(wrong.network, wrong.point)
    except LayerFailure:
        return "raises"
    if after.failures:
        return "raises"
    for name in (*right.point.parameters, *right.point.differentiable(right.point.inputs)):
        a, b = before.gradients[name], after.gradients[name]
        if not np.all(np.abs(a - b) <= _ROUNDING * np.max(np.abs(a), initial=0.0) + _NOTHING):
            return "differs"
    return ""


def _judged(mutant: mutants.Mutant, case: Case, guilty: str, net: int, changed: str) -> Found:
    try:
        report = check_case(case)
    except Exception as error:
        return Found(mutant, "crashed", net, note=f"{type(error).__name__}: {error}")
    errors = [f for f in report.findings if f.severity == "error" and f.consequence_of is None]
    layers = tuple(dict.fromkeys(f.layer for f in errors))
    codes = tuple(dict.fromkeys(f.code for f in errors if f.layer == guilty))
    outcome = "caught" if report.verdict == "fail" else "missed"
    return Found(mutant, outcome, net, layers == (guilty,), layers, codes, note=f"{changed}; {report.verdict}")
