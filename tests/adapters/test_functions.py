"""Pairs of functions that hand on what backward needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.cli import main

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2)), np.zeros(2)


def affine_forward(x: Any, w: Any, b: Any) -> tuple[Any, Any]:
    return x @ w + b, (x, w)


def affine_backward(dout: Any, cache: Any) -> tuple[Any, Any, Any]:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def swapped_backward(dout: Any, cache: Any) -> tuple[Any, Any, Any]:
    dx, dw, db = affine_backward(dout, cache)
    return dx, -dw, db


def tanh_forward(x: Any) -> tuple[Any, Any]:
    y = np.tanh(x)
    return y, y


def tanh_backward(dout: Any, y: Any) -> Any:
    return dout * (1 - y**2)


def gate_forward(x: Any, scale: Any, gate: Any, options: dict[str, float]) -> tuple[Any, Any]:
    return options["gain"] * scale * x * gate, (x, scale, gate, options["gain"])


def gate_backward(dout: Any, cache: Any) -> list[Any]:
    x, scale, gate, gain = cache
    return [gain * dout * scale * gate, gain * (dout * x * gate).sum(axis=0), gain * dout * scale * x]


def test_pairs_pass() -> None:
    for pair, parameters in (
        ((affine_forward, affine_backward), {"w": W, "b": B}),
        ((tanh_forward, tanh_backward), None),
    ):
        (spec,) = gradcheck.check_layer(pair, X, parameters=parameters).specs
        assert (spec.verdict, spec.name) == ("pass", pair[0].__name__.removesuffix("_forward"))
        assert [row.name for row in spec.parameters] == [f"affine.{name}" for name in parameters or ()]


def test_parameters_may_stand_between_inputs_and_options_be_given_before() -> None:
    gate = gradcheck.from_functions(
        partial(gate_forward, options={"gain": 3.0}), gate_backward, parameters={"scale": np.arange(1.0, 5.0)}
    )
    (spec,) = gradcheck.check_layer(gate, X, X + 1).specs
    assert spec.verdict == "pass"
    assert [row.name for row in spec.rows] == ["gate.scale", "input_1", "input_2"]


def test_a_planted_mistake_is_found_and_the_line_named() -> None:
    (spec,) = gradcheck.check_layer((affine_forward, swapped_backward), X, parameters={"w": W, "b": B}).specs
    (finding,) = spec.findings
    assert (finding.layer, finding.parameter, finding.code[:3]) == ("affine", "affine.w", "GC1")
    assert finding.source is not None
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert lines[finding.source.line - 1].startswith("def swapped_backward")


@pytest.mark.parametrize(("forward", "backward", "parameters", "said"), [
    (affine_forward, tanh_backward, {"w": W, "b": B}, "GC"),
    (affine_forward, lambda dout, cache: (dout, dout), {"w": W, "b": B}, "returned 2 gradients; forward takes x, w, b"),
    (lambda x, w: x @ w, affine_backward, {"w": W}, "expected a pair (output, cache)"),
    (affine_forward, affine_backward, {}, "missing 2 required positional arguments"),
    (tanh_forward, lambda dout, cache: None, {}, "GC"),
])  # fmt: skip
def test_what_breaks_the_form_is_a_finding(forward: Any, backward: Any, parameters: Any, said: str) -> None:
    (spec,) = gradcheck.check_layer((forward, backward), X, parameters=parameters).specs
    assert spec.verdict == "fail"
    assert said in f"{spec.findings[0].code}: {spec.findings[0].message}"


def test_refusals() -> None:
    with pytest.raises(TypeError, match="forward has no argument `v`; it takes x, w, b"):
        gradcheck.from_functions(affine_forward, affine_backward, parameters={"v": W})
    with pytest.raises(TypeError, match="not both"):
        gradcheck.from_functions(affine_forward, affine_backward, parameters={}, init=dict)
    affine = gradcheck.from_functions(affine_forward, affine_backward, parameters={"w": W, "b": B})
    (spec,) = gradcheck.check_layer(affine, X, X).specs
    assert "forward takes the inputs x, got 2" in spec.findings[0].message


def test_a_pair_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from gradcheck import from_functions\n"
        "def forward_scale(x, w): return x * w, (x, w)\n"
        "def backward_scale(dout, cache): return dout * cache[1], (dout * cache[0]).sum(axis=0)\n"
        "def init(rng, x_shape): return {'w': rng.standard_normal(x_shape[1:])}\n"
        "Scale = from_functions(forward_scale, backward_scale, init=init)\n",
        encoding="utf-8",
    )
    Path("net.yaml").write_text(
        "data: {batch_size: 3, inputs: {shape: [4]}, targets: {shape: [4]}}\n"
        "network: [scale, tanh, scale]\nloss: mse\n",
        encoding="utf-8",
    )
    assert main(["run", "net.yaml", "--plugin", "mine.py"]) == 0
    assert "scale_2.w" in capsys.readouterr().out
