"""Every known mistake, planted: its name, its formula, the share of the discrepancy that it explains."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from core_nets import errors, plug, told, wrong
from support import diagnosed

from gradcheck.diagnosis._engine import hypotheses
from gradcheck.findings import CODES, Finding, SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.linear import Linear
from gradcheck.layers.softmax import Softmax
from gradcheck.losses._base import Loss

X = np.random.default_rng(5).standard_normal((4, 3))
ONLY = ("gradient",)


def the(report: SpecReport) -> Finding:
    """The only guilty finding."""
    (found,) = errors(report)
    assert found.diagnosis is not None, told(report)
    assert found.diagnosis.name == CODES[found.code]
    return found


def of_weight(change: Callable[[Any], Any]) -> Layer:
    """An affine map, 3 to 3, whose gradient of the weight is changed."""
    return wrong(lambda dx, g: (dx, {**g, "weight": change(g["weight"])}))


def by_count(change: Callable[[int, Any], Any]) -> Layer:
    """The same, changed by the number of samples."""
    return wrong(lambda dx, g: (dx, {**g, "weight": change(len(dx), g["weight"])}))


def rows(change: Callable[[Any, Any], Any], forward: Callable[[Any], Any]) -> Layer:
    """A layer of the output `forward(x)` and the gradient `change(dy, y)`."""

    class Rows(Layer):
        def forward(self, x: Any) -> tuple[Any, Any]:
            y = forward(x)
            return y, y

        def backward(self, dy: Any, y: Any) -> tuple[Any, dict[str, Any]]:
            return change(dy, y), {}

    return Rows()


def softmax(x: Any) -> Any:
    return Softmax().forward(x)[0]


def normalised(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


class Pairs(Layer):
    """y = (x, x): every entry is used twice."""

    def forward(self, x: Any) -> tuple[Any, Any]:
        return np.concatenate([x, x], axis=1), x.shape[1]

    def backward(self, dy: Any, width: int) -> tuple[Any, dict[str, Any]]:
        return dy[:, width:], {}


class Lookup(Layer):
    """y = W[i], with repeated indices that overwrite each other."""

    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        return {"weight": rng.standard_normal((5, 2))}

    def forward(self, ids: Any, weight: Any) -> tuple[Any, Any]:
        return weight[ids], ids

    def backward(self, dy: Any, ids: Any) -> tuple[Any, dict[str, Any]]:
        gradient = np.zeros((5, 2))
        gradient[ids] = dy
        return None, {"weight": gradient}


@dataclass(frozen=True)
class Windows(Layer):
    """y[t] = x[t] + x[t + 1]; `how` says what is wrong about it."""

    kernel_size: int = 2
    how: str = ""

    def forward(self, x: Any) -> tuple[Any, Any]:
        return x[:, :, :-1] + x[:, :, 1:], x.shape

    def backward(self, dy: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
        dx = np.zeros(shape)
        dx[:, :, :-1] = dy
        if self.how == "overlap":
            dx[:, :, 1:] = dy
        else:
            dx[:, :, 1:-1] += dy[:, :, :-1]
        return dx, {}


class Scaled(Layer):
    """y = w x + b, with the names of its gradients swapped."""

    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        return {"scale": rng.standard_normal(x_shape[1]), "shift": rng.standard_normal(x_shape[1])}

    def forward(self, x: Any, scale: Any, shift: Any) -> tuple[Any, Any]:
        return x * scale + shift, (x, scale)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        x, scale = cache
        return dy * scale, {"shift": (dy * x).sum(axis=0), "scale": dy.sum(axis=0)}


class Stepped(Linear):
    """An affine map that hands back the gradient of its weights after a step."""

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        dx, g = super().backward(dy, cache)
        return dx - 0.125 * dy @ g["weight"].T, g


class Halved(Loss):
    """Softmax cross-entropy without its target's part, folded in twice."""

    def forward(self, prediction: Any, target: Any) -> tuple[Any, Any]:
        q = softmax(prediction)
        return -np.log(q[np.arange(len(target)), target]), (q, target)

    def backward(self, upstream: Any, cache: Any) -> Any:
        q, target = cache
        n = q - np.eye(q.shape[1])[target]
        return upstream[:, None] * q * (n - (q * n).sum(axis=1, keepdims=True))


