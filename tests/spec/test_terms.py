"""Which array each argument of a loss is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradcheck.catalogue import Catalogue
from gradcheck.errors import SpecError
from gradcheck.network import Term
from gradcheck.spec.read import PluginFailure, read_case

PLUGIN = """
import numpy as np
from gradcheck import Loss

class _Base(Loss):
    def backward(self, upstream, cache):
        return cache

class Penalty(_Base):
    def forward(self, prediction):
        return prediction**2, None

class Pair(_Base):
    def forward(self, a, b, target, margin_weight=None):
        return (a - b) * target, None

class Weighted(_Base):
    def forward(self, prediction, target, sample_weight):
        return prediction, None

class Masked(_Base):
    def forward(self, prediction, target, mask, reduction):
        return float(np.sum(prediction)), None
    reductions = ("sum", "tokens")

class Any(_Base):
    def forward(self, *predictions, **data):
        return predictions[0], None

class Wrong(_Base):
    def check(self, *shapes, **data):
        raise KeyError("check")
    def forward(self, prediction, target):
        return prediction, None

class Scalar(_Base):
    def forward(self, prediction, target):
        return 1.0, None
"""
BOTH = "{a: {shape: [3]}, b: {shape: [3]}}"


@pytest.fixture
def terms(tmp_path: Path) -> Callable[..., tuple[Term, ...]]:
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def terms(loss: str, targets: str = "{shape: [3]}", weight: str = "", first: str = "relu") -> tuple[Term, ...]:
        data = "data:\n  batch_size: 4\n  inputs: {shape: [3]}\n"
        data += f"  targets: {targets}\n" if targets else ""
        data += f"  sample_weight: {weight}\n" if weight else ""
        text = f"{data}network: [{first}, tanh]\nloss: {loss}\n"
        return read_case("s.yaml", text, Catalogue((str(tmp_path / "plugin.py"),))).network.terms

    return terms


@pytest.fixture
def refused(terms: Callable[..., tuple[Term, ...]]) -> Callable[..., list[str]]:
    def refused(*arguments: str, **options: str) -> list[str]:
        with pytest.raises(SpecError) as error:
            terms(*arguments, **options)
        return [problem.message for problem in error.value.problems]

    return refused


def test_the_only_target_is_the_target(terms: Callable[..., tuple[Term, ...]]) -> None:
    for targets, name in (("{shape: [3]}", "target"), ("{y: {shape: [3]}}", "y")):
        (term,) = terms("mse", targets)
        assert term.predictions == ("tanh_1",)
        assert term.data == {"target": name}
        assert (term.reduction, term.weight, term.trusted) == ("mean", 1.0, True)


def test_of_several_targets_one_may_be_called_target(terms: Callable[..., tuple[Term, ...]]) -> None:
    first, second = terms("[mse, mse: {target: other}]", "{target: {shape: [3]}, other: {shape: [3]}}")
    assert (first.data, second.data) == ({"target": "target"}, {"target": "other"})


def test_weights_go_to_every_loss_that_takes_them(terms: Callable[..., tuple[Term, ...]]) -> None:
    first, second = terms("[mse, penalty]", weight="{shape: []}")
    assert first.data == {"target": "target", "sample_weight": "sample_weight"}
    assert second.data == {}


def test_several_predictions(terms: Callable[..., tuple[Term, ...]]) -> None:
    (term,) = terms("{pair: {inputs: [relu_1, tanh_1], reduction: batch_mean}}")
    assert term.predictions == ("relu_1", "tanh_1")
    assert term.data == {"target": "target"}
    assert not term.trusted


def test_other_arguments_by_name(terms: Callable[..., tuple[Term, ...]]) -> None:
    targets = "{target: {shape: [3]}, mask: {shape: [3], fill: binary}}"
    (term,) = terms("{masked: {reduction: tokens}}", targets)
    assert term.data == {"target": "target", "mask": "mask"}
    assert term.reduction == "tokens"


def test_a_loss_that_takes_anything_gets_everything(terms: Callable[..., tuple[Term, ...]]) -> None:
    (term,) = terms("{any: {inputs: [relu_1, tanh_1], target: a}}", BOTH, "{shape: []}")
    assert term.data == {"target": "a", "a": "a", "b": "b", "sample_weight": "sample_weight"}
    assert terms("any", "")[0].data == {}


@pytest.mark.parametrize(
    ("loss", "targets", "weight", "messages"),
    [
        ("mse", "", "", ["`mse` needs a target; `data` has no `targets`"]),
        ("mse", BOTH, "", ["`mse` needs a target; say which of them with `target`: `a`, `b`"]),
        ("penalty", "{shape: [3]}", "", ["the target `target` is not used: `penalty` does not take it"]),
        ("{penalty: {target: a}}", "{a: {shape: [3]}}", "", ["`penalty` takes no target; leave `target` out"]),
        ("penalty", "", "{shape: []}", ["the weights `sample_weight` are not used: `penalty` does not take them"]),
        ("weighted", "{shape: [3]}", "", ["`weighted` needs `sample_weight`, but `data` has none"]),
        (
            "pair", "{shape: [3]}", "",
            ["`pair` needs `b`: add another prediction to `inputs`, or an array `b` to `targets`"],
        ),
        ("{masked: {reduction: sum}}", "{shape: [3]}", "",
         ["`masked` needs `mask`: add another prediction to `inputs`, or an array `mask` to `targets`"]),
        ("masked", "{target: {shape: [3]}, mask: {shape: [3]}}", "",
         ["`masked` has no reduction 'mean'; it has `sum`, `tokens`"]),
        ("{pair: {inputs: [relu_1, tanh_1, relu_1]}}", "{shape: [3]}", "",
         ["`pair` takes 2 predictions, got 3: relu_1, tanh_1, relu_1; say with `inputs` which it takes"]),
        ("[mse: {target: a}, penalty]", BOTH, "", ["the target `b` is not used: none of `mse`, `penalty` takes it"]),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_bound(
    refused: Callable[..., list[str]], loss: str, targets: str, weight: str, messages: list[str]
) -> None:
    assert refused(loss, targets, weight) == messages


def test_a_target_that_a_layer_takes_is_used(terms: Callable[..., tuple[Term, ...]]) -> None:
    targets = "{target: {shape: [3]}, hint: {shape: [3]}}"
    first = "relu: {inputs: hint}, tanh: {inputs: input}"
    assert len(terms("[mse, penalty: {inputs: relu_1}]", targets, first=first)) == 2


def test_where_an_array_is_a_problem_nothing_is_said_about_what_is_missing(refused: Callable[..., list[str]]) -> None:
    messages = refused("mse", "{a.b: {shape: [3]}}", first="relu: {inputs: input}")
    assert messages == ["the name 'a.b' may only have letters, digits, `_` and `-`"]


def test_where_a_loss_is_unknown_nothing_is_said_about_what_it_takes(refused: Callable[..., list[str]]) -> None:
    assert refused("focal", weight="{shape: []}") == [
        "unknown loss `focal`; if a plugin defines it, give the plugin with --plugin"
    ]


@pytest.mark.parametrize(
    ("loss", "code", "message"),
    [
        ("wrong", "GC901", "loss: check raised KeyError: 'check'"),
        ("scalar", "GC120", "loss: forward returned shape (); expected losses of shape (4, ...)"),
    ],
)
def test_what_a_loss_of_a_plugin_does_wrong(
    terms: Callable[..., tuple[Term, ...]], loss: str, code: str, message: str
) -> None:
    with pytest.raises(PluginFailure) as error:
        terms(loss)
    assert (error.value.failure.code, error.value.failure.message) == (code, message)


@pytest.mark.parametrize("seed", range(4))
def test_classes_must_fit_the_outputs_whichever_are_drawn(seed: int) -> None:
    text = f"""
seed: {seed}
data:
  batch_size: 2
  inputs: {{shape: [3]}}
  targets: {{classes: 5}}
network: [{{linear: {{out_features: 4}}}}]
loss: cross_entropy
"""
    with pytest.raises(SpecError, match="cross_entropy needs classes from 0 to 3, got 4"):
        read_case("classes.yaml", text, Catalogue())
