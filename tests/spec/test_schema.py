from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.spec.schema import json_schema

SCHEMA = json_schema()


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


def test_is_plain_data_and_the_same_every_time() -> None:
    assert json.loads(json.dumps(SCHEMA)) == json_schema()
