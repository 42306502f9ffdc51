"""The section `loss`: its terms, and which array each of their arguments is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from gradcheck.losses._base import ELEMENTWISE_REDUCTIONS
from gradcheck.network import Term
from gradcheck.spec._assembly import Builder
from gradcheck.spec._data import Arrays
from gradcheck.spec._grammar import LOSS, TermOptions
from gradcheck.spec._items import Graph, Source
from gradcheck.spec._problems import Problems, counted, did_you_mean, quoted, show
from gradcheck.spec._units import Reading, Unit, read_unit
from gradcheck.spec._yaml import Node

_NO_PREDICTIONS = ("target", "sample_weight", "reduction")


class LossItem(Struct):
    """One term of the loss as it is written. `sources` is None where one of them is a problem."""

    name: str
    unit: Unit
    sources: tuple[Source, ...] | None


def read_loss(node: Node | None, graph: Graph, reading: Reading) -> list[LossItem]:
    """The terms of the loss; those that are malformed are missing."""
    if node is None:
        graph.sound = False
        return []
    nodes = node.value if isinstance(node.value, list) else [node]
    if not nodes:
        reading.problems.add(node.place, "the list of losses is empty; name at least one loss")
        graph.sound = False
    items = []
    for k, child in enumerate(nodes, start=1):
        unit = read_unit(child, "losses", TermOptions, reading)
        name = LOSS if len(nodes) == 1 else f"{LOSS}_{k}"
        if unit is None:
            graph.sound = False
        else:
            items.append(LossItem(name, unit, _sources(unit, graph)))
    return items


def _sources(unit: Unit, graph: Graph) -> tuple[Source, ...] | None:
    if unit.of_parameters:
        for name in ("inputs", "target"):
            if name in unit.nodes:
                message = f"`{unit.type}` takes parameters, those that `parameters` fits; leave `{name}` out"
                graph.problems.add(unit.nodes[name].place, message)
        return ()
    if "inputs" in unit.reserved:
        return graph.resolve(unit.reserved["inputs"], unit.nodes["inputs"], unit.type)
    if "inputs" in unit.nodes or not graph.items:
        graph.sound = False
        return None
    last = graph.items[-1]
    sources = (Source(last.name, last.place),)
    graph.use(sources)
    return sources


def add_terms(items: list[LossItem], graph: Graph, builder: Builder, reading: Reading) -> None:
    """Bind the arguments of every term and add it to the network, as far as that is known."""
    arrays, unknown = graph.arrays, False
    taken: set[str] = set()
    for item in items:
        unit, sources = item.unit, item.sources
        reduction = _reduction(item, reading.problems)
        names = None if sources is None else builder.expand(sources, unit.type)
        if unit.of_parameters and unit.instance is not None:
            names = _penalised(unit, builder, reading.problems)
        if sources is None or names is None or unit.instance is None:
            unknown = True
            continue
        data = {} if unit.of_parameters else _bind(unit, names, builder.counts(sources), arrays, reading.problems)
        if data is None:
            unknown = True
            continue
        taken |= set(data.values())
        if reduction and all(map(builder.knows, (*names, *data.values()))):
            weight = unit.reserved.get("weight", TermOptions.weight)
            term = Term(unit.instance, reduction, weight, tuple(names), data, unit.trusted, item.name)
            builder.add_term(term, unit.place)
    graph.used |= taken
    if any(not item.unit.of_parameters for item in items) and not unknown:
        _require_taken(items, taken, graph, reading.problems)


def _penalised(unit: Unit, builder: Builder, problems: Problems) -> list[str] | None:
    """The parameters that a penalty takes; None where that is unknown or a problem. What is frozen costs nothing."""
    before, known = len(problems), list(builder.trained)
    written = unit.instance.parameters
    patterns = (written,) if isinstance(written, str) else tuple(written)
    for glob in patterns:
        if not builder.unknown and not any(fnmatchcase(name, glob) for name in known):
            message = f"`parameters: {glob}` of `{unit.type}` fits no parameter that is trained"
            problems.add(unit.place, f"{message}{did_you_mean(glob, known) or _there_are(known)}")
    names = [name for name in known if any(fnmatchcase(name, glob) for glob in patterns)]
    return names if names and len(problems) == before else None


def _there_are(known: list[str]) -> str:
    return f"; there are {quoted(known)}" if known else "; there are none"


def _reduction(item: LossItem, problems: Problems) -> str | None:
    """The reduction, if the loss has it."""
    unit = item.unit
    if unit.kind is None or ("reduction" in unit.nodes and "reduction" not in unit.reserved):
        return None
    possible = unit.kind.reductions or ELEMENTWISE_REDUCTIONS
    default = possible[0] if len(possible) == 1 and unit.of_parameters else TermOptions.reduction
    reduction: str = unit.reserved.get("reduction", default)
    if reduction in possible:
        return reduction
    place = unit.nodes["reduction"].place if "reduction" in unit.nodes else unit.place
    hint = did_you_mean(reduction, possible) or f"; it has {quoted(possible)}"
    problems.add(place, f"`{unit.type}` has no reduction {show(reduction)}{hint}")
    return None


def _bind(unit: Unit, names: list[str], exact: bool, arrays: Arrays, problems: Problems) -> dict[str, str] | None:
    """Array by argument, for what the loss takes by name; None where that is unknown or a problem.

    Where it is not known how many predictions there are, they are taken to be as many as the loss takes.
    """
    parameters = inspect.signature(unit.instance.forward).parameters
    given = {name: name for name in (*arrays.targets, "sample_weight") if name in arrays.places}
    slots = _prediction_slots(parameters, given)
    if slots is not None and exact and len(names) > len(slots):
        message = f"`{unit.type}` takes {counted(len(slots), 'prediction')}, got {len(names)}"
        problems.add(unit.place, f"{message}: {', '.join(names)}; say with `inputs` which it takes")
        return None
    before = len(problems)
    by_name = _by_name(parameters, 0 if slots is None else len(names) if exact else len(slots))
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if "target" in by_name or takes_all:
        target = _target(unit, arrays, by_name.get("target", False), problems)
        given |= {"target": target} if target else {}
    elif "target" in unit.nodes:
        problems.add(unit.nodes["target"].place, f"`{unit.type}` takes no target; leave `target` out")
    for name, required in by_name.items():
        if required and name not in given and name != "target":
            problems.add(unit.place, _missing(unit, name))
    if len(problems) > before or any(required and name not in given for name, required in by_name.items()):
        return None
    return given if takes_all else {name: given[name] for name in by_name if name in given}


def _prediction_slots(parameters: Mapping[str, inspect.Parameter], given: Mapping[str, str]) -> list[str] | None:
    """The arguments that predictions can fill; None where there may be any number of them."""
    slots: list[str] = []
    for name, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return None
        if parameter.kind > inspect.Parameter.VAR_POSITIONAL or name in _NO_PREDICTIONS or name in given:
            break
        slots.append(name)
    return slots


def _by_name(parameters: Mapping[str, inspect.Parameter], predictions: int) -> dict[str, bool]:
    """What forward takes beside the predictions and the reduction -> whether it must be given."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    rest = list(parameters.values())[predictions:]
    return {p.name: p.default is p.empty for p in rest if p.kind not in variable and p.name != "reduction"}


