from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cross_examination
import numpy as np
import pytest
from _cross.compare import FOLDERS, MOST, examine
from _cross.draws import draw_layer, draw_loss
from _cross.layers import LAYERS
from _cross.rows import Unlike
from _trust.recipes import NoRecipe, Units
from click.testing import CliRunner, Result

from gradcheck.errors import ShapeError
from gradcheck.layers.linear import Linear
from gradcheck.layers.lstm import Lstm
from gradcheck.layers.positional_encoding import PositionalEncoding
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse

UNITS = Units.of_catalogue()
SUBJECTS = [(folder, name) for folder, (rows, _) in FOLDERS.items() for name in rows]


@dataclass(frozen=True)
class HalvedBias(Linear):
    def backward(self, dy: Any, cache: Any) -> Any:
        dx, gradients = super().backward(dy, cache)
        return dx, {name: gradient / (2 if name == "bias" else 1) for name, gradient in gradients.items()}


class OffByLittle(Mse):
    def backward(self, upstream: Any, cache: Any) -> Any:
        return super().backward(upstream, cache) * (1 + 1e-12)


class Forgetful(Tanh):
    def backward(self, dy: Any, cache: Any) -> Any:
        return None, {}


class Nowhere(Tanh):
    def check(self, *x_shapes: Any) -> None:
        raise ShapeError("needs a shape that nobody has")


class Watched:
    """A module that notes the names of the functions that are asked for."""

    def __init__(self, module: Any, path: str, called: set[str]) -> None:
        self.module, self.path, self.called = module, path, called

    def __getattr__(self, name: str) -> Any:
        found, path = getattr(self.module, name), f"{self.path}.{name}"
        if isinstance(found, ModuleType):
            return Watched(found, path, self.called)
        self.called.add(path)
        return found


def claimed(name: str) -> str | None:
    """The function of PyTorch that a layer's docstring says it was verified against."""
    found = re.search(r"^ +verified +.*?\b(torch\.[\w.]+)", UNITS.layers[name].__doc__, re.MULTILINE)
    return found and found[1]


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(cross_examination.main, arguments)


# PyTorch --------------------------------------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize(("folder", "name"), SUBJECTS, ids=[name for _, name in SUBJECTS])
def test_says_what_torch_says(folder: str, name: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = examine(folder, name, getattr(UNITS, folder)[name], draws=10, seed=1)
    assert (found.draws, found.agrees) == (10, True), found


@pytest.mark.torch
@pytest.mark.parametrize(
    ("folder", "name", "kind", "what"),
    [
        ("layers", "linear", HalvedBias, "gradient of bias"),
        ("layers", "tanh", Forgetful, "gradient of input 0"),
        ("losses", "mse", OffByLittle, "gradient of input 0"),
    ],
)
def test_a_disagreement_is_measured_and_named(folder: str, name: str, kind: Any, what: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = examine(folder, name, kind, draws=3, seed=0)
    assert not found.agrees
    assert found.largest > MOST
    assert found.what == what
    assert type(kind).__name__ not in found.draw


@pytest.mark.torch
@pytest.mark.parametrize("name", LAYERS)
def test_a_row_calls_what_the_docstring_says(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for seed in range(20):
        draw, called = draw_layer(name, UNITS.layers[name], np.random.default_rng(seed)), set()
        inputs = [torch.tensor(x) for x in draw.inputs]
        named = {key: torch.tensor(array) for key, array in draw.named.items()}
        with suppress(Unlike):
            LAYERS[name](Watched(torch, "torch", called), draw.unit, *inputs, **named)
        if claimed(name) in called:
            return
    raise AssertionError(f"{name} says {claimed(name)}, and its row calls {called}")


@pytest.mark.torch
def test_figures_are_printed_and_written(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "found.json"
    result = asked("--draws", "2", "--only", "lstm", "--only", "mse", "--json", str(path))
    assert result.exit_code == 0, result.output
    assert "Beyond 1000 roundings, or not compared: none of 4." in result.stdout
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert [(one["name"], one["dtype"], one["draws"], one["agrees"]) for one in figures["found"]] == [
        (name, dtype, 2, True) for name in ("lstm", "mse") for dtype in ("float64", "float32")
    ]
    assert all(0 <= one["largest"] < MOST for one in figures["found"])


@pytest.mark.torch
def test_layers_without_a_row_are_listed_and_wrong_ones_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    units = Units({"linear": HalvedBias, "tanh": Nowhere, "spline": PositionalEncoding}, {"mse": Mse})
    monkeypatch.setattr(Units, "of_catalogue", classmethod(lambda cls: units))
    monkeypatch.setattr("_cross.draws._ATTEMPTS", 9)
    result = asked("--draws", "2", "--dtype", "float64", "--json", str(tmp_path / "found.json"))
    assert result.exit_code == 1
    assert "Without a counterpart in PyTorch: the layers spline (obvious loops)." in result.stdout
    assert "Beyond 1000 roundings, or not compared: linear in float64, tanh in float64 of 3." in result.stdout


# Without it -----------------------------------------------------------------------------------------------------------


def test_without_torch_nothing_is_compared_and_that_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = asked()
    assert (result.exit_code, result.stdout) == (5, cross_examination.NOBODY + "\n")


def test_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    result = asked("--only", "lstn")
    assert result.exit_code == 2
    assert "there is no layer or loss `lstn`" in result.stderr


def test_every_layer_that_says_so_has_a_row_and_no_other() -> None:
    assert set(LAYERS) == {name for name in UNITS.layers if claimed(name)}


def test_every_row_is_of_a_layer_or_a_loss_that_there_is() -> None:
    assert all(set(rows) <= set(getattr(UNITS, folder)) for folder, (rows, _) in FOLDERS.items())


def test_a_draw_is_the_same_whenever_it_is_drawn() -> None:
    first, again, other = (draw_layer("lstm", Lstm, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.said() == again.said() != other.said()
    np.testing.assert_equal(first.named, again.named)
    first, again = (draw_loss("mse", Mse, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_equal((first.inputs, first.named), (again.inputs, again.named))


def test_what_fits_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("_cross.draws._ATTEMPTS", 9)
    with pytest.raises(NoRecipe, match="nowhere"):
        draw_layer("nowhere", Nowhere, np.random.default_rng(0))
