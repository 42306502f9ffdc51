"""Reading a spec: text -> everything that a run needs, or every problem of the file at once.

A spec is data: nothing that it names is imported, and its files lie beside it. `validate` says what `read_case` would
say, without calling code of plugins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gradcheck.catalogue import Catalogue
from gradcheck.errors import LayerFailure, NothingSelected, Problem, SpecError, UsageError
from gradcheck.findings import Location
from gradcheck.network import Point
from gradcheck.silencing import Ignore
from gradcheck.spec._assembly import Builder
from gradcheck.spec._checks import number_of, read_checks
from gradcheck.spec._data import read_data
from gradcheck.spec._grammar import CHECKS, LOSS, NOTES, GradientOptions, Spec
from gradcheck.spec._hints import Mismatch
from gradcheck.spec._ignore import read_ignore
from gradcheck.spec._items import Graph, read_network
from gradcheck.spec._modules import read_modules, require_all_used, require_limits
from gradcheck.spec._options import Owner, convert_each, options_of, read_keys
from gradcheck.spec._parameters import ParameterPlan, read_parameters
from gradcheck.spec._problems import Problems, did_you_mean, quoted, show
from gradcheck.spec._terms import LossItem, add_terms, read_loss
from gradcheck.spec._units import Reading
from gradcheck.spec._yaml import compose
from gradcheck.spec.case import Case, GradientPlan

_ENTRY = re.compile(r"(?P<name>.+?)\s*\[\s*(?P<index>\d+(\s*,\s*\d+)*)?\s*,?\s*\]")
_SPEC = Owner("a spec", "key")


class Overrides(Struct, frozen=True):
    """What the command line says, which wins over the spec. Entries are written `head.weight[3, 5]`."""

    seed: int | None = None
    method: str | None = None
    step: float | None = None
    rtol: float | None = None
    entries: tuple[str, ...] = ()
    directions: int | str | None = None
    max_memory: float | None = None
    probe: bool | None = None


_NOTHING = Overrides()


class PluginFailure(Exception):  # noqa: N818 - a finding about user code
    """A layer or loss of a plugin failed while the network was put together; the spec itself has no problem.

    failure    what failed, and how
    name       the spec's name
    seed       the seed that the run has
    locations  where in the spec each layer (by name) and the loss (`loss`) is written
    ignores    findings that are known and all right
    """

    def __init__(
        self,
        failure: LayerFailure,
        name: str,
        seed: int,
        locations: Mapping[str, Location],
        ignores: tuple[Ignore, ...] = (),
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.name = name
        self.seed = seed
        self.locations = locations
        self.ignores = ignores


def read_case(path: str, text: str, catalogue: Catalogue, overrides: Overrides = _NOTHING) -> Case:
    """Read a spec that is to be run.

    path       what the user typed; files resolve beside it, for "-" (standard input) in the current folder
    SpecError        with every problem of the file
    PluginFailure    user code failed while the network was put together
    NothingSelected  every check is off, or there is neither a parameter nor an input to check
    UsageError       an override that does not fit the spec
    """
    reading = Reading(path, catalogue, True, Problems(path))
    draft = _read(reading, text, overrides)
    if draft is None or len(reading.problems):
        raise SpecError(reading.problems.sorted())
    if not set(draft.checks) - {NOTES}:
        proving = [name for name in CHECKS if name != NOTES]
        raise NothingSelected(f"{path}: every check is switched off; leave one of them on: {quoted(proving)}")
    if reading.failure is not None:
        reading.failure.node = draft.written.get(reading.failure.node, reading.failure.node)
        raise PluginFailure(reading.failure, draft.name, draft.seed, draft.locations, draft.ignores)
    network, point = draft.builder.network()
    if not point.differentiable((*point.parameters, *point.inputs)):
        frozen = " that is not frozen" if point.frozen else ""
        raise NothingSelected(f"{path}: there is nothing to check: no parameter{frozen}, and no input of real numbers")
    plan = replace(draft.plan, entries=tuple(_entry(entry, point, draft.parameters) for entry in overrides.entries))
    return Case(
        path, draft.name, draft.seed, draft.dtype, network, point, draft.checks, plan, draft.locations,
        draft.parameters.left_out(point.parameters), draft.objective, draft.ignores,
    )  # fmt: skip


def validate(path: str, text: str, catalogue: Catalogue) -> tuple[list[Problem], list[str]]:
    """Every problem of a spec, and notes, without calling code of plugins."""
    reading = Reading(path, catalogue, False, Problems(path))
    _read(reading, text, Overrides())
    return reading.problems.sorted(), reading.notes


class _Draft(Struct, frozen=True):
    """What was understood of a spec. `written` are the layers' own names, by those of their places."""

    name: str
    seed: int
    dtype: str
    checks: tuple[str, ...]
    plan: GradientPlan
    builder: Builder
    locations: Mapping[str, Location]
    written: Mapping[str, str]
    parameters: ParameterPlan
    objective: str
    ignores: tuple[Ignore, ...]


