"""Modules, ties, frozen parameters and a choice of what is checked: what the network is that a spec makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import NothingSelected, SpecError, UsageError
from gradcheck.spec.case import Case
from gradcheck.spec.read import Overrides, PluginFailure, read_case, validate

PLUGIN = """
import numpy as np
from gradcheck import Layer

class Masked(Layer):
    per_sample = ("mask",)
    def constants(self, rng, x_shape):
        return {"mask": rng.integers(0, 2, x_shape).astype(float), "scale": rng.uniform(size=x_shape[1:])}
    def forward(self, x, mask, scale):
        return x * mask * scale, mask * scale
    def backward(self, dy, cache):
        return dy * cache, {}

class Raises(Layer):
    def forward(self, x):
        raise KeyError("not here")
    def backward(self, dy, cache):
        return dy, {}

class Cut(Layer):
    def forward(self, x):
        return (x[:, :2], x[:, 2:]), None
    def backward(self, dy, cache):
        return np.concatenate(dy, axis=1), {}
"""
TWO = """\
data: {batch_size: 3, inputs: {a: {shape: [4]}, b: {shape: [4]}}, targets: {shape: [2]}}
modules:
  tower: [linear: {out_features: 2}, tanh]
network:
  - module: {module: tower, inputs: a}
  - module: {module: tower, inputs: b, name: other}
loss:
  - mse: {inputs: tower_1}
  - mse: {inputs: other}
"""
CHAIN = """\
data: {batch_size: 3, inputs: {shape: [4]}, targets: {shape: [4]}}
network:
  - linear: {out_features: 3, name: code}
  - linear: {out_features: 4, name: decode}
loss: mse
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Case]:
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def read(text: str, **overrides: object) -> Case:
        path = str(tmp_path / "s.yaml")
        return read_case(path, text, Catalogue((str(tmp_path / "plugin.py"),)), Overrides(**overrides))  # type: ignore[arg-type]

    return read


def refusals(read: Callable[..., Case], text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        read(text)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in error.value.problems]


def test_every_use_has_layers_of_its_own_and_the_same_parameters(read: Callable[..., Case]) -> None:
    case = read(TWO)
    nodes = case.network.nodes
    assert [node.name for node in nodes] == ["tower_1.linear_1", "tower_1.tanh_1", "other.linear_1", "other.tanh_1"]
    assert [node.written for node in nodes] == ["tower.linear_1", "tower.tanh_1"] * 2
    assert [node.inputs for node in nodes] == [("a",), ("tower_1.linear_1",), ("b",), ("other.linear_1",)]
    assert case.point.parameters == ("tower.linear_1.weight", "tower.linear_1.bias")
    assert case.network.users("tower.linear_1.bias") == (nodes[0], nodes[2])
    assert [term.predictions for term in case.network.terms] == [("tower_1.tanh_1",), ("other.tanh_1",)]


def test_a_layer_of_a_module_has_its_place_under_all_of_its_names(read: Callable[..., Case]) -> None:
    places = read(TWO).locations
    assert {
        (places[name].line, places[name].column) for name in ("tower.tanh_1", "tower_1.tanh_1", "other.tanh_1")
    } == {(3, 38)}
    assert (places["tower_1"].line, places["other"].line) == (5, 6)


def test_parameters_are_drawn_as_the_layer_that_is_written(read: Callable[..., Case]) -> None:
    """Whoever uses a module once more, or under another name, gets the same numbers."""
    alone = read(TWO.replace("{module: tower, inputs: a}", "{module: tower, inputs: a, name: first}").replace(
        "inputs: tower_1", "inputs: first"
    ))  # fmt: skip
    both = read(TWO)
    for name in both.point.parameters:
        np.testing.assert_array_equal(alone.point.arrays[name], both.point.arrays[name])


def test_modules_within_modules_share_their_parameters_too(read: Callable[..., Case]) -> None:
    case = read("""\
data: {batch_size: 3, inputs: {shape: [4]}, targets: {shape: [4]}}
modules:
  outer: [module: {module: inner}, tanh, module: {module: inner, name: again}]
  inner: [linear: {out_features: 4, bias: false}]
network: [module: {module: outer}, module: {module: inner}, module: {module: outer}]
loss: mse
""")
    assert case.point.parameters == ("inner.linear_1.weight",)
    assert [node.name for node in case.network.users("inner.linear_1.weight")] == [
        "outer_1.inner_1.linear_1", "outer_1.again.linear_1", "inner_1.linear_1", "outer_2.inner_1.linear_1",
        "outer_2.again.linear_1",
    ]  # fmt: skip
    assert case.network.nodes[-1].inputs == ("outer_2.tanh_1",)


