"""The document has every point, and plain JSON alone."""

from __future__ import annotations

import json
from collections.abc import Callable

from gradcheck.report.sweep import json_
from gradcheck.step_sweep import StepSweep


def _refuse(name: str) -> None:
    raise ValueError(name)


def test_every_point_is_there(sweep: StepSweep, drawn: Callable[..., str]) -> None:
    text = drawn(json_, sweep, "ascii")
    found = json.loads(text, parse_constant=_refuse)
    assert text.endswith("}\n")
    assert found["schema_version"] == 1
    assert found["tool"] == {"name": "gradcheck", "version": "0.1.0"}
    assert (found["parameter"], found["index"], found["scheme"]) == ("[/foo].weight", [3, 5], "central")
    assert len(found["points"]) == 105
    first = sweep.points[0]
    assert found["points"][0] == {
        "step": first.step, "value": first.value, "error": first.error, "noise": first.noise, "kink": True,
    }  # fmt: skip
    assert found["truncation"]["measured"] == 2.004
    assert found["plateau"] == {"shortest": 1e-6, "longest": 1e-5}
    assert found["choice"] == {"step": 3.2e-6, "value": 0.5, "error_bar": 8e-11, "settled": True}


def test_what_is_no_number_is_a_word_or_null(troubled: StepSweep, drawn: Callable[..., str]) -> None:
    found = json.loads(drawn(json_, troubled), parse_constant=_refuse)
    assert found["points"][0]["error"] == "nan"
    assert found["reference"]["error"] == found["choice"]["error_bar"] == "inf"
    assert found["truncation"]["measured"] is None
    assert found["truncation"]["reason"] == "too few points above the noise (2)"
    assert found["plateau"] is None
