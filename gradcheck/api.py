"""One call for a layer, a loss or a network that is written in Python: what a spec gets, without a spec.

`check_...` returns the Report. `assert_...` raises AssertionError where `gradcheck run` would exit with 1: its message
is the report of what did not pass, the worst first, in plain text and 80 columns.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck import __version__, _cli_select
from gradcheck.adapters.functions import from_functions
from gradcheck.adapters.stateful import from_stateful
from gradcheck.assembly import Assembly
from gradcheck.catalogue import Catalogue, require_contract
from gradcheck.errors import LayerFailure, UsageError
from gradcheck.findings import Location, Report
from gradcheck.layers._base import Layer
from gradcheck.losses._base import ELEMENTWISE_REDUCTIONS, Loss
from gradcheck.naming import spec_name
from gradcheck.network import Term
from gradcheck.pipeline import check_names, failed, run_case
from gradcheck.report import full
from gradcheck.silencing import code_prefix
from gradcheck.sources import source_of
from gradcheck.spec._problems import did_you_mean
from gradcheck.spec.case import CHECKS, Case, GradientPlan

__unittest = True  # unittest leaves frames of this module out of a traceback
Array = NDArray[Any]
#: What says something about a layer alone: the others are about the loss behind it.
_OF_A_LAYER = ("contract", "gradient", "per_sample", "vacuity")
_NOWHERE = "<python>"


class Contraction(Loss):
    """Σ c y + y² / 2 over the outputs of a sample, with fixed c of both signs: a loss for a layer on its own.

    forward     l = Σ c y + y²/2       y (N, ...)    c (...)    l (N,)

    backward    dy = (c + y) dl

    Never a plain sum: a layer whose outputs always have the same sum, such as a softmax, would hide behind it.
    """

    def forward(self, *predictions: Any, **data: Any) -> tuple[Any, Any]:
        """A loss for each sample."""
        weights = [_signs(y) for y in predictions]
        terms = (c * y + y * y / 2 for c, y in zip(weights, predictions, strict=True))
        return sum(term.reshape(len(term), -1).sum(axis=1) for term in terms), (predictions, weights)

    def backward(self, upstream: Any, cache: Any) -> Any:
        """One gradient for each output."""
        predictions, weights = cache
        found = tuple(
            (c + y) * upstream.reshape(-1, *[1] * (y.ndim - 1)) for c, y in zip(weights, predictions, strict=True)
        )
        return found if len(found) > 1 else found[0]


def _signs(y: Array) -> Array:
    """c: as many numbers of both signs as a sample has outputs; the same whenever it is asked."""
    c = np.random.default_rng(y.shape[1:] or 1).standard_normal(y.shape[1:])
    return c.astype(y.real.dtype)


class Options(Struct, frozen=True):
    """What every check takes by name.

    parameters  the values of parameters, by name: `weight`, in a network `linear_1.weight`; the others are drawn
    checks      which checks are on, such as ("gradient", "contract"); by default those that make sense
    ignore      codes, or beginnings of codes, whose findings do not count
    name        what the report calls it
    seed, dtype, method, step, rtol, directions    as in a spec
    """

    parameters: Mapping[str, Any] | None = None
    checks: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    name: str = ""
    seed: int = 0
    dtype: str = "float64"
    method: str = "auto"
    step: float | None = None
    rtol: float = 0.0
    directions: int | None = None


def check_layer(layer: Any, x: Any, *more: Any, **options: Any) -> Report:
    """Check one layer on its own, at these inputs.

    layer    a gradcheck.Layer, a stateful layer (forward, backward, params, grads), or a pair of functions
    x, more  the inputs of its forward, arrays with the batch on axis 0; three samples or more see most
    options  those of `Options`

    Behind the layer stands a loss of its outputs with weights of both signs. UsageError where this cannot be checked as
    asked, TypeError where `layer` is none.
    """
    chosen = _options(options)
    inputs = {"input": x} if not more else {f"input_{k}": each for k, each in enumerate((x, *more), 1)}
    unit = adapted(layer, chosen.parameters)
    own = {} if isinstance(layer, tuple) else chosen.parameters or {}
    named = {f"{spec_name(type(unit))}.{name}": value for name, value in own.items()}
    return _check({spec_name(type(unit)): unit}, inputs, None, replace(chosen, parameters=named), _OF_A_LAYER)


def check_loss(loss: Any, prediction: Any, *more: Any, **options: Any) -> Report:
    """Check a loss on its own, at these predictions.

    loss     a gradcheck.Loss, or the name of one
    options  those of `Options`; `reduction` (mean); and what the loss takes by name: `target`, `sample_weight`, ...
    """
    chosen, reduction, data = _split(options)
    several = (prediction, *more)
    inputs = {"prediction": prediction} if not more else {f"prediction_{k}": p for k, p in enumerate(several, 1)}
    return _check({}, inputs, (_loss(loss), reduction, data), chosen, tuple(check_names()))


def check_network(layers: Any, x: Any, loss: Any = None, **options: Any) -> Report:
    """Check a chain of layers and a loss, as a spec would be.

    layers   the layers in order, or a dictionary of them by name. Each is what `check_layer` takes; or, as in a spec,
             the name of a layer that ships, or {name: {option: value}}
    x        the input, or several in a dictionary, all of which go to the first layer
    loss     a gradcheck.Loss or the name of one; by default that of `check_layer`
    options  those of `Options`; `reduction` (mean); and what the loss takes by name: `target`, `sample_weight`, ...
    """
    chosen, reduction, data = _split(options)
    if loss is None and data:
        raise UsageError(f"there is no loss that could take {', '.join(data)}; name one with `loss`")
    named = layers if isinstance(layers, Mapping) else _counted([_layer(each) for each in layers])
    units = {name: _layer(each) for name, each in named.items()}
    inputs = dict(x) if isinstance(x, Mapping) else {"input": x}
    term = None if loss is None else (_loss(loss), reduction, data)
    return _check(units, inputs, term, chosen, _OF_A_LAYER if loss is None else tuple(check_names()))


def assert_layer(layer: Any, x: Any, *more: Any, **options: Any) -> None:
    """Raise AssertionError unless `check_layer` passes; its message is the report."""
    __tracebackhide__ = True
    _require(check_layer(layer, x, *more, **options))


def assert_loss(loss: Any, prediction: Any, *more: Any, **options: Any) -> None:
    """Raise AssertionError unless `check_loss` passes; its message is the report."""
    __tracebackhide__ = True
    _require(check_loss(loss, prediction, *more, **options))


def assert_network(layers: Any, x: Any, loss: Any = None, **options: Any) -> None:
    """Raise AssertionError unless `check_network` passes; its message is the report."""
    __tracebackhide__ = True
    _require(check_network(layers, x, loss, **options))


def adapted(layer: Any, parameters: Mapping[str, Any] | None = None) -> Layer:
    """Whatever stands for a layer -> a layer: itself, a class without options, a stateful layer, a pair of functions.

    parameters  those of a pair of functions, which has none of its own. TypeError where it is nothing of all this.
    """
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, type) and issubclass(layer, Layer):
        return layer()
    if isinstance(layer, tuple) and len(layer) == 2 and all(map(callable, layer)):
        return from_functions(*layer, parameters=parameters)()
    if not isinstance(layer, type) and hasattr(layer, "forward") and hasattr(layer, "backward"):
        found: Layer = from_stateful(layer)
        return found
    what = f"the class {layer.__name__}" if isinstance(layer, type) else f"{type(layer).__name__} {layer!r}"
    raise TypeError(
        f"{what[:80]} is no layer; expected a gradcheck.Layer, an object with forward(x) and backward(dy), or a pair "
        "(forward, backward) of functions"
    )


def _require(report: Report) -> None:
    __tracebackhide__ = True
    (spec,) = report.specs
    code = _cli_select.exit_code(spec, "error")
    if code == _cli_select.EXIT_NOTHING:
        raise AssertionError(f"{spec.name}: nothing was checked")
    if code != _cli_select.EXIT_OK:
        raise AssertionError(full.text(replace(report, only_failures=True)))


def _split(given: Mapping[str, Any]) -> tuple[Options, str, dict[str, Any]]:
    """What every check takes, the reduction, and what the loss takes by name."""
    known = set(Options.__struct_fields__)
    chosen = _options({name: value for name, value in given.items() if name in known})
    data = {name: value for name, value in given.items() if name not in known and name != "reduction"}
    return chosen, given.get("reduction", "mean"), data


def _options(given: Mapping[str, Any]) -> Options:
    known = Options.__struct_fields__
    for unknown in given.keys() - set(known):
        hint = did_you_mean(unknown, known) or f"; there are {', '.join(known)}"
        raise UsageError(f"there is no option `{unknown}`{hint}")
    options = Options(**given)
    if options.checks is not None and not options.checks:
        raise UsageError(f"`checks` is empty; there are {', '.join(check_names())}")
    for what, value, possible in (
        ("dtype", options.dtype, ("float64", "float32")),
        ("method", options.method, ("auto", "complex", "central", "five_point", "forward", "richardson")),
        *(("check", name, check_names()) for name in options.checks or ()),
    ):
        if value not in possible:
            hint = did_you_mean(str(value), possible) or f"; there are {', '.join(possible)}"
            raise UsageError(f"there is no {what} {value!r}{hint}")
    return options


def _layer(given: Any) -> Layer:
    """A layer from Python, or one that ships as a spec writes it."""
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, Mapping):
        return adapted(given)
    ((name, options),) = given.items()
    built: Layer = _shipped("layers", name)(**(options or {}))
    return built


def _loss(given: Any) -> Loss:
    if isinstance(given, str):
        given = {given: {}}
    if isinstance(given, Mapping):
        ((name, options),) = given.items()
        given = _shipped("losses", name)(**(options or {}))
    if isinstance(given, type) and issubclass(given, Loss):
        given = given()
    if not isinstance(given, Loss):
        raise TypeError(f"{type(given).__name__} is no loss; expected a gradcheck.Loss or the name of one")
    return given


def _shipped(folder: str, name: str) -> Any:
    catalogue = Catalogue()
    kind = catalogue.find(folder, name)
    if kind is None:
        noun = {"layers": "layer", "losses": "loss"}[folder]
        raise UsageError(f"there is no {noun} `{name}`{did_you_mean(name, catalogue.names(folder))}")
    return kind


def _counted(layers: Sequence[Layer]) -> dict[str, Layer]:
    """The names that a spec would give them."""
    seen: dict[str, int] = {}
    found = {}
    for layer in layers:
        kind = spec_name(type(layer))
        seen[kind] = seen.get(kind, 0) + 1
        found[f"{kind}_{seen[kind]}"] = layer
    return found


def _check(
    layers: Mapping[str, Layer],
    inputs: Mapping[str, Any],
    term: tuple[Loss, str, Mapping[str, Any]] | None,
    options: Options,
    checks: Sequence[str],
) -> Report:
    """Put a network together and run all its checks. What user code does wrong is in the report."""
    units: dict[str, Layer | Loss] = {**layers, **({"loss": term[0]} if term else {})}
    locations, path = _locations(units)
    name = options.name or next(iter(units), "network")
    for unit in units.values():
        if not Catalogue().is_builtin(type(unit)):
            require_contract(type(unit).__name__, type(unit))
    data = _arrays({**inputs, **(term[2] if term else {})})
    try:
        with np.errstate(all="ignore"):
            case = _case(layers, tuple(inputs), data, term or (Contraction(), "sum", {}), options, checks)
    except LayerFailure as failure:
        spec = failed(path, name, options.seed, failure, locations)
    else:
        case = replace(case, path=path, name=name, locations=locations)
        spec = run_case(case, "").report
    spec = replace(spec, replay="", findings=tuple(replace(finding, replay="") for finding in spec.findings))
    spec, _ = _cli_select.Selection(ignore=tuple(map(code_prefix, options.ignore))).apply(spec)
    return Report(__version__, (spec,))


def _case(
    layers: Mapping[str, Layer],
    inputs: tuple[str, ...],
    data: Mapping[str, Array],
    term: tuple[Loss, str, Mapping[str, Any]],
    options: Options,
    checks: Sequence[str],
) -> Case:
    catalogue = Catalogue()
    weights = {name: np.asarray(value, dtype=np.float64) for name, value in (options.parameters or {}).items()}
    assembly = Assembly(data, inputs, frozenset(data), options.seed, options.dtype, weights)
    outputs = inputs
    for name, layer in layers.items():
        outputs = assembly.add(name, layer, outputs, trusted=catalogue.is_builtin(type(layer))).outputs
    for unknown in weights.keys() - set(assembly.parameters):
        raise UsageError(f"there is no parameter `{unknown}`; there are {', '.join(assembly.parameters) or 'none'}")
    loss, reduction, taken = term
    _require_taken(loss, reduction, len(outputs), taken)
    trusted = catalogue.is_builtin(type(loss))
    assembly.add_term(Term(loss, reduction, 1.0, outputs, {name: name for name in taken}, trusted=trusted))
    network, point = assembly.network()
    on = tuple(name for name in CHECKS if name in (options.checks or checks))
    plan = GradientPlan(options.method, options.step, options.rtol, directions=options.directions)
    return Case(_NOWHERE, "", options.seed, options.dtype, network, point, on, plan)


def _require_taken(loss: Loss, reduction: str, predictions: int, taken: Mapping[str, Any]) -> None:
    """A loss gets all that its forward takes, and nothing else; and a reduction that it has."""
    possible = loss.reductions or ELEMENTWISE_REDUCTIONS
    if reduction not in possible:
        hint = did_you_mean(reduction, possible) or f"; it has {', '.join(possible)}"
        raise UsageError(f"{spec_name(type(loss))} has no reduction {reduction!r}{hint}")
    given = {**taken, **({"reduction": None} if loss.reductions else {})}
    try:
        inspect.signature(loss.forward).bind(*[None] * predictions, **given)
    except TypeError as error:
        takes = inspect.signature(loss.forward)
        raise UsageError(f"{spec_name(type(loss))}: {error}; its forward takes {takes}") from None


def _arrays(given: Mapping[str, Any]) -> dict[str, Array]:
    """All of them with the same number of samples, and finite."""
    arrays = {name: np.asarray(value) for name, value in given.items()}
    arrays = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in arrays.items()}
    first, samples = next((name, a.shape[:1]) for name, a in arrays.items())
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise UsageError(f"{name} is an array of {array.dtype}; expected real numbers, integers or truth values")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(f"{name} has NaN or Inf in it; expected finite numbers")
        if array.shape[:1] != samples or not samples or not samples[0]:
            raise UsageError(
                f"{name} has the shape {array.shape}, {first} has {arrays[first].shape}; expected the same number of "
                "samples on axis 0, one at least"
            )
    return arrays


def _locations(units: Mapping[str, Layer | Loss]) -> tuple[dict[str, Location], str]:
    """Where each layer and the loss is written, and the file of the first of them."""
    sources = {name: source_of(unit) for name, unit in units.items() if not Catalogue().is_builtin(type(unit))}
    places = {name: Location(s.path, s.line, s.column) for name, s in sources.items() if s is not None}
    return places, next((place.path for place in places.values()), _NOWHERE)
