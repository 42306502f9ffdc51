from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import errors, graph, normal, plug, row, told, wrong
from support import case, check, judged

from gradcheck.checks import _second_look
from gradcheck.evidence import Evidence, gather
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.layers.softplus import Softplus
from gradcheck.layers.sqrt import Sqrt
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse
from gradcheck.network import Term
from gradcheck.pipeline import check_case

X = normal(4, 3)


def real_sine(omega: float, slope: float = 1.0) -> Layer:
    """sin(ω x) for real numbers only: complex ones lose the derivative. backward is off by a factor."""
    return plug(lambda x: np.sin(omega * np.real(x)), lambda x: slope * omega * np.cos(omega * x))


def steep(slope: float = 1.0, **options: Any) -> Any:
    return check(Linear(3), real_sine(300.0, slope), Linear(2), x=X, loss=Mse(), target=normal(4, 2), **options)


def test_a_forward_without_complex_numbers_is_settled_by_the_ladder() -> None:
    report = steep()
    assert {row.method for row in report.rows[:2]} == {"central"}
    assert report.verdict == "pass", told(report)
    for found in report.rows:
        assert found.detectable is not None
        assert found.detectable < 1e-6


def test_some_entries_alone_are_held_against_the_greatest_of_their_tensor() -> None:
    """The root of a number below 1e-50 has no slope along a complex step: too little to be told beside the others."""
    layers: list[Any] = [("a", Linear(2), ("input",)), ("b", Softplus(), ("a",)), ("c", Sqrt(), ("b",))]
    values = {"a.weight": np.eye(2), "a.bias": np.array([2.0, -150.0])}
    data = {"input": normal(3, 2), "target": np.ones((3, 2))}
    term = Term(Mse(), "mean", 1.0, ("c",), {"target": "target"})
    report = check_case(graph(data, layers, [term], parameters=values, method="central"))
    assert not errors(report), told(report)


@pytest.mark.parametrize("r", [1e-5, 1e-2])
def test_a_small_mistake_behind_a_steep_forward_is_found(r: float) -> None:
    report = steep(1 + r)
    assert {f.layer for f in errors(report)} == {"plug_1"}, told(report)
    assert not row(report, "linear_1.weight").counts.passed


def test_without_the_ladder_the_same_forward_could_not_be_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(evidence: Evidence, name: str, entries: Any) -> Any:
        from msgspec.structs import replace

        return tuple(
            replace(p, settled=np.zeros_like(p.settled), error=np.full_like(p.error, np.inf))
            for p in ladder(evidence, name, entries)
        )

    ladder = Evidence.ladder
    monkeypatch.setattr(Evidence, "ladder", blind)
    report = steep(1.01)
    assert row(report, "linear_1.weight").counts.fail == 0, told(report)
    assert row(report, "linear_1.weight").counts.inconclusive > 0, told(report)


def faint(slope: float = 1.0) -> Any:
    """A gradient of a part in 10⁹ of the loss, behind a layer that loses complex numbers."""
    small = {"linear_2.weight": 1e-6 * normal(3, 2)}
    layers = (Linear(3), real_sine(1.0, slope), Linear(2))
    return check(*layers, x=X, loss=Mse(), target=100 * normal(4, 2), parameters=small, checks=["gradient"])


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="long double is no wider than float64 here"
)
def test_a_faint_gradient_is_settled_by_a_ladder_in_long_double(monkeypatch: pytest.MonkeyPatch) -> None:
    report = faint()
    assert row(report, "linear_1.weight").counts.passed == 9, told(report)
    assert not row(faint(1 + 1e-3), "linear_1.weight").counts.passed
    monkeypatch.setattr(Evidence, "ladder_in_wider_precision", lambda self, name, entries: None)
    report = faint()
    assert not errors(report), told(report)
    assert not row(report, "linear_1.weight").counts.passed, told(report)


