"""What a diagnosis spares itself gives what the long way gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import plug, wrong
from support import diagnosed

from gradcheck.diagnosis import _engine
from gradcheck.diagnosis._inside import _survey, folded, replaced, scaled
from gradcheck.diagnosis._prediction import deviation, fits
from gradcheck.diagnosis._tracing import Machine
from gradcheck.diagnosis.missing_term import _fitted
from gradcheck.diagnosis.permuted import _orders, orders
from gradcheck.layers._base import Layer
from gradcheck.suspect import Suspect

X = np.random.default_rng(5).standard_normal((4, 3))


class Gated(Layer):
    """y = x tanh(x W), with a backward that takes the gate for a constant."""

    def init(self, rng: Any, x_shape: Any) -> dict[str, Any]:
        return {"weight": rng.standard_normal((3, 3))}

    def forward(self, x: Any, weight: Any) -> tuple[Any, Any]:
        gate = np.tanh(x @ weight)
        return x * gate, (x, gate)

    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        x, gate = cache
        return dy * gate, {"weight": x.T @ (dy * x)}


def suspects(monkeypatch: pytest.MonkeyPatch, layer: Layer) -> list[Suspect]:
    """Whom a diagnosis is asked about."""
    found: list[Suspect] = []
    monkeypatch.setattr(_engine, "ask", lambda suspect: found.append(suspect) or _engine.Opinion((), None, 0))
    diagnosed(layer, x=X, checks=("gradient",))
    return found


LAYERS = {
    "gated": Gated(),
    "linear": wrong(lambda dx, g: (dx[:, ::-1], {**g, "weight": g["weight"][::-1]})),
    "elementwise": plug(np.sin, np.sin),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_orders_side_by_side_give_what_they_give_one_by_one(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = suspects(monkeypatch, LAYERS[layer])
    assert asked
    for suspect in asked:
        for name in suspect.real:
            turned = [other for _, other in orders(suspect.exact[name], (1,)) if np.isfinite(other).all()]
            together = list(suspect.numeric_at_each(name, turned))
            assert len(together) == len(turned)
            for other, n in zip(turned, together, strict=True):
                np.testing.assert_array_equal(n, suspect.numeric(arrays={name: other}))
            if layer == "linear" and suspect.is_parameter and name in suspect.inputs:
                assert any(np.allclose(n, suspect.a) for n in together)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_prediction_fits_where_every_entry_does(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for suspect in suspects(monkeypatch, LAYERS[layer]):
        a, bar = suspect.a, suspect.bar
        one = np.arange(a.size).reshape(a.shape) == suspect.most_wrong
        right = [a, a + bar, np.where(one, a, a - bar)]
        off = [np.where(one, 2 * a + 1, a), np.where(one, a, 2 * a + 1), suspect.n, -a, np.full(a.shape, np.nan)]
        assert [fits(suspect, values) for values in (*right, *off)] == [True] * len(right) + [False] * len(off)
        assert all(np.all(np.less_equal(*deviation(suspect, values))) for values in right)


def test_after_the_last_call_of_an_operation_nothing_has_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for suspect in suspects(monkeypatch, Gated()):
        machine, survey = Machine.of(suspect.local.forward, suspect.exact, suspect.operand, True), _survey(suspect)
        v = suspect.directions[0].reshape(suspect.array.shape)
        assert survey.seen
        for site, seen in survey.seen.items():
            backs = range(1, len(seen.chain) + 1)
            mistakes = [folded(site, 3.0), *(scaled(site, operand, -1.0) for operand in seen.moving)]
            for mistake in (*mistakes, *(replaced(site, seen, back, lambda u, y, r: u * y + r) for back in backs)):
                short, long = (machine.run(v, mistake, calls)[0] for calls in (survey.rounds_of(site), 0))
                np.testing.assert_array_equal(short, long)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.tile([1.0, 2.0], (2, 2)),
        np.array([[0.0, -0.0], [-0.0, 0.0]]),
        np.zeros((2, 2, 2)),
        np.array([1.0, 1.0, 2.0, 1.0]),
    ],
)
def test_orders_are_those_that_differ_from_all_before(array: Any) -> None:
    seen, expected = [array], []
    for how, other in _orders(array, (1, -1)):
        if other.shape == array.shape and not any(np.array_equal(other, known, equal_nan=True) for known in seen):
            seen.append(other)
            expected.append(how)
    assert [how for how, _ in orders(array, (1, -1))] == expected


def test_a_regression_ends_where_more_is_left_than_may_be() -> None:
    rng = np.random.default_rng(3)
    terms = [np.ones((4, 5)), rng.standard_normal((4, 5))]
    e = np.arange(1.0, 5)[:, None] * terms[1] - 2
    for most in (np.full((4, 5), np.inf), np.full((4, 5), 1e-9)):
        fitted = _fitted(e, terms, (1,), most)
        assert fitted is not None
        np.testing.assert_allclose(fitted[0], e, rtol=1e-12)
        assert fitted[1] == [True, True]
    e[2, 1] += 1e-3
    assert _fitted(e, terms, (1,), np.full((4, 5), np.inf)) is not None
    assert _fitted(e, terms, (1,), np.full((4, 5), 1e-9)) is None
    assert _fitted(e, terms, (1,), np.where(np.arange(4)[:, None] == 2, np.inf, 1e-9)) is not None