def test_several_inputs_and_outputs(read: Callable[..., Case]) -> None:
    case = read("""\
data: {batch_size: 3, inputs: {a: {shape: [2]}, b: {shape: [4]}}, targets: {shape: [2]}}
modules:
  pair:
    inputs: [x, y]
    outputs: [tanh_1, cut_1]
    network: [tanh: {inputs: x}, cut: {inputs: y}]
network:
  - module: {module: pair}
  - relu: {inputs: pair_1.2}
loss:
  - mse: {inputs: relu_1}
  - mse: {inputs: pair_1.0}
  - mse: {inputs: pair_1.1}
""")
    assert case.network.node("pair_1.tanh_1").inputs == ("a",)
    assert case.network.node("pair_1.cut_1").inputs == ("b",)
    assert case.network.node("relu_1").inputs == ("pair_1.cut_1.1",)
    assert [term.predictions[0] for term in case.network.terms] == ["relu_1", "pair_1.tanh_1", "pair_1.cut_1.0"]


def test_names_inside_a_module_are_its_own(read: Callable[..., Case]) -> None:
    """`a` is data outside and a layer inside; `tanh_1` is both outside and inside."""
    case = read("""\
data: {batch_size: 3, inputs: {a: {shape: [4]}}, targets: {shape: [4]}}
modules: {m: [relu: {name: a}, tanh: {inputs: a}]}
network: [tanh, module: {module: m}]
loss: mse
""")
    assert [(node.name, node.inputs) for node in case.network.nodes] == [
        ("tanh_1", ("a",)), ("m_1.a", ("tanh_1",)), ("m_1.tanh_1", ("m_1.a",)),
    ]  # fmt: skip


def test_masks_are_drawn_for_every_use_and_other_constants_once(read: Callable[..., Case]) -> None:
    case = read(TWO.replace("tanh", "masked").replace("tower_1.tanh", "tower_1.masked"))
    arrays = case.point.arrays
    first, other = (case.network.node(f"{use}.masked_1").constants for use in ("tower_1", "other"))
    assert first == {"mask": "tower_1.masked_1.mask", "scale": "tower.masked_1.scale"}
    assert other == {"mask": "other.masked_1.mask", "scale": "tower.masked_1.scale"}
    assert not np.array_equal(arrays[first["mask"]], arrays[other["mask"]])
    assert {first["mask"], other["mask"]} <= case.point.batched
    assert first["scale"] not in case.point.batched


def test_constants_of_another_shape_are_those_of_their_use(read: Callable[..., Case]) -> None:
    case = read("""\
data: {batch_size: 3, inputs: {a: {shape: [4]}, b: {shape: [2]}}, targets: {x: {shape: [4]}, y: {shape: [2]}}}
modules: {m: [masked]}
network: [module: {module: m, inputs: a}, module: {module: m, inputs: b}]
loss: [mse: {inputs: m_1, target: x}, mse: {inputs: m_2, target: y}]
""")
    assert [node.constants["scale"] for node in case.network.nodes] == ["m.masked_1.scale", "m_2.masked_1.scale"]


def test_a_plugin_that_fails_inside_a_module_is_called_as_it_is_written(read: Callable[..., Case]) -> None:
    with pytest.raises(PluginFailure) as error:
        read(TWO.replace("tanh", "raises"))
    assert error.value.failure.node == "tower.raises_1"
    assert error.value.failure.message.startswith("tower_1.raises_1: forward raised KeyError")
    assert error.value.locations["tower.raises_1"].line == 3


def test_layers_of_plugins_inside_a_module_are_noted_once(tmp_path: Path) -> None:
    problems, notes = validate("s.yaml", TWO.replace("tanh", "masked"), Catalogue())
    assert problems == []
    assert notes == ["s.yaml:3:38: `masked` is not a built-in layer; it may come from a plugin"]


@pytest.mark.parametrize("order", [1, -1])
def test_modules_that_lie_very_deep_are_refused(read: Callable[..., Case], order: int) -> None:
    modules = [f"  m{k}: [module: {{module: m{k - 1}}}]\n" for k in range(1, 120)] + ["  m0: [relu]\n"]
    messages = refusals(
        read,
        f"""\
data: {{batch_size: 3, inputs: {{shape: [4]}}, targets: {{shape: [4]}}}}
modules:
{"".join(modules[::order])}network: [module: {{module: m119}}]
loss: mse
""",
    )
    assert all("lies more than 50 modules deep; write its layers where it is used" in each for each in messages)


# Ties -----------------------------------------------------------------------------------------------------------------


def test_a_tied_parameter_is_its_owner(read: Callable[..., Case]) -> None:
    case = read(f"{CHAIN}parameters: {{tie: {{decode.weight: code.weight.T}}}}\n")
    plain = read(CHAIN)
    decode = case.network.node("decode")
    assert case.point.parameters == ("code.weight", "code.bias", "decode.bias")
    assert decode.parameters == {"weight": "code.weight", "bias": "decode.bias"}
    np.testing.assert_array_equal(decode.keywords(case.point.arrays)["weight"], case.point.arrays["code.weight"].T)
    for name in case.point.parameters:
        np.testing.assert_array_equal(case.point.arrays[name], plain.point.arrays[name])