def _read(reading: Reading, text: str, overrides: Overrides) -> _Draft | None:
    """Read as much of the spec as can be understood; every problem goes to the reading."""
    path, problems = reading.path, reading.problems
    root = compose(text, problems)
    if root is None:
        return None
    options = options_of(Spec)
    nodes = read_keys(root, options, _SPEC, problems)
    plain = {"name": _default_name(path), "seed": Spec.seed, "dtype": Spec.dtype, "objective": Spec.objective}
    plain |= convert_each({key: nodes[key] for key in plain if key in nodes}, options, problems)
    if "name" in nodes and not (plain["name"].strip() and plain["name"].isprintable()):
        problems.add(nodes["name"].place, f"`name` must be a string that can be printed, got {show(plain['name'])}")
    checks, plan = read_checks(nodes.get("checks"), problems)
    seed, plan = _overridden(plain["seed"], plan, overrides)
    arrays = read_data(nodes.get("data"), seed, plain["dtype"], path, problems)
    modules = read_modules(nodes.get("modules"), arrays, reading)
    graph = read_network(nodes.get("network"), arrays, modules, reading)
    losses = read_loss(nodes.get("loss"), graph, reading)
    parameters = read_parameters(nodes.get("parameters"), path, problems)
    ignores = read_ignore(nodes.get("ignore"), path, problems)
    builder = Builder(arrays, parameters, seed, plain["dtype"], reading)
    within_limits = require_limits(graph, modules, problems)
    for item in graph.items if within_limits else ():
        builder.add(item)
    add_terms(losses, graph, builder, reading)
    graph.require_all_used()
    require_all_used(graph, modules, problems)
    if graph.items and within_limits:
        parameters.require_all_fit(builder.parameters, builder.unknown)
    locations = _locations(path, graph, losses) if within_limits else {}
    written = {name: own for name, own, _ in graph.layers()} if within_limits else {}
    return _Draft(
        plain["name"], seed, plain["dtype"], checks, plan, builder, locations, written, parameters, plain["objective"],
        ignores,
    )  # fmt: skip


def _default_name(path: str) -> str:
    return "stdin" if path == "-" else Path(path).stem


def _locations(path: str, graph: Graph, losses: list[LossItem]) -> dict[str, Location]:
    places = {item.name: item.place for item in graph.items}
    for name, written, item in graph.layers():
        places |= {written: item.place, name: item.place}
    if losses:
        places[LOSS] = losses[0].unit.place
    places |= {item.name: item.unit.place for item in losses}
    return {name: Location(path, place.line, place.column) for name, place in places.items()}


def _overridden(seed: int, plan: GradientPlan, overrides: Overrides) -> tuple[int, GradientPlan]:
    """The seed and the plan with what the command line says; UsageError where that is no possible value."""
    options = {**options_of(GradientOptions), "seed": options_of(Spec)["seed"]}
    said = {name: getattr(overrides, name) for name in options if getattr(overrides, name) is not None}
    for name, value in said.items():
        try:
            options[name].hint.convert(value)
        except Mismatch:
            option, words = name.replace("_", "-"), options[name].hint.words()[0]
            raise UsageError(f"--{option} must be {words}, got {show(value)}") from None
    seed = said.pop("seed", seed)
    if "directions" in said:
        said["directions"] = number_of(said["directions"])
    return seed, replace(plan, **said)


def _entry(written: str, point: Point, plan: ParameterPlan) -> tuple[str, tuple[int, ...]]:
    """`head.weight[3, 5]` -> ("head.weight", (3, 5)); UsageError where there is no such entry."""
    known = point.differentiable((*point.parameters, *point.inputs))
    match = _ENTRY.fullmatch(written.strip())
    name = match["name"] if match else written.strip()
    if name in point.frozen:
        raise UsageError(
            f"{name} is frozen: it receives no gradient; leave it out of `freeze` to check {written.strip()}"
        )
    if name in plan.tied:
        other, transposed = plan.tied[name]
        turned = " transposed" if transposed else ""
        raise UsageError(f"{name} is tied: it is {other}{turned}; name an entry of {other}")
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {quoted(known)}"
        raise UsageError(f"no parameter and no input of real numbers is called {show(name)}{hint}")
    shape = point.arrays[name].shape
    example = f"write {name}[{', '.join('0' * len(shape))}], for example"
    if match is None:
        raise UsageError(f"{show(written)} names no entry of {name}, whose shape is {shape}; {example}")
    index = tuple(map(int, match["index"].split(","))) if match["index"] else ()
    if len(index) != len(shape) or any(k >= size for k, size in zip(index, shape, strict=True)):
        raise UsageError(f"{written.strip()} lies outside {name}, whose shape is {shape}; {example}")
    return name, index