MISTAKES: dict[str, tuple[str, str, Callable[[], SpecReport]]] = {
    "scaled": ("GC101", "a = N n", lambda: diagnosed(by_count(lambda n, g: n * g), x=X, checks=ONLY)),
    "divided": ("GC101", "a = 1 / N n", lambda: diagnosed(by_count(lambda n, g: g / n), x=X, checks=ONLY)),
    "sign": ("GC102", "a = -n", lambda: diagnosed(of_weight(np.negative), x=X, checks=ONLY)),
    "sign of x": (
        "GC102", "a = n sign(linear_1)",
        lambda: diagnosed(Linear(5), plug(lambda x: x**3, lambda x: 3 * x * np.abs(x)), x=X, checks=ONLY),
    ),
    "columns": ("GC103", "", lambda: diagnosed(of_weight(lambda g: g * np.array([1, 1, 0.3])), x=X, checks=ONLY)),
    "mean path": (
        "GC104", "a = n + Σ c t, t of {1}, one c for each row",
        lambda: diagnosed(
            Linear(7), rows(lambda dy, y: dy, lambda x: x - x.mean(axis=1, keepdims=True)), x=X, checks=ONLY
        ),
    ),
    "diagonal": (
        "GC105", "a = g diag(J)",
        lambda: diagnosed(Linear(4), rows(lambda dy, y: dy * y * (1 - y), softmax), x=X, checks=ONLY),
    ),
    "inner product": ("GC106", "", lambda: diagnosed(Linear(5), rows(lambda dy, y: dy * y, softmax), x=X, checks=ONLY)),
    "coupled": (
        "GC107", "",
        lambda: diagnosed(rows(lambda dy, y: 2 * (dy + np.roll(dy, 1, axis=0)), lambda x: 2 * x), x=X, checks=ONLY),
    ),
    "detached": ("GC108", "a = 0", lambda: diagnosed(Linear(2), plug(np.tanh, lambda x: 0 * x), x=X, checks=ONLY)),
    "a column dropped": (
        "GC108", "a = 0 in a part, n elsewhere",
        lambda: diagnosed(of_weight(lambda g: g * [1, 0, 1]), x=X, checks=ONLY),
    ),
    "mask forgotten": (
        "GC109", "a ≠ 0 where n = 0, a = n elsewhere",
        lambda: diagnosed(
            rows(lambda dy, y: np.repeat(dy, 2, axis=1) * 3, lambda x: 3 * x[:, ::2]), x=X[:, [0, 1, 2, 0]], checks=ONLY
        ),
    ),
    "straight through": (
        "GC109", "a ≠ 0, n = 0",
        lambda: diagnosed(plug(lambda x: np.where(x.real > 0, 1.0, -1.0), np.ones_like), x=X, checks=ONLY),
    ),
    "transposed": ("GC110", "a = transpose(1, 0)(n)", lambda: diagnosed(of_weight(lambda g: g.T), x=X, checks=ONLY)),
    "transposed and scaled": (
        "GC110", "a = N × (transpose(1, 0)(n))", lambda: diagnosed(by_count(lambda n, g: n * g.T), x=X, checks=ONLY),
    ),
    "transposed and negative": (
        "GC110", "a = -(transpose(1, 0)(n))", lambda: diagnosed(of_weight(lambda g: -g.T), x=X, checks=ONLY),
    ),
    "overwritten": (
        "GC111", "a = last(uses), not Σ(uses)",
        lambda: diagnosed(Lookup(), x=np.array([[1, 1, 2], [1, 3, 3]]), checks=ONLY),
    ),
    "overlap": (
        "GC112", "",
        lambda: diagnosed(Windows(how="overlap"), x=np.random.default_rng(1).standard_normal((2, 2, 5)), checks=ONLY),
    ),
    "border": (
        "GC113", "a = n inside, not at the border",
        lambda: diagnosed(Windows(), x=np.random.default_rng(1).standard_normal((2, 2, 5)), checks=ONLY),
    ),
    "derivative forgotten": (
        "GC116", "a = g × 1", lambda: diagnosed(Linear(5), plug(np.tanh, np.ones_like), x=X, checks=ONLY),
    ),
    "of the output": (
        "GC116", "a = g × f′(y)",
        lambda: diagnosed(Linear(5), plug(np.sin, lambda x: np.cos(np.sin(x))), x=X, checks=ONLY),
    ),
    "another function": (
        "GC116", "aₖ = gₖ r(xₖ), r ≠ f′",
        lambda: diagnosed(Linear(5), plug(np.sin, lambda x: np.cos(x) + 0.1 * x**2), x=X, checks=ONLY),
    ),
    "swapped names": (
        "GC117", "a = n of scaled_1.shift",
        lambda: diagnosed(Scaled(), x=X, checks=ONLY, parameters={"scaled_1.shift": np.zeros(3)}),
    ),
    "decay": ("GC118", "a = n + 0.01 W", lambda: diagnosed(decayed(), x=X, checks=ONLY)),
    "clipped": ("GC119", "", lambda: diagnosed(of_weight(lambda g: np.clip(g, -0.1, 0.1)), x=X, checks=ONLY)),
    "lost use": ("GC121", "a = n - use 1", lambda: diagnosed(Linear(2), Pairs(), x=X, checks=ONLY)),
    "float16": (
        "GC122", "a = float16(n)",
        lambda: diagnosed(of_weight(lambda g: g.astype(np.float16).astype(float)), x=X, checks=ONLY),
    ),
    "stepped": ("GC123", "a = n at W - 0.125 dW", lambda: diagnosed(Linear(4), Stepped(3), x=X, checks=ONLY)),
    "twice": (
        "GC124", "a = p (n - Σ p n), p = softmax(x)",
        lambda: diagnosed(Linear(5), x=X, loss=Halved(), target=np.array([0, 3, 1, 1]), checks=ONLY),
    ),
}  # fmt: skip


