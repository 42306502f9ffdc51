from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.spec.read import validate
from gradcheck.spec.schema import json_schema

SCHEMA = json_schema()
SPEC = {
    "data": {"batch_size": 2, "inputs": {"shape": [3]}, "targets": {"shape": [3]}},
    "network": ["relu"],
    "loss": "mse",
}


def with_array(array: Any) -> dict[str, Any]:
    """A spec in which the sample weights are this array, which no shape depends on."""
    return {"data": {**SPEC["data"], "sample_weight": array}}  # type: ignore[dict-item]


def with_layer(item: Any) -> dict[str, Any]:
    return {"network": ["relu", item]}


#: What a schema and a reader each have to refuse, one mistake at a time.
REFUSED: list[dict[str, Any]] = [
    {"data": None}, {"data": {}}, {"data": {"batch_size": 2, "inputs": {"shape": [3]}, "target": {"shape": [3]}}},
    {"data": {"inputs": {"shape": [3]}, "targets": {"shape": [3]}, "batch_size": 0}},
    {"data": {"batch_size": 2, "inputs": {"a.b": {"shape": [3]}}, "targets": {"shape": [3]}}},
    {"data": {"batch_size": 2, "inputs": {"loss_2": {"shape": [3]}}, "targets": {"shape": [3]}}},
    {"network": []}, {"network": "relu"}, {"network": {"relu": {}}}, {"network": None},
    {"loss": None}, {"loss": []}, {"loss": 3}, {"loss": ["mse", 3]}, {"loss": {"mse": {}, "l1": {}}},
    {"loss": {"mse": {"reduction": "average"}}}, {"loss": {"mse": {"weight": "1"}}}, {"loss": {"mse": {"inputs": []}}},
    {"loss": {"mse": {"target": 3}}}, {"loss": {"mse": 3}}, {"loss": {"mse": {"delta": 1}}},
    {"name": 3}, {"name": " "}, {"seed": -1}, {"seed": 0.5}, {"seed": 2**63}, {"dtype": "float16"}, {"sed": 3},
    {"checks": []}, {"checks": {"gradients": {}}}, {"checks": {"gradient": 1}}, {"checks": {"reduction": {"a": 1}}},
    {"checks": {"gradient": {"method": "exact"}}}, {"checks": {"gradient": {"step": 0}}},
    {"checks": {"gradient": {"rtol": -1}}}, {"checks": {"gradient": {"rtol": None}}},
    {"ignore": []}, {"ignore": [{"code": "GC1"}]}, {"ignore": [{"code": "GC1", "reason": " "}]}, {"ignore": "GC1"},
    {"parameters": None}, {"parameters": {}}, {"parameters": {"file": 3}},
    {"parameters": {"check": []}}, {"parameters": {"freeze": 3}}, {"parameters": {"tie": {}}},
    {"parameters": {"tie": {"a.b": 3}}}, {"objective": "max"}, {"modules": {}}, {"modules": None},
    {"modules": {"m": "relu"}}, {"modules": {"m": []}}, {"modules": {"m": {"inputs": "x"}}},
    {"modules": {"m": {"network": ["relu"], "layers": []}}}, {"modules": {"loss": ["relu"]}}, with_layer("module"),
    with_layer({"module": None}), with_layer({"module": {}}), with_layer({"module": {"module": "m", "input": "a"}}),
    {"parameters": {"file": "a.npz", "key": "a"}}, {"checks": {"gradient": 0}}, {"checks": {"gradient": "off"}},
    with_layer(3), with_layer(None), with_layer({}), with_layer([]), with_layer("a layer"), with_layer({"a layer": {}}),
    with_layer("linear"), with_layer({"linear": None}), with_layer({"linear": {}}), with_layer({"relu": 3}),
    with_layer({"relu": {"inplace": True}}), with_layer({"relu": {}, "tanh": {}}),
    with_layer({"relu": {"name": "loss"}}),
    with_layer({"relu": {"name": "a.b"}}), with_layer({"relu": {"name": ""}}), with_layer({"relu": {"inputs": [3]}}),
    with_layer({"linear": {"out_features": "3"}}), with_layer({"linear": {"out_features": 3, "bias": 1}}),
    with_layer({"avg_pool2d": {"kernel_size": [1, 2, 3]}}), with_layer({"avg_pool2d": {"kernel_size": [1, 0]}}),
    with_layer({"leaky_relu": {"negative_slope": None}}), with_layer({"unknown": {"name": 3}}),
    with_array(None), with_array([1, 2]), with_array({}), with_array({"scale": 2}), with_array({"shape": 3}),
    with_array({"shape": [0]}), with_array({"fill": "gaussian"}), with_array({"values": ["a", "b"]}),
    with_array({"values": [None, 1]}), with_array({"values": {"a": 1}}), with_array({"values": [1, 2], "classes": 2}),
    with_array({"values": [1, 2], "file": "a.csv"}), with_array({"values": [1, 2], "fill": "ones"}),
    with_array({"values": [1, 2], "key": "a"}), with_array({"shape": [], "key": "a"}), with_array({"classes": 0}),
    with_array({"classes": 2, "scale": 2}), with_array({"classes": 2, "dtype": "int"}), with_array({"file": 3}),
    with_array({"fill": "normal", "low": 1}), with_array({"shape": [], "high": 1}),
    with_array({"fill": "binary", "scale": 2}), with_array({"fill": "probabilities", "shape": []}),
    with_array({"fill": "probabilities", "shape": [2], "scale": 2}), with_array({"fill": "zeros", "low": 1}),
    with_array({"fill": "integers"}), with_array({"fill": "integers", "high": 2.5}),
    with_array({"fill": "integers", "low": 0.5, "high": 3}), with_array({"fill": "integers", "high": 3, "scale": 2}),
    with_array({"shape": [], "layout": "columns"}), with_array({"shape": [], "dtype": "complex"}),
    with_array({"shape": [2], "layout": "batch_last", "per_sample": False}), with_array({"shape": [], "unit": "kg"}),
]  # fmt: skip
ACCEPTED: list[dict[str, Any]] = [
    {}, {"loss": ["mse", {"mse": None}, {"l1": {"weight": -1, "reduction": "none"}}]},
    {"loss": {"mse": {"inputs": "relu_1"}}},
    {"objective": "maximize", "modules": {"m": ["relu"]}, "network": [{"module": {"module": "m", "name": "n"}}]},
    {"modules": {"m": {"inputs": "x", "network": ["relu"], "outputs": ["relu_1"]}},
     "network": [{"module": {"module": "m", "inputs": ["input"]}}]},
    {"network": [{"linear": {"out_features": 3}}], "parameters": {"check": ["*.weight"], "freeze": "*.bias"}},
    {"network": [{"linear": {"out_features": 3}}, {"linear": {"out_features": 3}}],
     "parameters": {"tie": {"linear_2.weight": "linear_1.weight.T"}}},
    {"checks": None}, {"checks": {}}, {"checks": {"gradient": None, "reduction": False, "per_sample": True}},
    {"checks": {"gradient": {"step": 1e-3, "rtol": 0, "method": "forward"}}}, {"dtype": "float32"}, {"seed": 2**63 - 1},
    with_layer("tanh"), with_layer({"tanh": None}), with_layer({"tanh": {"inputs": "relu_1", "name": "t-1"}}),
    with_layer({"linear": {"out_features": 3, "bias": False}}), with_layer({"leaky_relu": {"negative_slope": 1}}),
    with_array({"fill": "ones"}), with_array({"shape": []}), with_array({"shape": [], "fill": "uniform", "low": -1}),
    with_array({"fill": "integers", "high": 3.0}), with_array({"values": [1, 2.5]}),
    with_array({"values": [True, False]}),
    with_array({"values": [2, 1], "dtype": "int", "layout": "batch_last"}), with_array({"classes": 2, "shape": []}),
    with_array({"fill": "zeros", "scale": 2, "dtype": "float", "per_sample": True}),
]  # fmt: skip


