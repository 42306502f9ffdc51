from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Centred, Gate, Normalised, graph, normal, plug, row, told
from support import case, check

from gradcheck.gradients.numeric.coupling import coupling
from gradcheck.layers._base import Layer
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.linear import Linear
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.softmax import Softmax
from gradcheck.losses._base import Loss
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.spec.case import Case

X = normal(5, 4)


def coupled(net: Case) -> set[str]:
    with np.errstate(all="ignore"):
        return set(coupling(net.network, net.point, net.network.forward(net.point).arrays))


COUPLED = {
    "the mean of the batch": lambda x: x - x.mean(axis=0),
    "the variance of the batch": lambda x: x / np.sqrt((x * x).mean(axis=0)),
    "the number of samples": lambda x: x / len(x),
    "the sum of the batch": lambda x: x + x.sum(axis=0),
    "the next sample": lambda x: np.roll(x, -1, axis=0),
    "the sample before": lambda x: np.roll(x, 1, axis=0),
    "the batch reversed": lambda x: x[::-1].copy(),
    "the smallest of the batch": lambda x: x - np.where(x == x.real.min(axis=0), x, 0).sum(axis=0),
    "softmax over the batch": lambda x: np.exp(x) / np.exp(x).sum(axis=0),
    "the order of the batch": lambda x: x * np.argsort(np.argsort(x.real[:, 0]))[:, None],
    "the position in the batch": lambda x: x * np.arange(len(x))[:, None],
    "the greatest of the batch": lambda x: x / x.real.max(axis=0),
    "the sum so far": lambda x: np.cumsum(x, axis=0),
    "the sum to come": lambda x: np.cumsum(x[::-1], axis=0)[::-1].copy(),
    "the difference to the sample before": lambda x: np.concatenate([x[:1], x[1:] - x[:-1]]),
    "a thousandth of the mean": lambda x: x + 1e-3 * x.mean(axis=0),
    "a billionth of the mean": lambda x: x + 1e-9 * x.mean(axis=0),
}
UNCOUPLED: dict[str, Any] = {
    "a sum over the features": lambda x: x - x.sum(axis=1, keepdims=True),
    "a norm of each sample": lambda x: x / np.sqrt((x * x).sum(axis=1, keepdims=True)),
    "steps": lambda x: np.where(x.real > 0.3, x * x, 0),
    "a constant": lambda x: 0 * x + 3,
    "great numbers": lambda x: 1e30 * x,
    "small numbers": lambda x: 1e-30 * x,
}


@pytest.mark.parametrize("forward", COUPLED.values(), ids=COUPLED)
def test_layer_in_which_samples_see_each_other_is_found(forward: Any) -> None:
    assert coupled(case(Linear(4), plug(forward, lambda x: 1.0), Linear(2), x=X)) == {"plug_1"}


@pytest.mark.parametrize("forward", UNCOUPLED.values(), ids=UNCOUPLED)
def test_layer_in_which_they_do_not_is_not_accused(forward: Any) -> None:
    assert coupled(case(Linear(4), plug(forward, lambda x: 1.0), Linear(2), x=X)) == set()


@pytest.mark.parametrize("layer", [Centred(), Normalised()])
def test_batch_of_one_is_coupled_too_where_more_samples_would_be(layer: Layer) -> None:
    assert len(coupled(case(Linear(4), layer, x=normal(1, 3)))) == 1
    assert coupled(case(Linear(4), Relu(), x=normal(1, 3))) == set()


def test_built_in_layers_do_not_couple() -> None:
    images = case(Conv2d(3, 3, padding=1), Relu(), MaxPool2d(2), Flatten(), Linear(7), Softmax(), x=normal(3, 2, 7, 6))
    assert coupled(images) == set()


def test_constants_and_indices_go_with_their_samples() -> None:
    assert coupled(case(Gate(), x={"a": X, "b": normal(5, 4, seed=1), "k": np.array([0, 2, 2, 1, 0])})) == set()


#: The point at which factors move nothing, or nothing that can be seen.
STILL = {"zeros": np.zeros((3, 4)), "one column of zeros": np.where([1, 1, 0, 1], normal(3, 4), 0), "tiny": 1e-20 * X}


@pytest.mark.parametrize("x", STILL.values(), ids=STILL)
def test_samples_see_each_other_where_factors_would_not_show_it(x: Any) -> None:
    norm = plug(lambda x: 3 + (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5), None)
    assert coupled(case(norm, x=x)) == {"plug_1"}
    assert coupled(case(plug(lambda x: 3 + x, None), x=x)) == set()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("raises", [True, False])