def decayed() -> Layer:
    class Decayed(Linear):
        def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
            dx, g = super().backward(dy, cache)
            return dx, {**g, "weight": g["weight"] + 0.01 * self.weight_of(cache)}

        @staticmethod
        def weight_of(cache: Any) -> Any:
            return cache[1]

    return Decayed(3)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named_and_predicts_every_value(mistake: str) -> None:
    code, formula, run = MISTAKES[mistake]
    report = run()
    found = errors(report)
    assert code in {finding.code for finding in found}, told(report)
    named = next(finding for finding in found if finding.code == code)
    assert named.diagnosis is not None
    assert named.diagnosis.name == CODES[code]
    if formula:
        assert named.diagnosis.formula == formula
    assert named.diagnosis.explains == 1.0 or code == "GC107", named.diagnosis


def test_what_no_known_mistake_gives_stays_unexplained_with_the_closest_miss() -> None:
    noise = np.random.default_rng(9).uniform(0.5, 1.5, (3, 3))
    (found,) = errors(diagnosed(of_weight(lambda g: g * noise), x=X, checks=ONLY))
    assert found.code == "GC100"
    assert found.diagnosis is None
    assert re.search(
        r"9 of 9 entries are wrong\. No known mistake gives these values: \d+ predictions were held against them; "
        r"GC103 group-wise-scale comes closest \(a = Σ cᵢ nᵢ, c = \(.*\)\) and explains \d\d%$",
        found.message,
    ), found.message


def test_a_factor_that_is_a_width_as_well_as_the_batch_is_read_with_another_batch() -> None:
    square = np.random.default_rng(5).standard_normal((3, 3))
    by_samples = wrong(lambda dx, g: (dx, {**g, "weight": len(dx) * g["weight"]}))
    by_width = wrong(lambda dx, g: (dx, {**g, "weight": dx.shape[1] * g["weight"]}))
    formulas = [the(diagnosed(layer, x=square, checks=ONLY)).diagnosis for layer in (by_samples, by_width)]
    assert [found.formula if found else "" for found in formulas] == ["a = N n", "a = D n"]


