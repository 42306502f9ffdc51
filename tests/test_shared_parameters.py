"""Parameters that stand in several places, and frozen ones, through all checks: modules, ties, `freeze`, `check`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from core_nets import blamed, errors, notes, row, told, verdict

from gradcheck import pipeline
from gradcheck.catalogue import Catalogue
from gradcheck.gradients.analytic import gradient
from gradcheck.pipeline import Outcome, run_spec
from gradcheck.spec.case import Case
from gradcheck.spec.read import Overrides, read_case

PLUGIN = """
import numpy as np
from gradcheck import Layer

class Plus(Layer):
    def forward(self, a, b):
        return a + b, None
    def backward(self, dy, cache):
        return (dy, dy), {}

class Minus(Layer):
    def forward(self, a, b):
        return a - b, None
    def backward(self, dy, cache):
        return (dy, -dy), {}

class Masked(Layer):
    per_sample = ("mask",)
    def constants(self, rng, x_shape):
        return {"mask": rng.integers(0, 2, x_shape).astype(float)}
    def forward(self, x, mask):
        return x * mask, mask
    def backward(self, dy, mask):
        return dy * mask, {}

class Centred(Layer):
    def forward(self, x):
        return x - x.mean(axis=0), None
    def backward(self, dy, cache):
        return dy - dy.mean(axis=0), {}

class Lookup(Layer):
    def init(self, rng, k_shape):
        return {"weight": rng.standard_normal((6, 4))}
    def forward(self, k, weight):
        return weight[k], (k, weight.shape)
    def backward(self, dy, cache):
        k, shape = cache
        dweight = np.zeros(shape)
        np.add.at(dweight, k, dy)
        return None, {"weight": dweight}

class Offset(Lookup):
    "Adds 1 to the gradient of its table, whatever the batch and the reduction are."
    def init(self, rng, k_shape):
        return {"weight": rng.standard_normal((6, 4))}
    def forward(self, k, weight):
        return weight[k], (k, weight.shape)
    def backward(self, dy, cache):
        _, gradients = super().backward(dy, cache)
        return None, {"weight": gradients["weight"] + 1}

class Squash(Layer):
    "Its backward takes tanh for its own derivative."
    def forward(self, x):
        return np.tanh(x), np.tanh(x)
    def backward(self, dy, y):
        return dy * (1 - y), {}

class Lopsided(Layer):
    "Its backward is wrong beyond 4, and nowhere else."
    def forward(self, x):
        return x * x, x
    def backward(self, dy, x):
        return dy * (2 * x + (x > 4)), {}

class Doubled(Layer):
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}
    def forward(self, x, gain):
        return x * gain, (x, gain)
    def backward(self, dy, cache):
        x, gain = cache
        return dy * gain, {"gain": 2 * (dy * x).sum(axis=0)}

class Forgetful(Layer):
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}
    def forward(self, x, gain):
        return x * gain, gain
    def backward(self, dy, gain):
        return dy * gain, {}

class Told(Layer):
    "Knows what is frozen, and heeds it."
    heeds = True
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}
    def forward(self, x, gain):
        return x * gain, (x, gain)
    def backward(self, dy, cache, frozen=frozenset()):
        x, gain = cache
        if self.heeds and "gain" in frozen:
            return dy * gain, {}
        return dy * gain, {"gain": (dy * x).sum(axis=0)}

class Heedless(Told):
    heeds = False
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}
    def forward(self, x, gain):
        return x * gain, (x, gain)
    def backward(self, dy, cache, frozen=frozenset()):
        x, gain = cache
        return dy * gain, {"gain": (dy * x).sum(axis=0)}

class Cut(Layer):
    "Takes frozen for the end of the way."
    def init(self, rng, x_shape):
        return {"gain": rng.standard_normal(x_shape[1:])}
    def forward(self, x, gain):
        return x * gain, (x, gain)
    def backward(self, dy, cache, frozen=frozenset()):
        x, gain = cache
        return (0 * dy if frozen else dy * gain), {"gain": (dy * x).sum(axis=0)} if not frozen else {}