def test_is_a_schema_of_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_has_nothing_that_draft_7_does_not_know() -> None:
    text = json.dumps(SCHEMA)
    for keyword in ("$defs", "prefixItems", "oneOf"):
        assert f'"{keyword}"' not in text


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(SCHEMA))
    assert references
    assert {reference.removeprefix("#/definitions/") for reference in references} <= {*SCHEMA["definitions"]}


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for item in schema for found in _references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if "$ref" in schema else []
    return own + [found for item in schema.values() for found in _references(item)]


@pytest.mark.parametrize("folder", ["layers", "losses"])
def test_knows_the_options_of_everything_that_ships(folder: str) -> None:
    for name in Catalogue().names(folder):
        definition = SCHEMA["definitions"][f"{folder}.{name}"]
        assert definition["description"]
        assert definition["additionalProperties"] is False


def test_a_complaint_is_about_the_option_and_not_about_every_layer() -> None:
    spec = {
        "data": {"batch_size": 2, "inputs": {"shape": [3]}, "targets": {"shape": [3]}},
        "network": [{"conv2d": {"out_channels": 0, "kernel_size": 3}}],
        "loss": "mse",
    }
    errors = list(jsonschema.Draft7Validator(SCHEMA).iter_errors(spec))
    assert [(list(error.path), error.message) for error in errors] == [
        (["network", 0, "conv2d", "out_channels"], "0 is less than the minimum of 1")
    ]


@pytest.mark.parametrize("change", REFUSED, ids=json.dumps)
def test_schema_and_reader_refuse_the_same(change: dict[str, Any]) -> None:
    spec = {**SPEC, **change}
    assert validate("s.yaml", json.dumps(spec), Catalogue())[0]
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(spec)


@pytest.mark.parametrize("change", ACCEPTED, ids=json.dumps)
def test_schema_and_reader_accept_the_same(change: dict[str, Any]) -> None:
    spec = {**SPEC, **change}
    assert validate("s.yaml", json.dumps(spec), Catalogue()) == ([], [])
    assert [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(spec)] == []


def test_is_plain_data_and_the_same_every_time() -> None:
    assert json.loads(json.dumps(SCHEMA)) == json_schema()
