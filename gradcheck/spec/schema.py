"""JSON Schema (draft 7, which editors read) of a spec, made from the classes that the reader uses.

A layer is chosen by its name, so that an editor completes its options and a complaint is about them. Unknown layer
names are allowed, since a plugin may bring them. What a schema cannot express - shapes that fit, names that exist,
files, a name that is a slip of a known one - only the reader says.
"""

from __future__ import annotations

from typing import Any

from gradcheck.catalogue import Catalogue
from gradcheck.losses._base import ELEMENTWISE_REDUCTIONS
from gradcheck.spec._fills import ALWAYS, FILLS, SOURCES
from gradcheck.spec._grammar import (
    CHECKS,
    MODULE,
    NAME,
    NAME_SCHEMA,
    ArrayOptions,
    Data,
    IgnoreOptions,
    ItemOptions,
    ModuleOptions,
    Parameters,
    Spec,
    TermOptions,
    UseOptions,
)
from gradcheck.spec._options import options_of

Schema = dict[str, Any]

_WRITTEN = tuple(source for source in SOURCES if source != "shape")
#: What a fill needs beside the options that go with it.
_RULES: dict[str, Schema] = {
    "integers": {"required": ["high"], "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}}},
    "probabilities": {"properties": {"shape": {"minItems": 1}}},
}


def json_schema() -> Schema:
    """The schema of a spec, with the layers and losses that ship with gradcheck."""
    catalogue = Catalogue()
    layers = {**_units(catalogue, "layers", ItemOptions), MODULE: _object(UseOptions, ItemOptions)}
    losses = _units(catalogue, "losses", TermOptions)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "gradcheck spec",
        **_object(Spec),
        "definitions": {
            "data": _object(Data),
            "arrays": _array_or_several(),
            "array": _array("shape", *_WRITTEN),
            "weight": _array("shape", "fill", *_WRITTEN),
            "values": {
                "if": {"type": "array"},
                "then": {"items": _ref("values")},
                "else": {"type": ["number", "boolean"]},
            },
            "network": {"type": "array", "items": _ref("item"), "minItems": 1},
            "item": _unit(catalogue, "layers", layers, ItemOptions),
            "loss": {
                "if": {"type": "array"},
                "then": {"items": _ref("term"), "minItems": 1},
                "else": _ref("term"),
            },
            "term": _unit(catalogue, "losses", losses, TermOptions),
            "checks": _checks(),
            "parameters": {**_object(Parameters), "minProperties": 1},
            "ignore": {"type": "array", "items": _object(IgnoreOptions), "minItems": 1},
            "ties": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
            "modules": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": NAME_SCHEMA,
                "additionalProperties": {"if": {"type": "array"}, "then": _ref("network"), "else": _ref("module")},
            },
            "module": _object(ModuleOptions),
            **{f"layers.{name}": schema for name, schema in layers.items()},
            **{f"losses.{name}": schema for name, schema in losses.items()},
        },
    }  # fmt: skip


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _object(kind: type, shared: type | None = None) -> Schema:
    """The options of a class, and of what all of its kind share, as the keys of an object; no others."""
    options = {**options_of(kind), **(options_of(shared) if shared else {})}
    return {
        "type": "object",
        "description": _summary(kind),
        "properties": {name: option.schema() for name, option in options.items()},
        "required": [name for name, option in options.items() if option.required],
        "additionalProperties": False,
    }


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _array_or_several() -> Schema:
    """Several arrays by name are a mapping of mappings; else it is one array."""
    return {
        "if": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "object"}},
        "then": {"propertyNames": NAME_SCHEMA, "additionalProperties": _ref("array")},
        "else": _ref("array"),
    }


def _array(*sources: str) -> Schema:
    """One array: at least one of the sources, and for each of them what goes with it."""
    no_axis = {"properties": {"per_sample": {"const": False}}, "required": ["per_sample"]}
    return {
        **_object(ArrayOptions),
        "anyOf": [{"required": [source]} for source in sources],
        "dependencies": {
            "key": ["file"],
            **{source: {"propertyNames": {"enum": [*SOURCES[source], *ALWAYS]}} for source in _WRITTEN},
        },
        "allOf": [
            {"if": no_axis, "then": {"properties": {"layout": {"const": "batch_first"}}}},
            *map(_drawn, FILLS),
        ],
    }


def _drawn(fill: str) -> Schema:
    """Which options go with a fill; `normal` is also what is meant where there is none."""
    chosen: Schema = {"properties": {"fill": {"const": fill}}}
    if fill != ArrayOptions.fill:
        chosen["required"] = ["fill"]
    unwritten = {"not": {"anyOf": [{"required": [source]} for source in _WRITTEN]}}
    options = {key for row in FILLS.values() for key in row.options}
    refused = dict.fromkeys(sorted(options - {*FILLS[fill].options}), False)
    rules: Schema = _RULES.get(fill, {})
    then = {**rules, "properties": {**refused, **rules.get("properties", {})}}
    return {"if": {"allOf": [chosen, unwritten]}, "then": then}


def _units(catalogue: Catalogue, folder: str, shared: type) -> dict[str, Schema]:
    """The options of every layer or loss by its name."""
    schemas = {}
    for name in catalogue.names(folder):
        kind: Any = catalogue.find(folder, name)
        schemas[name] = _object(kind, shared)
        if folder == "losses":
            schemas[name]["properties"]["reduction"]["enum"] = list(kind.reductions or ELEMENTWISE_REDUCTIONS)
        if not schemas[name]["required"]:
            schemas[name]["type"] = ["object", "null"]
    return schemas


def _unit(catalogue: Catalogue, folder: str, units: dict[str, Schema], shared: type) -> Schema:
    """A name, or a single key with options. A name alone will do where no option is required."""
    needy = [name for name, schema in units.items() if schema["required"]]
    unknown = {**_object(shared), "type": ["object", "null"], "additionalProperties": True}
    return {
        "if": {"type": "string"},
        "then": {"pattern": f"^{NAME}$", "not": {"enum": needy}},
        "else": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"pattern": f"^{NAME}$"},
            "properties": {name: _ref(f"{folder}.{name}") for name in units},
            "additionalProperties": unknown,
        },
    }


def _checks() -> Schema:
    """Each check is on, off, or configured."""
    kinds = ["object", "boolean", "null"]
    checks = {name: {**_object(options), "type": kinds} for name, options in CHECKS.items()}
    return {"type": ["object", "null"], "properties": checks, "additionalProperties": False}