def test_what_the_data_cannot_tell_apart_is_told_apart_by_better_data_and_said() -> None:
    found = the(diagnosed(Linear(2), Pairs(), x=X, checks=ONLY))
    assert found.code == "GC121"
    assert found.probed == (
        "The spec's own data fit both: GC121 shared-use (a = n - use 1) and GC103 group-wise-scale (a = Σ cᵢ nᵢ, c = "
        "(0, 0, 1, 1)); inputs drawn for this layer (distinct primes as sizes: (5, 7)) fit only GC121 shared-use "
        "(a = n - use 1)."
    )
    assert found.message.count(found.probed) == 1


def test_where_one_diagnosis_fits_nothing_is_said_about_others() -> None:
    found = the(diagnosed(of_weight(np.negative), x=X, checks=ONLY))
    assert found.probed == ""


def test_a_width_that_is_an_output_as_well_is_read_at_another_width() -> None:
    by_width = wrong(lambda dx, g: (dx, {**g, "weight": dx.shape[1] * g["weight"]}))
    by_outputs = wrong(lambda dx, g: (dx, {**g, "weight": g["weight"].shape[1] * g["weight"]}))
    width, outputs = (the(diagnosed(layer, x=X, checks=ONLY)) for layer in (by_width, by_outputs))
    assert [f.diagnosis.formula for f in (width, outputs) if f.diagnosis] == ["a = D n", "a = M n"]
    drawn = "(with N = 5 the factor is 3, and with an input of shape (5, 7), drawn for this layer, "
    assert f"{drawn}7)" in width.message
    assert f"{drawn}3)" in outputs.message


def test_a_factor_of_no_meaning_is_said_as_a_number() -> None:
    found = the(diagnosed(of_weight(lambda g: 1.37 * g), x=X, checks=ONLY))
    assert found.diagnosis is not None
    assert found.diagnosis.formula == "a = 1.37 n"
    assert "that is no size of the layer or its data (with N = 5 the factor is 1.37)" in found.message


def test_wrong_input_and_wrong_parameter_are_told_apart() -> None:
    report = diagnosed(Linear(3), wrong(lambda dx, g: (-dx, {**g, "weight": g["weight"].T})), x=X, checks=ONLY)
    found = {(f.parameter, f.code) for f in errors(report)}
    assert found == {(None, "GC102"), ("wrong_linear_1.weight", "GC110")}, told(report)


def test_below_a_layer_that_hands_back_zeros_the_next_one_is_found_all_the_same() -> None:
    lower, upper = plug(np.tanh, lambda x: 2 * (1 - np.tanh(x) ** 2)), wrong(lambda dx, g: (0 * dx, g), 4)
    report = diagnosed(Linear(3), lower, upper, Linear(2), x=X, checks=ONLY)
    assert [(f.layer, f.code) for f in errors(report)] == [("wrong_linear_1", "GC108"), ("plug_1", "GC101")], told(
        report
    )


def test_finding_shows_three_entries_a_picture_and_where_backward_is() -> None:
    found = the(diagnosed(of_weight(lambda g: g * [1, 0, 1]), x=X, checks=ONLY))
    assert [entry.index for entry in found.entries] == [(1, 1), (0, 1), (2, 1)] or len(found.entries) == 3
    assert [line[0] + line[2] for line in found.picture] == [".."] * 3
    assert all(line[1] != "." for line in found.picture)
    assert found.source is not None
    assert found.source.path.endswith("core_nets.py")


def test_every_code_of_the_gradient_has_one_file() -> None:
    files = {code for _, code, _ in hypotheses()} | {"GC114", "GC115", "GC120"}
    assert files == {code for code in CODES if "GC101" <= code <= "GC124"}


def test_an_exact_backward_is_not_asked() -> None:
    report = diagnosed(Conv2d(2, 3), x=np.random.default_rng(0).standard_normal((2, 1, 4, 5)), checks=ONLY)
    assert not report.findings