class WrongTransposed(Layer):
    "Its weight has the shape (out, in), and its gradient is wrong."
    def init(self, rng, x_shape):
        return {"weight": rng.standard_normal((6, x_shape[1]))}
    def forward(self, x, weight):
        return x @ weight.T, (x, weight)
    def backward(self, dy, cache):
        x, weight = cache
        return dy @ weight, {"weight": 3 * dy.T @ x}
"""
SIAMESE = """\
data: {batch_size: 4, inputs: {a: {shape: [3]}, b: {shape: [3]}}, targets: {shape: [2]}}
modules:
  tower: [linear: {out_features: 3}, tanh, linear: {out_features: 2}]
network:
  - module: {module: tower, inputs: a}
  - module: {module: tower, inputs: b}
  - plus: {inputs: [tower_1, tower_2]}
loss: mse
"""
RECURRENT = """\
data: {batch_size: 4, inputs: {shape: [3]}, targets: {shape: [3]}}
modules:
  step: [linear: {out_features: 3}, tanh]
network: [module: {module: step}, module: {module: step}, module: {module: step}]
loss: mse
"""
WORDS = """\
data: {batch_size: 5, inputs: {shape: [], fill: integers, high: 6}, targets: {classes: 6}}
network:
  - lookup: {name: embedding}
  - linear: {out_features: 4}
  - tanh
  - linear: {out_features: 6, name: head}
loss: cross_entropy
parameters: {tie: {head.weight: embedding.weight.T}}
"""


PARALLEL = """\
data: {batch_size: 4, inputs: {a: {shape: [3]}, b: {shape: [2]}}, targets: {x: {shape: [2]}, y: {shape: [3]}}}
network:
  - linear: {out_features: 2, inputs: a, name: there}
  - linear: {out_features: 3, inputs: b, name: back}
loss: [mse: {inputs: there, target: x}, mse: {inputs: back, target: y}]
parameters: {tie: {back.weight: there.weight.T}}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "plugin.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture(scope="module")
def run(plugin: str) -> Callable[..., Outcome]:
    @cache
    def run(text: str, named: bool = False, **overrides: Any) -> Outcome:
        """`named`: whether a mistake is looked for by name, which takes time."""
        unnamed = patch.object(pipeline, "diagnosed", lambda findings, accused: tuple(findings))
        with nullcontext() if named else unnamed:
            return run_spec("s.yaml", text, Catalogue((plugin,)), Overrides(**overrides))

    return run


@pytest.fixture
def read(plugin: str) -> Callable[[str], Case]:
    return lambda text: read_case("s.yaml", text, Catalogue((plugin,)))


# Gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize(
    "spec", [SIAMESE, RECURRENT, WORDS, PARALLEL], ids=["siamese", "recurrent", "words", "parallel"]
)
def test_networks_that_share_parameters_pass(run: Callable[..., Outcome], spec: str, method: str) -> None:
    report = run(spec, method=method).report
    assert report.verdict == "pass", told(report)
    assert all(verdict(report, check) == "pass" for check in ("gradient", "reduction", "per_sample"))
    assert all(r.checked == r.entries for r in report.rows)


@pytest.mark.parametrize("method", ["complex", "central"])
def test_the_gradient_is_the_sum_over_the_places(
    run: Callable[..., Outcome], read: Callable[[str], Case], method: str
) -> None:
    """Of the same network with a layer of its own in every place, and the same numbers in each."""
    dump = run(RECURRENT, method=method).gradients
    shared = read(RECURRENT)
    layers = ", ".join("linear: {out_features: 3}, tanh" for _ in range(3))
    apart = read(
        f"data: {{batch_size: 4, inputs: {{shape: [3]}}, targets: {{shape: [3]}}}}\nnetwork: [{layers}]\nloss: mse\n"
    )
    own = {name: shared.point.arrays[f"step.linear_1.{name.rpartition('.')[2]}"] for name in apart.point.parameters}
    found = gradient(apart.network, apart.point.with_arrays(own)).gradients
    for local in ("weight", "bias"):
        total = sum(found[f"linear_{k}.{local}"] for k in (1, 2, 3))
        np.testing.assert_allclose(dump[f"step.linear_1.{local}/analytic"], total, rtol=1e-13)
        np.testing.assert_allclose(dump[f"step.linear_1.{local}/numeric"], total, rtol=1e-6, atol=1e-10)


