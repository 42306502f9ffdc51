"""Plain recurrence."""

from __future__ import annotations

import numpy as np
from laws import assert_caught, drawn, normal
from layer_laws import checked
from recurrent_laws import RecurrentLaws

from gradcheck.layers.rnn import Rnn


class LastStepOnly(Rnn):
    def _back_along(self, dy, dh, run):
        return super()._back_along(np.where(np.arange(dy.shape[1])[:, None] < dy.shape[1] - 1, 0, dy), dh, run)


class StateDetached(Rnn):
    def _back_along(self, dy, dh, run):
        *rest, U = run
        return super()._back_along(dy, dh, (*rest, 0 * U))


class StateOfThisStep(Rnn):
    def _back_along(self, dy, dh, run):
        h, *rest = run
        return super()._back_along(dy, dh, ([*h[1:], h[-1]], *rest))


class ReverseInOrder(Rnn):
    def backward(self, dy, cache):
        half = dy.shape[2] // 2
        return super().backward(np.concatenate([dy[..., :half], dy[:, ::-1, half:]], axis=2), cache)


class LowerLayerTakesOneDirection(Rnn):
    def _back_along(self, dy, dh, run):
        dx, *rest = super()._back_along(dy, dh, run)
        return np.where(np.arange(dx.shape[2]) < self.hidden_size, dx, 0), *rest


X, SHORT = normal(2, 3, 2), normal(2, 3, 1)


class TestLaws(RecurrentLaws):
    kind = Rnn
    cases = (
        (Rnn(2), (SHORT,)),
        (Rnn(2, nonlinearity="relu", return_state=True), (SHORT, normal(2, 2))),
        (Rnn(1, 2, bidirectional=True, return_state=True), (SHORT, normal(2, 4, 1))),
    )
    mistakes = (
        (LastStepOnly(1, bias=False), (SHORT,), ("weight_ih",)),
        (StateDetached(1, bias=False), (SHORT,), ("input",)),
        (StateOfThisStep(1, bias=False), (SHORT,), ("weight_hh",)),
        (ReverseInOrder(1, bidirectional=True, bias=False), (SHORT,), ("weight_ih_reverse",)),
        (LowerLayerTakesOneDirection(1, 2, bidirectional=True, bias=False), (SHORT[:1],), ("weight_ih_reverse",)),
    )
    refused = (
        (Rnn(5), ((3, 4),), "needs a sequence (N, T, features), got (3, 4)"),
        (Rnn(5), ((3, 4, 2), (3, 4)), "needs h0 (N, hidden_size) = (3, 5), got (3, 4)"),
        (Rnn(5), ((3, 4, 2), (3, 5), (3, 5)), "needs a sequence alone or with h0, got 3 inputs"),
        (
            Rnn(5, bidirectional=True),
            ((3, 4, 2), (3, 5)),
            "needs h0 (N, 2, hidden_size) = (3, 2, 5), got (3, 5)",
        ),
        (Rnn(5, 3), ((3, 4, 2), (3, 1, 5)), "needs h0 (N, 3, hidden_size) = (3, 3, 5), got (3, 1, 5)"),
    )

    def drawn_options(self, rng):
        return {"nonlinearity": str(rng.choice(["tanh", "relu"]))}

    def step(self, layer, a_i, a_h, h):
        a = a_i["h"] + a_h["h"]
        return (np.tanh(a) if layer.nonlinearity == "tanh" else np.maximum(a, 0),)


def test_branches_are_those_of_every_step():
    layer, x = Rnn(2, 2, nonlinearity="relu", bias=False, bidirectional=True), X.copy()
    x[0] = 0
    taken = layer.branches(x, **drawn(layer, x))
    assert taken.shape == (2, 3, 8)
    assert (taken[0] == -1).all()
    assert (taken[1, :, :4] >= 0).all()
    assert Rnn(2).branches(x, **drawn(Rnn(2), x)) is None


def test_zeros_that_go_round_are_kinks_and_hide_no_mistake_elsewhere():
    """relu(u t) and relu(−v t) feed one unit: at t = 0 every slope of the output may have one sign, and 0 is right."""
    x = np.array([[0.0, 1, -1, 2], [3, -3, 0, 0], [0, 0, 0, 0]])[:, :, None]
    report = checked(Rnn(2, nonlinearity="relu", bias=False), (x,), checks=["gradient"], trusted=True)
    assert (report.verdict, report.counts.fail) == ("kink", 0)
    assert_caught(
        checked(StateDetached(2, nonlinearity="relu", bias=False), (x,), checks=["gradient"], trusted=True),
        "state_detached_1",
    )
