"""The grammar of a spec: its sections, written as the dataclasses that the reader and the JSON Schema share.

A default that a spec could not give (batch_size 0, file "") means that the key was left out; null is not a value.
A field of type Any is a section of its own, read by its own module; `extra_json_schema` says where its schema is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

#: Names of layers and of data: nothing that could be taken for a part of `layer.parameter` or `name[3, 5]`.
NAME = r"[\w-]+"
#: Findings about the loss are about `loss`, or about `loss_2` where there are several terms.
LOSS = "loss"
LOSS_NAME = f"{LOSS}(_[0-9]+)?"
NAME_SCHEMA: dict[str, Any] = {"pattern": f"^{NAME}$", "not": {"pattern": f"^{LOSS_NAME}$"}}
METHODS = ("auto", "complex", "central", "five_point", "forward", "richardson")
DTYPES = ("float64", "float32")
OBJECTIVES = ("minimize", "maximize")
#: An item of this name is a use of a module; what a module's input is called that is not named.
MODULE, INPUT = "module", "input"
MOST_DIRECTIONS = 10**4
LARGEST_ARRAY = 10**8
LARGEST_NETWORK = 10_000

_Positive = Annotated[int, Meta(ge=1)]
Names = str | Annotated[tuple[str, ...], Meta(min_length=1)]


def _section(name: str, description: str) -> Meta:
    return Meta(description=description, extra_json_schema={"allOf": [{"$ref": f"#/definitions/{name}"}]})


def _words(description: str) -> Meta:
    return Meta(description=description)


@dataclass(frozen=True)
class Spec:
    """A network, its data and its loss, to be checked by gradcheck."""

    data: Annotated[Any, _section("data", "The batch: inputs, targets and sample weights.")]
    network: Annotated[Any, _section("network", "The layers, in order.")]
    loss: Annotated[Any, _section("loss", "The loss, or a list of losses that are added up.")]
    name: Annotated[
        str,
        _words("What reports call the spec; by default its file's name."),
        Meta(extra_json_schema={"pattern": "\\S"}),
    ] = ""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Everything that is drawn is drawn from this seed.")] = 0
    dtype: Annotated[Literal[DTYPES], _words("The precision of the backward pass.")] = "float64"  # type: ignore[valid-type]
    checks: Annotated[Any, _section("checks", "Checks to configure, or to switch off with `false`; all are on.")] = None
    parameters: Annotated[
        Any, _section("parameters", "Which are checked, frozen or tied, and the user's own weights.")
    ] = None
    modules: Annotated[
        Any, _section("modules", "Sub-networks by name, which may be used several times with the same parameters.")
    ] = None
    objective: Annotated[Literal[OBJECTIVES], _words("What a step makes of the loss.")] = "minimize"  # type: ignore[valid-type]
    ignore: Annotated[Any, _section("ignore", "Findings that are known and all right, each with a reason.")] = None


@dataclass(frozen=True)
class Data:
    """The batch."""

    inputs: Annotated[Any, _section("arrays", "One array, called `input`, or several by name.")]
    targets: Annotated[Any, _section("arrays", "One array, called `target`, or several by name.")] = None
    sample_weight: Annotated[Any, _section("weight", "One number for each sample.")] = None
    batch_size: Annotated[_Positive, _words("Samples in the batch; by default all that there are.")] = 0


@dataclass(frozen=True)
class ArrayOptions:
    """One array: drawn (`shape` and `fill`), classes, written out (`values`), or from a file beside the spec.

    shape       of one sample, without the batch axis; beside values or a file, the shape to give to each sample
    fill        normal, uniform (low, high), zeros, ones, integers (low ≤ k < high), binary (0 or 1), or probabilities
                (positive, with the sum 1 along the last axis)
    scale       multiplies
    classes     C: integers 0 ≤ k < C, one for each sample, or an array of them with `shape`
    values      numbers, nested in lists; the first axis is the batch
    file        .npz (never unpickled; `key` names the array if there are several) or .csv (numbers between commas, a
                line for each sample, perhaps a first line of names; a single column gives one number for each sample)
    layout      batch_last: samples are columns. Given and drawn arrays are transposed, last axis first
    per_sample  false: the array has no batch axis and is the same for all samples
    dtype       float, int or bool. By default: fills are real numbers, except integers, classes, and binary as an
                input; inputs and weights that are written out or in a .csv are real numbers; targets made of integers
                stay integers; arrays from .npz keep their kind. Integers and booleans are never perturbed
    """

    shape: Annotated[tuple[_Positive, ...], _words("Shape of one sample, without the batch axis.")] = ()
    fill: Annotated[
        Literal["normal", "uniform", "zeros", "ones", "integers", "binary", "probabilities"],
        _words("How the array is drawn."),
    ] = "normal"
    scale: Annotated[float, _words("Multiplies the array.")] = 1.0
    low: Annotated[float, _words("Lower end of uniform (default 0) and integers (default 0).")] = 0.0
    high: Annotated[float, _words("Upper end of uniform (default 1) and integers; it is not reached.")] = 1.0
    classes: Annotated[_Positive, _words("Draw integers from 0 to classes - 1.")] = 0
    values: Annotated[Any, Meta(extra_json_schema={"$ref": "#/definitions/values"})] = None
    file: Annotated[str, _words("A .npz or .csv file beside the spec.")] = ""
    key: Annotated[str, _words("Which array of the .npz.")] = ""
    layout: Annotated[Literal["batch_first", "batch_last"], _words("batch_last: samples are columns.")] = "batch_first"
    per_sample: Annotated[bool, _words("false: the array has no batch axis.")] = True
    dtype: Annotated[Literal["auto", "float", "int", "bool"], _words("Kind of the numbers.")] = "auto"


@dataclass(frozen=True)
class ItemOptions:
    """What every layer takes beside its own options."""

    name: Annotated[str, _words("By default the layer's type, counted."), Meta(extra_json_schema=NAME_SCHEMA)] = ""
    inputs: Annotated[Names, _words("Names of earlier layers or data; by default the layer before.")] = ()


@dataclass(frozen=True)
class ModuleOptions:
    """A sub-network with inputs of its own."""

    network: Annotated[Any, _section("network", "The layers, in order; the first one takes all inputs.")]
    inputs: Annotated[Names, _words("What the inputs are called inside; by default one, called input.")] = (INPUT,)
    outputs: Annotated[Names, _words("Names of the layers that a use gives; by default the last one.")] = ()


@dataclass(frozen=True)
class UseOptions:
    """One use of a module, with the same parameters as all others."""

    module: Annotated[str, _words("Name of the module.")]


@dataclass(frozen=True)
class TermOptions:
    """What every loss takes beside its own options."""

    reduction: Annotated[str, _words("How the losses become one number.")] = "mean"
    weight: Annotated[float, _words("Factor of this loss in the sum.")] = 1.0
    inputs: Annotated[Names, _words("Names of layers or data; by default the last layer.")] = ()
    target: Annotated[str, _words("Name of the array that is the target.")] = ""


@dataclass(frozen=True)
class GradientOptions:
    """How numeric gradients are taken."""

    method: Annotated[Literal[METHODS], _words("The difference scheme.")] = "auto"  # type: ignore[valid-type]
    step: Annotated[float, Meta(gt=0, description="Step of the differences; by default chosen.")] = 0.0
    rtol: Annotated[float, Meta(ge=0, description="Relative tolerance; it widens a pass and nothing else.")] = 0.0
    directions: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_DIRECTIONS)] | Literal["auto"],
        _words("Random directions of each tensor; 0: every entry; auto: every entry unless that takes too long."),
    ] = "auto"
    max_memory: Annotated[float, Meta(gt=0, description="Megabytes for copies that are evaluated together.")] = 1000.0
    probe: Annotated[bool, _words("Check every layer alone, too, with inputs that expose mistakes.")] = False


@dataclass(frozen=True)
class IgnoreOptions:
    """A finding that is known and all right."""

    code: Annotated[str, _words("A code (GC114), the beginning of codes (GC1), or a code's name.")]
    reason: Annotated[str, _words("Why it is all right."), Meta(extra_json_schema={"pattern": "\\S"})]
    at: Annotated[str, _words("The layer or parameter, or a pattern (relu_*); by default all."), Meta(min_length=1)] = (
        "*"
    )


@dataclass(frozen=True)
class NoOptions:
    """A check without options."""


#: The checks, in the order in which they run, with the options of each.
CHECKS: dict[str, type] = {
    "contract": NoOptions,
    "gradient": GradientOptions,
    "reduction": NoOptions,
    "output_error": NoOptions,
    "per_sample": NoOptions,
    "accumulation": NoOptions,
    "vacuity": NoOptions,
}
#: The check that only notes what the others have not tested: alone it proves nothing.
NOTES = "vacuity"


@dataclass(frozen=True)
class Parameters:
    """Which parameters are checked, frozen or tied, and the user's own weights."""

    file: Annotated[str, _words("A .npz file beside the spec, with arrays by full name, such as head.weight.")] = ""
    check: Annotated[Names, _words("Patterns such as head.*; by default all are checked.")] = ()
    freeze: Annotated[Names, _words("Patterns of those that are constants: they receive no gradient.")] = ()
    tie: Annotated[Any, _section("ties", "Parameters that are others: head.weight: embedding.weight.T")] = None