def test_the_gradient_of_a_tied_parameter_is_the_sum_with_the_transpose(
    run: Callable[..., Outcome], read: Callable[[str], Case]
) -> None:
    dump = run(WORDS).gradients
    apart = read(WORDS.partition("parameters:")[0])
    weight = read(WORDS).point.arrays["embedding.weight"]
    found = gradient(apart.network, apart.point.with_arrays({"head.weight": weight.T})).gradients
    total = found["embedding.weight"] + found["head.weight"].T
    np.testing.assert_allclose(dump["embedding.weight/analytic"], total, rtol=1e-13)
    np.testing.assert_allclose(dump["embedding.weight/numeric"], total, rtol=1e-12, atol=1e-15)
    assert "head.weight/analytic" not in dump


def test_integers_have_no_row_and_a_tied_parameter_has_one(run: Callable[..., Outcome]) -> None:
    report = run(WORDS).report
    assert [r.name for r in report.rows] == ["embedding.weight", "linear_1.weight", "linear_1.bias", "head.bias"]
    assert row(report, "embedding.weight").uses == ("embedding.weight", "head.weight (transposed)")
    assert [(layer.parameters, layer.shared) for layer in report.network] == [(24, 0), (20, 0), (0, 0), (6, 24)]


def test_every_place_of_a_module_is_named_in_its_rows(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE).report
    assert row(report, "tower.linear_2.bias").uses == ("tower_1.linear_2.bias", "tower_2.linear_2.bias")
    assert row(report, "a").uses == ()


def test_kinks_in_every_place_are_kinks(run: Callable[..., Outcome]) -> None:
    spec = SIAMESE.replace("tanh", "relu").replace("b: {shape: [3]}", "b: {shape: [3], fill: zeros}").replace(
        "linear: {out_features: 3}", "linear: {out_features: 3, bias: false}"
    )  # fmt: skip
    report = run(spec).report
    assert report.verdict == "kink", told(report)
    assert row(report, "b").counts.kink == 12
    assert row(report, "tower.linear_1.weight").counts.fail == 0
    assert {kink.layer for kink in row(report, "b").kinks} == {"tower_2.relu_1"}


def test_masks_of_every_place_go_with_their_samples(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE.replace("tanh", "masked")).report
    assert verdict(report, "per_sample") == verdict(report, "gradient") == "pass", told(report)


def test_layers_that_couple_samples_are_named_by_their_places(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE.replace("tanh", "centred")).report
    assert verdict(report, "gradient") == "pass", told(report)
    (result,) = [check for check in report.checks if check.check == "per_sample"]
    assert result.verdict == "not_applicable"
    assert result.reason.startswith("tower_1.centred_1 and tower_2.centred_1 couple the samples")


def test_a_parameter_that_one_place_ignores_is_reached_through_the_other(run: Callable[..., Outcome]) -> None:
    """a - a of the same tower leaves nothing of it, but the other term sees it."""
    spec = SIAMESE.replace("inputs: b}", "inputs: a}").replace("b: {shape: [3]}", "").replace("plus:", "minus:")
    spec = spec.replace("{a: {shape: [3]}, }", "{a: {shape: [3]}}")
    alone = run(spec).report
    assert ("GC601", "tower.linear_1.weight") in notes(alone) or ("GC603", "tower.linear_1.weight") in notes(alone)
    both = run(spec.replace("loss: mse", "loss: [mse, mse: {inputs: tower_1}]")).report
    assert notes(both) == []
    assert both.verdict == "pass", told(both)


# Guilt ----------------------------------------------------------------------------------------------------------------


