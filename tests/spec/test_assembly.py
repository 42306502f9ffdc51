"""Networks with layers of plugins: how many inputs they take, how many outputs they give, and what they do wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import SpecError
from gradcheck.layers.relu import Relu
from gradcheck.spec.case import Case
from gradcheck.spec.read import PluginFailure, read_case, validate

PLUGIN = """
from dataclasses import dataclass
import numpy as np
from gradcheck import Layer, Loss

class Plus(Layer):
    def forward(self, a, b):
        return a + b, None
    def backward(self, dy, cache):
        return (dy, dy), {}

class Total(Layer):
    def forward(self, *inputs):
        return sum(inputs), len(inputs)
    def backward(self, dy, cache):
        return (dy,) * cache, {}

class Pair(Loss):
    def forward(self, a, b, target):
        return a - b, None
    def backward(self, upstream, cache):
        return upstream, -upstream

class Cut(Layer):
    def forward(self, x):
        return (x[:, :2], x[:, 2:]), None
    def backward(self, dy, cache):
        return np.concatenate(dy, axis=1), {}

@dataclass(frozen=True)
class Scale(Layer):
    size: int = 1
    def init(self, rng, x_shape):
        return {"gain": np.full(x_shape[1:], float(self.size))}
    def constants(self, rng, x_shape):
        return {"offset": np.zeros(x_shape[1:])}
    def forward(self, x, gain, offset):
        return gain * x + offset, (x, gain)
    def backward(self, dy, cache):
        return dy * cache[1], {"gain": (dy * cache[0]).sum(axis=0)}

class Masked(Layer):
    def forward(self, x, mask=None):
        return (x if mask is None else x * mask), mask
    def backward(self, dy, cache):
        return dy, {}

class Images(Layer):
    def forward(self, x):
        return x.reshape(len(x), 1, 1, -1), x.shape
    def backward(self, dy, cache):
        return dy.reshape(cache), {}

class Raises(Layer):
    def forward(self, x):
        raise KeyError("not here")
    def backward(self, dy, cache):
        return dy, {}

class RaisesInInit(Raises):
    def init(self, rng, x_shape):
        return 1 / 0

class Short(Raises):
    def forward(self, x):
        return x[:1], None

class NotFinite(Raises):
    def forward(self, x):
        return x / 0, None

@dataclass(frozen=True)
class Strict(Raises):
    low: float = 0.0
    high: float = 1.0
    def __post_init__(self):
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.high > 100:
            raise KeyError("high")

@dataclass(frozen=True)
class Odd(Raises):
    table: "Undefined" = None
    def forward(self, x):
        return x, None