def test_a_parameter_of_a_module_can_be_tied(read: Callable[..., Case]) -> None:
    case = read("""\
data: {batch_size: 3, inputs: {shape: [4]}, targets: {shape: [4]}}
modules: {m: [linear: {out_features: 4, bias: false}]}
network: [linear: {out_features: 4, bias: false}, module: {module: m}, module: {module: m}]
loss: mse
parameters: {tie: {m.linear_1.weight: linear_1.weight}}
""")
    assert case.point.parameters == ("linear_1.weight",)
    assert len(case.network.users("linear_1.weight")) == 3


@pytest.mark.parametrize("equal", [True, False])
def test_a_file_may_repeat_a_tied_parameter_if_it_is_the_same(
    read: Callable[..., Case], tmp_path: Path, equal: bool
) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "code.weight": rng.normal(size=(4, 3)),
        "code.bias": rng.normal(size=3),
        "decode.bias": rng.normal(size=4),
    }
    own = arrays["code.weight"].T if equal else arrays["code.weight"].T + 1
    np.savez(tmp_path / "w.npz", **arrays, **{"decode.weight": own})
    spec = f"{CHAIN}parameters: {{file: w.npz, tie: {{decode.weight: code.weight.T}}}}\n"
    if equal:
        np.testing.assert_array_equal(read(spec).point.arrays["code.weight"], arrays["code.weight"])
    else:
        (message,) = refusals(read, spec)
        assert message.startswith(
            "6:20: 'w.npz' has a `decode.weight` of its own, but the spec ties it to `code.weight`"
        )


def test_weights_of_a_module_are_called_by_its_name(read: Callable[..., Case], tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"tower.linear_1.weight": np.ones((4, 2)), "tower.linear_1.bias": np.zeros(2)})
    case = read(f"{TWO}parameters: {{file: w.npz}}\n")
    np.testing.assert_array_equal(case.point.arrays["tower.linear_1.weight"], np.ones((4, 2)))
    np.savez(tmp_path / "w.npz", **{"tower.linear_1.weight": np.ones((4, 3)), "tower_1.linear_1.bias": np.zeros(2)})
    assert refusals(read, f"{TWO}parameters: {{file: w.npz}}\n") == [
        "10:20: 'w.npz' has `tower.linear_1.weight` with the shape (4, 3), the network has it with (4, 2)",
        "10:20: 'w.npz' has no array for the parameter `tower.linear_1.bias`; did you mean `tower_1.linear_1.bias`?",
        "10:20: 'w.npz' has the array `tower_1.linear_1.bias`, but the network has no such parameter",
    ]


# Scope ----------------------------------------------------------------------------------------------------------------


def test_frozen_parameters_are_constants(read: Callable[..., Case]) -> None:
    case = read(f"{CHAIN}parameters: {{freeze: [code.*, '*.bias']}}\nobjective: maximize\n")
    assert case.point.parameters == ("decode.weight",)
    assert case.point.frozen == {"code.weight", "code.bias", "decode.bias"}
    assert case.point.all_parameters == ("code.weight", "code.bias", "decode.weight", "decode.bias")
    assert case.objective == "maximize"


def test_what_is_checked_can_be_chosen(read: Callable[..., Case]) -> None:
    case = read(f"{CHAIN}parameters: {{check: '*.weight'}}\n")
    assert case.left_out == {"code.bias", "decode.bias"}
    assert (read(CHAIN).left_out, read(CHAIN).objective) == (frozenset(), "minimize")


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("freeze: code.*", "code.bias[0]",
         "code.bias is frozen: it receives no gradient; leave it out of `freeze` to check code.bias[0]"),
        ("tie: {decode.weight: code.weight.T}", "decode.weight[0, 0]",
         "decode.weight is tied: it is code.weight transposed; name an entry of code.weight"),
    ],
)  # fmt: skip
def test_entries_that_have_no_gradient_of_their_own(
    read: Callable[..., Case], section: str, entry: str, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        read(f"{CHAIN}parameters: {{{section}}}\n", entries=(entry,))
    assert str(error.value) == message


def test_nothing_is_left_to_check_where_everything_is_frozen(read: Callable[..., Case]) -> None:
    spec = CHAIN.replace("inputs: {shape: [4]}", "inputs: {shape: [4], fill: integers, high: 3}")
    with pytest.raises(NothingSelected, match="no parameter that is not frozen, and no input of real numbers"):
        read(f"{spec}parameters: {{freeze: '*'}}\n")