def test_zeros_on_the_border_of_a_domain_move_into_it(sign: int, raises: bool) -> None:
    def guarded(forward: Any) -> Any:
        def checked(x: Any) -> Any:
            if raises and (sign * x < 0).any():
                raise ValueError("outside")
            return forward(sign * x)

        return plug(checked, None)

    for x in (np.zeros((3, 4)), sign * np.maximum(X, 0)):
        assert coupled(case(guarded(lambda x: 3 + np.sqrt(x) - np.sqrt(x).mean(axis=0)), x=x)) == {"plug_1"}
        assert coupled(case(guarded(lambda x: 3 + np.sqrt(x)), x=x)) == set()


def test_ordinary_layer_is_asked_a_handful_of_times() -> None:
    calls: list[int] = []

    def counting(x: Any) -> Any:
        calls.append(len(x))
        return np.tanh(x)

    net = case(plug(counting, None), x=X)
    arrays = net.network.forward(net.point).arrays
    calls.clear()
    coupling(net.network, net.point, arrays)
    assert calls == [5, 10, 10, 10, 10]


def test_batch_norm_over_zeros_has_no_gradient_at_all() -> None:
    report = check(Normalised(), plug(lambda x: 3 + x, lambda x: 1.0), x=np.zeros((3, 4)), checks=["gradient"])
    worst = row(report, "input").worst
    assert worst is not None
    assert abs(worst.numeric) < 1e-9, told(report)
    assert report.verdict == "pass", told(report)


def test_layer_that_refuses_another_batch_size_may_not_be_stacked() -> None:
    class Fixed(Layer):
        def forward(self, x: Any) -> Any:
            return x * np.arange(1.0, 6)[:, None], None

        def backward(self, dy: Any, cache: Any) -> Any:
            return dy * np.arange(1.0, 6)[:, None], {}

    assert coupled(case(Fixed(), x=X)) == {"fixed_1"}


def test_loss_that_couples_is_found_and_a_reducing_one_is_not_asked() -> None:
    class AgainstTheMean(Loss):
        def forward(self, prediction: Any, target: Any) -> Any:
            return (prediction - prediction.mean(axis=0) - target) ** 2, None

        def backward(self, upstream: Any, cache: Any) -> Any:
            return upstream

    class InOne(AgainstTheMean):
        reductions = ("sum",)

        def forward(self, prediction: Any, target: Any, reduction: str) -> Any:
            return super().forward(prediction, target)[0].sum(), None

    assert coupled(case(Linear(2), x=X, loss=AgainstTheMean(), target=normal(5, 2))) == {"loss"}
    assert coupled(case(Linear(2), x=X, loss=InOne(), target=normal(5, 2), reduction="sum")) == set()
    assert coupled(case(Linear(2), x=X, loss=Mse(), target=normal(5, 2))) == set()
    assert coupled(case(Linear(3), x=X, loss=CrossEntropy(), target=np.array([0, 2, 1, 1, 0]))) == set()


def test_target_and_weight_of_a_sample_go_with_it() -> None:
    data = {"input": X, "target": normal(5, 2), "weight": np.arange(1.0, 6)}
    term = Term(Mse(), "mean", 1.0, ("a",), {"target": "target", "sample_weight": "weight"})
    assert coupled(graph(data, [("a", Linear(2), ("input",))], [term])) == set()


#: Domains, with data on their borders.
DOMAINS: dict[str, tuple[Any, Any]] = {
    "x >= 0": (lambda x: (x >= 0).all(), np.where(X < -1, 0, np.abs(X))),
    "p <= 1": (lambda x: (x <= 1).all(), np.where(X > 0, 1, X)),
    "two borders": (lambda x: (np.abs(x) <= 1).all(), np.clip(2 * X, -1, 1)),
    "a simplex": (
        lambda x: np.allclose(x.sum(axis=1), 1, rtol=0, atol=1e-12),
        np.abs(X) / np.abs(X).sum(axis=1)[:, None],
    ),
}


@pytest.mark.parametrize(("inside", "x"), DOMAINS.values(), ids=DOMAINS)
def test_samples_of_a_forward_that_refuses_other_data_are_told_apart_all_the_same(inside: Any, x: Any) -> None:
    def guarded(forward: Any) -> Any:
        def checked(x: Any) -> Any:
            if not inside(x):
                raise ValueError("outside")
            return forward(x)

        return plug(checked, lambda x: 1.0)

    for forward in UNCOUPLED.values():
        assert coupled(case(guarded(forward), x=x)) == set()
    for label, forward in COUPLED.items():
        with np.errstate(all="ignore"):
            shown = np.isfinite(forward(x)).all() and not np.array_equal(forward(x)[:2], forward(x[:2]))
        if shown:
            assert coupled(case(guarded(forward), x=x)) == {"plug_1"}, label


def test_one_sample_that_may_not_be_changed_is_taken_to_couple() -> None:
    def fixed(x: Any) -> Any:
        if not np.array_equal(x[:1], X[:1]) or not np.array_equal(x[-1:], X[:1]):
            raise ValueError("not mine")
        return 2 * x

    assert coupled(case(plug(fixed, lambda x: 2.0), x=X[:1])) == {"plug_1"}
