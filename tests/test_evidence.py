from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import Centred, Declared, Gate, normal, plug
from support import case

from gradcheck.errors import NothingSelected, UsageError
from gradcheck.evidence import Evidence, gather
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.spec.case import Case

X, TARGET = normal(4, 3), normal(4, 2)
GATE = {"a": X, "b": normal(4, 3, seed=1), "k": np.array([0, 2, 2, 1])}


def heard(net: Case) -> Evidence:
    return gather(net, "gradcheck run test.yaml", lambda done, total, name: None)


def dense(**options: Any) -> Case:
    return case(Linear(3), Tanh(), Linear(2), x=X, loss=Mse(), target=TARGET, **options)


def test_everything_real_is_differentiated_parameters_first() -> None:
    assert heard(dense()).names == ("linear_1.weight", "linear_1.bias", "linear_2.weight", "linear_2.bias", "input")
    assert heard(case(Gate(), x=GATE)).names == ("gate_1.table", "a", "b")


def test_both_witnesses_agree_on_a_correct_network() -> None:
    for net in (dense(), case(Linear(3), Centred(), x=X), case(Gate(), x=GATE), dense(reduction="none")):
        found = heard(net)
        for name in found.names:
            np.testing.assert_allclose(
                found.gradient(name), found.estimates[name].value, rtol=0, atol=1e-14, err_msg=name
            )


def test_numeric_witness_never_calls_a_backward() -> None:
    class Forbidden(Tanh):
        calls = 0

        def backward(self, dy: Any, cache: Any) -> Any:
            type(self).calls += 1
            return super().backward(dy, cache)

    counts = []
    for entries in ((), (("linear_1.weight", (0, 0)),)):
        Forbidden.calls = 0
        heard(case(Linear(3), Forbidden(), Linear(2), x=X, entries=entries))
        counts.append(Forbidden.calls)
    assert counts[0] == counts[1] < 20, "the number of backward passes depends on the number of entries"


def test_numeric_side_is_in_double_precision_whatever_the_analytic_one_is() -> None:
    single, double = heard(dense(dtype="float32")), heard(dense())
    assert single.analytic.gradients["linear_1.weight"].dtype == np.float32
    assert (single.unit, double.unit) == (2.0**-24, 2.0**-53)
    for name in single.names:
        assert single.estimates[name].value.dtype == np.float64
        assert single.estimates[name].error.max() < 1e-12
        assert single.gradient(name).dtype == np.float64


def test_auto_is_the_complex_step_where_every_layer_behind_is_safe() -> None:
    found = heard(case(Linear(3), plug(np.abs, np.sign), Linear(2), x=X))
    because = "not the complex step, because plug_1 returns real numbers for complex ones: the derivative is lost"
    assert found.schemes == {
        "linear_1.weight": ("central", because),
        "linear_1.bias": ("central", because),
        "linear_2.weight": ("complex", ""),
        "linear_2.bias": ("complex", ""),
        "input": ("central", because),
    }
    assert {name: found.estimates[name].scheme for name in found.names} == {
        name: scheme for name, (scheme, _) in found.schemes.items()
    }


def test_unsafe_loss_puts_every_tensor_on_real_steps() -> None:
    class Absolute(Mse):
        def forward(self, prediction: Any, target: Any, sample_weight: Any = None) -> Any:
            return np.abs(prediction - target) ** 2, (prediction - target, None)

    found = heard(case(Linear(2), x=X, loss=Absolute(), target=TARGET))
    assert {scheme for scheme, _ in found.schemes.values()} == {"central"}
    assert all("because loss returns real numbers" in reason for _, reason in found.schemes.values())


@pytest.mark.parametrize("method", ["forward", "central", "five_point", "richardson", "complex"])
def test_method_of_choice_is_taken_for_every_tensor(method: str) -> None:
    found = heard(dense(method=method))
    assert {estimate.scheme for estimate in found.estimates.values()} == {method}
    assert set(found.schemes.values()) == {(method, "")}


def test_step_of_choice_is_taken_for_every_tensor() -> None:
    assert {estimate.step for estimate in heard(dense(method="central", step=1e-4)).estimates.values()} == {1e-4}


def test_complex_on_demand_is_refused_where_it_would_lie() -> None:
    with pytest.raises(UsageError, match=r"--method complex cannot be used on test\.yaml: plug_1 returns real"):
        heard(case(plug(np.abs, np.sign), x=X, method="complex"))


def test_a_copy_that_does_not_fit_the_memory_is_refused() -> None:
    with pytest.raises(UsageError, match=r"test\.yaml: .* one entry of linear_1.weight moved takes about 0"):
        heard(dense(max_memory=1e-6))


def test_entries_choose_the_tensors() -> None:
    entries = (("linear_2.weight", (0, 1)), ("input", (1, 1)), ("linear_2.weight", (2, 0)))
    assert heard(dense(entries=entries)).names == ("linear_2.weight", "input")


def test_nothing_to_differentiate_is_refused_in_a_sentence() -> None:
    class OneHot(Layer):
        def forward(self, k: Any) -> Any:
            return np.eye(3)[k], None

        def backward(self, dy: Any, cache: Any) -> Any:
            return None, {}

    net = case(OneHot(), x={"k": np.array([0, 2])}, loss=Mse(), target=normal(2, 3))
    with pytest.raises(NothingSelected) as refusal:
        heard(net)
    assert str(refusal.value) == "test.yaml: there is neither a parameter nor a real input to differentiate by"


def test_progress_goes_from_nothing_to_everything() -> None:
    seen: list[tuple[int, int, str]] = []
    gather(dense(), "", lambda done, total, name: seen.append((done, total, name)))
    assert {total for _, total, _ in seen} == {32}
    done = [done for done, _, _ in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 32)
    assert list(dict.fromkeys(name for _, _, name in seen if name)) == list(heard(dense()).names)


def test_another_estimate_of_some_entries_is_by_the_scheme_and_step_that_are_asked_for() -> None:
    found = heard(dense())
    other = found.again("linear_1.weight", "five_point", None, np.array([4]))
    assert (other.scheme, other.checked.sum()) == ("five_point", 1)
    assert other.value[1, 1] == pytest.approx(found.estimates["linear_1.weight"].value[1, 1], rel=1e-8)
    assert found.again("input", "central", 1e-4, np.array([0])).step == 1e-4


def test_reductions_are_those_that_differ_by_a_divisor() -> None:
    assert dense().network.terms[0].reductions == ("sum", "mean", "batch_mean")
    (term,) = case(Linear(2), x=X, loss=Declared(), target=TARGET).network.terms
    assert term.reductions == ("sum", "mean")


def test_point_is_as_it_was_after_everything_has_been_heard() -> None:
    net = dense(method="central")
    before = {name: array.copy() for name, array in net.point.arrays.items()}
    heard(net)
    for name, array in before.items():
        np.testing.assert_array_equal(net.point.arrays[name], array)