@pytest.mark.parametrize("step", [2 * np.pi / 600, 4 * np.pi / 600])
@pytest.mark.parametrize("method", ["central", "five_point"])
def test_a_step_that_misses_an_oscillation_accuses_nobody(method: str, step: float) -> None:
    report = check(
        real_sine(600.0), x=X, loss=Mse(), target=0 * X, method=method, step=float(step), checks=["gradient"]
    )
    assert not errors(report), told(report)
    assert report.verdict == "pass", told(report)


def test_entries_next_to_a_kink_are_judged_by_a_shorter_step() -> None:
    """|x - 0.3| of a layer that says where its kink is, 1e-6 beside it; without complex numbers."""

    class Hinge(Layer):
        def forward(self, x: Any) -> Any:
            return np.maximum(np.real(x), 0.3), x

        def backward(self, dy: Any, x: Any) -> Any:
            return np.where(x > 0.3, dy, 0), {}

        def branches(self, x: Any) -> Any:
            return np.where(x == 0.3, -1, x.real > 0.3)

    x = X.copy()
    x[0, 0], x[1, 1] = 0.3 + 1e-6, 0.3 - 1e-6
    report = check(Hinge(), Linear(2), x=x, loss=Mse(), target=normal(4, 2), method="central", checks=["gradient"])
    assert report.verdict == "pass", told(report)
    x[2, 2] = 0.3
    report = check(Hinge(), Linear(2), x=x, loss=Mse(), target=normal(4, 2), method="central", checks=["gradient"])
    assert (report.counts.kink, report.counts.fail, report.counts.inconclusive) == (1, 0, 0), told(report)


def test_a_wrong_slope_next_to_a_kink_does_not_pass_for_one_of_its_slopes() -> None:
    class Late(Layer):
        def forward(self, x: Any) -> Any:
            return np.where(np.real(x) > 0, np.real(x), 0), x

        def backward(self, dy: Any, x: Any) -> Any:
            return np.where(x > 1e-6, dy, 0), {}

        def branches(self, x: Any) -> Any:
            return np.where(x == 0, -1, x.real > 0)

    x = np.abs(X) + 0.1
    x[1, 1] = 1e-7
    report = check(Late(), Linear(2), x=x, loss=Mse(), target=normal(4, 2), method="central", checks=["gradient"])
    assert row(report, "input").counts.fail == 1, told(report)


def test_every_entry_of_a_tensor_is_looked_at_again_whichever_was_asked_for() -> None:
    """So that the replay of one entry meets the same numbers as the whole run."""
    asked: list[Any] = []
    original = _second_look.look_again

    def listening(evidence: Any, name: str, comparison: Any, found: Any, entries: Any) -> Any:
        asked.append(entries)
        return original(evidence, name, comparison, found, entries)

    from gradcheck.checks import _judgement

    layers = (Linear(3), Tanh(), wrong(lambda dx, g: (dx, {**g, "weight": 1.5 * g["weight"]})))
    for entries in ((), (("wrong_linear_1.weight", (2, 1)),)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_judgement, "look_again", listening)
            judged(case(*layers, x=X, entries=entries))
    np.testing.assert_array_equal(asked[0], asked[1])


def test_gathering_hears_the_ladder_from_the_forward_alone() -> None:
    evidence = gather(case(Linear(3), real_sine(3.0), x=X), "", lambda done, total, name: None)
    best, second = evidence.ladder("linear_1.weight", np.array([0, 4]))
    truth = evidence.gradient("linear_1.weight").reshape(-1)[[0, 4]]
    assert (np.abs(best.value - truth) <= best.error).all()
    assert (np.abs(second.value - truth) <= second.error).all()


@pytest.mark.parametrize("method", ["complex", "central", "forward", "five_point", "richardson"])
@pytest.mark.parametrize("step", [5e-324, 1e-310, 1e-300, 1e300])
def test_a_step_at_the_ends_of_the_numbers_accuses_nobody(step: float, method: str) -> None:
    report = check(Linear(3), Tanh(), x=X, method=method, step=step, checks=["gradient"])
    assert not errors(report), told(report)