def _missing(unit: Unit, name: str) -> str:
    if name == "sample_weight":
        return f"`{unit.type}` needs `sample_weight`, but `data` has none"
    return f"`{unit.type}` needs `{name}`: add another prediction to `inputs`, or an array `{name}` to `targets`"


def _target(unit: Unit, arrays: Arrays, required: bool, problems: Problems) -> str | None:
    """The array that is the target of this term."""
    if "target" in unit.nodes:
        name: str | None = unit.reserved.get("target")
        if name is None or name in arrays.targets:
            return name
        hint = did_you_mean(name, arrays.targets) or (f"; they are {quoted(arrays.targets)}" if arrays.targets else "")
        message = f"`{unit.type}` takes the target `{name}`, but there is none of that name among the `targets`"
        problems.add(unit.nodes["target"].place, message + hint)
        return None
    if "target" in arrays.targets or len(arrays.targets) == 1:
        return "target" if "target" in arrays.targets else arrays.targets[0]
    if required and arrays.complete:
        which = f"say which of them with `target`: {quoted(arrays.targets)}" if arrays.targets else ""
        problems.add(unit.place, f"`{unit.type}` needs a target; {which or '`data` has no `targets`'}")
    return None


def _require_taken(items: list[LossItem], taken: set[str], graph: Graph, problems: Problems) -> None:
    """Targets and weights that no loss takes, and no layer either, are a mistake."""
    losses = list(dict.fromkeys(item.unit.type for item in items if not item.unit.of_parameters))
    who = f"none of {quoted(losses)} takes" if len(losses) > 1 else f"`{losses[0]}` does not take"
    for name in (*graph.arrays.targets, "sample_weight"):
        if name in graph.arrays.places and name not in graph.used and name not in taken:
            weights = name == "sample_weight"
            message = "the weights `{}` are not used: {} them" if weights else "the target `{}` is not used: {} it"
            problems.add(graph.arrays.places[name], message.format(name, who))