def test_a_mistake_in_a_module_is_one_finding_about_the_layer(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE.replace("tanh", "squash"), named=True).report
    (found,) = errors(report)
    assert (found.layer, found.parameter, found.code) == ("tower.squash_1", None, "GC116"), told(report)
    assert found.message.startswith("tower_2.squash_1: in the gradient that it hands back to tower_2.linear_1 ")
    assert found.message.endswith("; the same in tower_1.squash_1")
    assert found.location is not None
    assert (found.location.line, found.location.column) == (3, 38)
    consequences = {f.parameter for f in report.findings if f.consequence_of == found.id}
    assert consequences == {"tower.linear_1.weight", "tower.linear_1.bias", "a", "b"}


def test_a_mistake_in_one_place_names_the_place(run: Callable[..., Outcome]) -> None:
    """Each use is judged alone: the layer is wrong for the inputs that one of them has, and right for the other's."""
    spec = SIAMESE.replace("a: {shape: [3]}", "a: {shape: [3], fill: uniform, low: 5, high: 6}").replace(
        "[linear: {out_features: 3}, tanh, ", "[lopsided, "
    )  # fmt: skip
    report = run(spec).report
    assert blamed(report) == [("tower.lopsided_1", "a")], told(report)
    (found,) = errors(report)
    assert found.message.startswith("tower_1.lopsided_1: ")
    assert "the same in" not in found.message
    assert row(report, "b").verdict == "pass"


def test_a_wrong_gradient_of_a_shared_parameter_is_one_finding(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE.replace("tanh", "doubled")).report
    assert blamed(report) == [("tower.doubled_1", "tower.doubled_1.gain")], told(report)
    assert errors(report)[0].message.endswith(
        "; it stands in 2 places, and is wrong in tower_2.doubled_1, tower_1.doubled_1"
    )


def test_a_wrong_gradient_of_a_tied_parameter_is_its_layers(run: Callable[..., Outcome]) -> None:
    spec = WORDS.replace("linear: {out_features: 6, name: head}", "wrong_transposed: {name: head}").replace(".T}", "}")
    report = run(spec).report
    assert blamed(report) == [("head", "embedding.weight")], told(report)
    assert errors(report)[0].message.endswith("; it stands in 2 places, and is wrong in head")
    wrong_owner = """\
data: {batch_size: 5, inputs: {shape: [3]}, targets: {classes: 3}}
network: [wrong_transposed: {name: first}, tanh, linear: {out_features: 3, name: head}]
loss: cross_entropy
parameters: {tie: {head.weight: first.weight}}
"""
    assert blamed(run(wrong_owner).report) == [("first", "first.weight")]


def test_along_directions_each_place_is_judged_alone_too(run: Callable[..., Outcome]) -> None:
    """The other place of a tied parameter, and a layer behind which all is right, have nothing wrong in them."""
    tied = run(WORDS.replace("lookup", "offset"), directions=3).report
    assert {layer for layer, _ in blamed(tied)} == {"embedding"}, told(tied)
    one_place = SIAMESE.replace("a: {shape: [3]}", "a: {shape: [3], fill: uniform, low: 5, high: 6}").replace(
        "linear: {out_features: 3}, tanh", "linear: {out_features: 3}, doubled, told, lopsided"
    )  # fmt: skip
    report = run(one_place, directions=3).report
    assert ("tower.doubled_1", "tower.doubled_1.gain") in blamed(report), told(report)
    assert {layer for layer, _ in blamed(report)} <= {"tower.doubled_1", "tower.lopsided_1"}, told(report)
    assert run(WORDS, directions=3).report.verdict == "pass"


def test_equivalences_that_a_tied_parameter_breaks_are_the_guilt_of_the_place(run: Callable[..., Outcome]) -> None:
    """Its other layer, which is nearer to the loss, is right."""
    report = run(WORDS.replace("lookup", "offset"), named=True).report
    codes = {"GC104", "GC201", "GC301", "GC401", "GC504"}
    assert {found.code for found in errors(report)} == codes, told(report)
    assert {layer for layer, _ in blamed(report)} == {"embedding"}, told(report)