"""
DATA = "data: {batch_size: 4, inputs: {shape: [5]}, targets: {shape: [5]}}\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Case]:
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def read(*items: str, data: str = DATA, loss: str = "mse", path: str = "s.yaml", head: str = "") -> Case:
        text = f"{head}{data}network:\n" + "".join(f"  - {item}\n" for item in items) + f"loss: {loss}\n"
        return read_case(path, text, Catalogue((str(tmp_path / "plugin.py"),)))

    return read


@pytest.fixture
def refused(read: Callable[..., Case]) -> Callable[..., list[str]]:
    def refused(*items: str, **options: str) -> list[str]:
        with pytest.raises(SpecError) as error:
            read(*items, **options)
        return [f"{problem.line}:{problem.column}: {problem.message}" for problem in error.value.problems]

    return refused


@pytest.fixture
def failed(read: Callable[..., Case]) -> Callable[..., PluginFailure]:
    def failed(*items: str, **options: str) -> PluginFailure:
        with pytest.raises(PluginFailure) as error:
            read(*items, **options)
        return error.value

    return failed


def test_several_inputs(read: Callable[..., Case]) -> None:
    case = read("relu: {inputs: input}", "tanh: {inputs: input}", "plus: {inputs: [relu_1, tanh_1]}")
    assert case.network.node("plus_1").inputs == ("relu_1", "tanh_1")
    assert not case.network.node("plus_1").trusted
    assert case.network.node("relu_1").trusted


def test_the_first_layer_takes_all_inputs_in_their_order(read: Callable[..., Case]) -> None:
    data = "data: {batch_size: 4, inputs: {b: {shape: [5]}, a: {shape: [5]}}, targets: {shape: [5]}}\n"
    assert read("plus", data=data).network.node("plus_1").inputs == ("b", "a")


def test_any_number_of_inputs(read: Callable[..., Case]) -> None:
    for count in (1, 2, 3):
        assert len(read(f"total: {{inputs: [{', '.join(['input'] * count)}]}}").network.node("total_1").inputs) == count


def test_an_input_may_be_left_out_where_forward_says_so(read: Callable[..., Case]) -> None:
    mask = "{shape: [5], fill: binary, per_sample: false}"
    data = f"data: {{batch_size: 4, inputs: {{m: {mask}, x: {{shape: [5]}}}}, targets: {{shape: [5]}}}}\n"
    case = read("masked: {inputs: [x, m]}", "masked", data=data)
    assert case.point.batched == {"x", "target"}
    assert case.point.batch_size == 4
    assert case.network.node("masked_2").inputs == ("masked_1",)


def test_what_a_layer_draws_is_no_input(read: Callable[..., Case]) -> None:
    case = read("scale: {size: 3, name: s}")
    assert case.network.node("s").inputs == ("input",)
    assert np.array_equal(case.point.arrays["s.gain"], np.full(5, 3.0))
    assert np.array_equal(case.point.arrays["s.offset"], np.zeros(5))


def test_several_outputs(read: Callable[..., Case]) -> None:
    case = read("cut", "relu: {inputs: cut_1.1}", loss="{mse: {inputs: relu_1}}", data=DATA.replace("[5]}}", "[3]}}"))
    assert case.network.node("cut_1").outputs == ("cut_1.0", "cut_1.1")
    assert case.network.node("relu_1").inputs == ("cut_1.1",)
    data = DATA.replace("inputs: {shape: [5]}", "inputs: {shape: [4]}").replace(
        "targets: {shape: [5]}", "targets: {shape: [2]}"
    )
    assert read("cut", "plus", data=data).network.node("plus_1").inputs == ("cut_1.0", "cut_1.1")
    assert read("cut", "plus: {inputs: [cut_1]}", data=data).network.node("plus_1").inputs == (
        "cut_1.0",
        "cut_1.1",
    )


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["plus"], "3:5: `plus_1` takes 2 inputs, got 1: input; say with `inputs` which it takes"),
        (["scale: {inputs: [input, input]}"],
         "3:5: `scale_1` cannot take 2: input, input; say with `inputs` which it takes"),
        (["linear: {out_features: 5, inputs: [input, input]}"],
         "3:5: `linear_1` takes 1 input, got 2: input, input; say with `inputs` which it takes"),
        (["masked: {inputs: [input, input, input]}"],
         "3:5: `masked_1` takes 1 to 2 inputs, got 3: input, input, input; say with `inputs` which it takes"),
        (["cut", "relu"],
         "4:5: `relu_1` takes 1 input, got 2: cut_1.0, cut_1.1; say with `inputs` which it takes"),
        (["cut", "relu: {inputs: cut_1.2}"],
         "4:20: `relu_1` takes `cut_1.2`, but `cut_1` has 2 outputs, numbered from 0; choose one of them"),
    ],
)  # fmt: skip
def test_the_wrong_number_of_inputs(refused: Callable[..., list[str]], items: list[str], message: str) -> None:
    assert refused(*items) == [message]


def test_a_shape_that_a_built_in_layer_cannot_take_from_a_plugin(refused: Callable[..., list[str]]) -> None:
    (message,) = refused("images", "conv2d: {out_channels: 2, kernel_size: 3}", "flatten")
    assert message == (
        "4:5: conv2d_1 (conv2d) needs padded images of at least 3 x 3 pixels, got 1 x 5 for (4, 1, 1, 5); "
        "images_1 (images) gives (4, 1, 1, 5)"
    )


@pytest.mark.parametrize(
    ("item", "code", "phase", "message"),
    [
        ("raises", "GC901", "forward", "raises_1: forward raised KeyError: 'not here'"),
        ("raises_in_init", "GC901", "init", "raises_in_init_1: init raised ZeroDivisionError: division by zero"),
        (
            "short",
            "GC120",
            "forward",
            "short_1: forward returned (1, 5); expected an array with the batch of 4 on axis 0",
        ),
        ("not_finite", "GC115", "forward", "not_finite_1: forward returned NaN or Inf for finite inputs"),
        ("strict: {high: 101}", "GC901", "init", "strict: building it raised KeyError: 'high'"),
    ],
)
def test_what_a_plugin_does_wrong_is_no_problem_of_the_spec(
    failed: Callable[..., PluginFailure], item: str, code: str, phase: str, message: str
) -> None:
    failure = failed("relu", item, "relu", head="name: mine\nseed: 5\n")
    assert (failure.failure.code, failure.failure.phase, failure.failure.message) == (code, phase, message)
    assert (failure.name, failure.seed) == ("mine", 5)
    kind = item.partition(":")[0]
    assert failure.locations[f"{kind}_1"].line == 6
    assert failure.locations["loss"].line == 8


def test_a_problem_of_the_spec_wins_over_what_a_plugin_does_wrong(refused: Callable[..., list[str]]) -> None:
    assert refused("raises", "relu: {slope: 1}") == [
        "4:12: `relu` has no option `slope`; its options are `name`, `inputs`"
    ]


def test_options_that_do_not_go_together(refused: Callable[..., list[str]]) -> None:
    assert refused("strict: {low: 3}") == ["3:5: the options of `strict` do not go together: low must be below high"]


def test_an_option_whose_hint_says_nothing_takes_anything(read: Callable[..., Case]) -> None:
    assert read("odd: {table: {a: [1, b]}}").network.node("odd_1").layer.table == {"a": [1, "b"]}  # type: ignore[attr-defined]


def test_weights_of_a_plugin(read: Callable[..., Case], refused: Callable[..., list[str]], tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"scale_1.gain": np.arange(5.0)})
    head, path = "parameters: {file: w.npz}\n", f"{tmp_path}/s.yaml"
    assert np.array_equal(read("scale", head=head, path=path).point.arrays["scale_1.gain"], np.arange(5.0))
    assert refused("scale", "scale", head=head, path=path) == [
        "1:20: 'w.npz' has no array for the parameter `scale_2.gain`"
    ]


def test_validating_runs_no_code_of_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    catalogue = Catalogue((str(tmp_path / "plugin.py"),))
    text = f"{DATA}network: [raises, strict: {{low: 3, high: 1.5}}, raises_in_init]\nloss: mse\n"
    assert validate("s.yaml", text, catalogue) == ([], [])
    problems, _ = validate("s.yaml", text.replace("1.5", "big"), catalogue)
    assert [problem.message for problem in problems] == ["`high` must be a number, got 'big'"]
    _, notes = validate("s.yaml", text, Catalogue())
    assert [note.partition(" ")[2] for note in notes] == [
        f"`{name}` is not a built-in layer; it may come from a plugin"
        for name in ("raises", "strict", "raises_in_init")
    ]


def test_a_layer_that_failed_may_have_had_the_outputs_that_the_loss_takes(
    failed: Callable[..., PluginFailure], refused: Callable[..., list[str]]
) -> None:
    assert failed("raises", loss="pair").failure.node == "raises_1"
    assert refused("raises", loss="pair", data=DATA.replace(", targets: {shape: [5]}", "")) == [
        "4:7: `pair` needs a target; `data` has no `targets`"
    ]


def test_a_network_too_large_for_memory_is_a_sentence(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Relu, x: np.ndarray) -> None:
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr(Relu, "forward", forward)
    assert refused("relu") == ["3:5: relu_1 (relu) needs too much memory: Unable to allocate 7.28 TiB"]