# Scope ----------------------------------------------------------------------------------------------------------------


def with_gain(layer: str, section: str = "freeze: '*gain'") -> str:
    return SIAMESE.replace("tanh", layer) + f"parameters: {{{section}}}\n"


def test_a_frozen_parameter_receives_no_gradient_and_lets_gradients_through(
    run: Callable[..., Outcome], read: Callable[[str], Case]
) -> None:
    spec = with_gain("told", "freeze: [tower.linear_2.*]")
    outcome = run(spec)
    report = outcome.report
    assert report.verdict == "pass", told(report)
    frozen = row(report, "tower.linear_2.weight")
    assert (frozen.frozen, frozen.checked, frozen.verdict) == (True, 0, "not_applicable")
    assert frozen.reason.startswith("frozen")
    assert row(report, "tower.linear_1.weight").checked == 9
    assert "tower.linear_2.weight/analytic" not in outcome.gradients
    case = read(spec)
    found = gradient(case.network, case.point)
    assert not {"tower.linear_2.weight", "tower.linear_2.bias"} & {*found.gradients}
    free = gradient(case.network, read(SIAMESE.replace("tanh", "told")).point).gradients
    for name in case.point.parameters:
        np.testing.assert_array_equal(found.gradients[name], free[name])


def test_a_mistake_behind_a_frozen_layer_is_found(run: Callable[..., Outcome]) -> None:
    report = run(SIAMESE.replace("tanh", "squash") + "parameters: {freeze: [tower.linear_2.*]}\n", named=True).report
    assert [(f.layer, f.code) for f in errors(report)] == [("tower.squash_1", "GC116")], told(report)


def test_a_wrong_gradient_that_a_frozen_parameter_would_get_is_nobodys_business(run: Callable[..., Outcome]) -> None:
    assert run(with_gain("doubled")).report.verdict == "pass"


def test_a_backward_that_is_told_what_is_frozen_must_heed_it(run: Callable[..., Outcome]) -> None:
    assert run(with_gain("told")).report.verdict == "pass"
    assert run(SIAMESE.replace("tanh", "heedless")).report.verdict == "pass"
    report = run(with_gain("heedless"), named=True).report
    (found,) = errors(report)
    assert (found.layer, found.parameter, found.code) == ("tower.heedless_1", "tower.heedless_1.gain", "GC125")
    assert "is told that `gain` is frozen, and returns a gradient for it all the same" in found.message


def test_a_backward_that_takes_frozen_for_the_end_of_the_way_is_found(run: Callable[..., Outcome]) -> None:
    report = run(with_gain("cut"), named=True).report
    assert [(f.layer, f.parameter, f.code) for f in errors(report)] == [("tower.cut_1", None, "GC108")], told(report)


def test_only_what_is_named_is_checked(run: Callable[..., Outcome]) -> None:
    report = run(with_gain("doubled", "check: 'tower.linear*'")).report
    assert report.verdict == "pass", told(report)
    left_out = row(report, "tower.doubled_1.gain")
    assert (left_out.checked, left_out.verdict, left_out.reason) == (0, "not_applicable", "`check` does not name it")
    assert row(report, "a").checked == 12
    assert run(with_gain("forgetful", "check: 'tower.linear*'")).report.verdict == "pass"
    assert blamed(run(SIAMESE.replace("tanh", "forgetful")).report) == [("tower.forgetful_1", "tower.forgetful_1.gain")]
    asked = run(with_gain("doubled", "check: 'tower.linear*'"), entries=("tower.doubled_1.gain[0]",)).report
    assert row(asked, "tower.doubled_1.gain").counts.fail == 1


def test_an_ascending_player_is_a_word_in_the_report_and_no_other_gradient(run: Callable[..., Outcome]) -> None:
    down, up = run(SIAMESE), run(SIAMESE + "objective: maximize\n")
    assert (down.report.objective, up.report.objective) == ("minimize", "maximize")
    for name, array in down.gradients.items():
        np.testing.assert_array_equal(array, up.gradients[name])
