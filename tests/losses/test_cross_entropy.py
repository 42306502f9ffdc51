"""Cross-entropy of logits and integer classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from loss_laws import LossLaws, assert_refused, few, seeds

from gradcheck.losses.cross_entropy import CrossEntropy


class OneHotDropped(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, _, weight = cache
        return (upstream * weight)[:, None] * np.exp(log_q)


class TargetEntryAlone(CrossEntropy):
    def backward(self, upstream, cache):
        right = super().backward(upstream, cache)
        return np.where(np.arange(right.shape[1]) == cache[1], right, 0)


class ClassAfterTheTarget(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, chosen, weight = cache
        return super().backward(upstream, (log_q, (chosen + 1) % log_q.shape[1], weight))


class DividedByTheClasses(CrossEntropy):
    def backward(self, upstream, cache):
        return super().backward(upstream, cache) / cache[0].shape[1]


class TestLaws(LossLaws):
    losses = (CrossEntropy(), CrossEntropy(axis=1), CrossEntropy(axis=-2))
    mistakes = (OneHotDropped(), TargetEntryAlone(), ClassAfterTheTarget(), DividedByTheClasses())

    def example(self, loss, rng, n):
        if loss in self.mistakes:
            return rng.normal(size=(n, 3)), rng.integers(0, 3, n)
        prediction = rng.normal(size=(n, 2, 4))
        shape = np.delete(prediction.shape, loss.axis)
        return prediction, rng.integers(0, prediction.shape[loss.axis], shape)

    def loop(self, loss, p, t, w, dl):
        rows = np.moveaxis(p, loss.axis, -1)
        losses, gradient = np.empty(t.shape), np.empty(rows.shape)
        for place in np.ndindex(*t.shape):
            exponentials = [math.exp(x) for x in rows[place].tolist()]
            total, weight = sum(exponentials), w[place[0]]
            losses[place] = -weight * math.log(exponentials[t[place]] / total)
            for k, e in enumerate(exponentials):
                gradient[(*place, k)] = dl[place] * weight * (e / total - (1 if k == t[place] else 0))
        return losses, np.moveaxis(gradient, -1, loss.axis)

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.cross_entropy(p.movedim(loss.axis, 1), t, reduction="none")


@few
@given(seeds)
def test_the_gradient_of_a_row_sums_to_zero(seed):
    rng = np.random.default_rng(seed)
    losses, cache = CrossEntropy().forward(20 * rng.normal(size=(3, 4)), rng.integers(0, 4, 3))
    np.testing.assert_allclose(CrossEntropy().backward(np.ones_like(losses), cache).sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("size", [50.0, 600.0])
def test_a_sure_and_right_prediction_keeps_its_tiny_loss_and_gradient(size):
    losses, cache = CrossEntropy().forward(np.array([[size, 0.0, 0.0]]), np.array([0]))
    tail = math.exp(-size)
    np.testing.assert_allclose(losses, [2 * tail], rtol=1e-14)
    gradient = CrossEntropy().backward(np.ones(1), cache)
    np.testing.assert_allclose(gradient, [[-2 * tail, tail, tail]], rtol=1e-14)


def test_a_sure_and_wrong_prediction_costs_its_margin():
    losses, cache = CrossEntropy().forward(np.array([[800.0, 0.0, -800.0]]), np.array([2]))
    assert losses.tolist() == [1600.0]
    assert CrossEntropy().backward(np.ones(1), cache).tolist() == [[1, 0, -1]]


def test_a_prediction_or_target_that_does_not_fit_is_refused():
    loss = CrossEntropy()
    assert_refused(loss, "needs a prediction (N, ..., classes), got (8,)", (8,), np.zeros(8, dtype=int))
    assert_refused(loss, "needs integer classes as target, got float64", (8, 3), np.zeros(8))
    assert_refused(loss, "needs integer classes as target, got bool", (2, 2), [True, False])
    assert_refused(loss, "needs a target of shape (2,) for a prediction (2, 3), got (2, 1)", (2, 3), [[0], [1]])
    assert_refused(loss, "needs a target of shape (2, 5) for a prediction (2, 5, 3), got (2,)", (2, 5, 3), [0, 1])
    assert_refused(loss, "needs classes from 0 to 2, got 3 at [1]", (2, 3), [0, 3])
    assert_refused(loss, "needs classes from 0 to 2, got -1 at [0]", (2, 3), [-1, 0])
    loss.check((2, 3), target=np.array([0, 2], dtype=np.uint8))


@pytest.mark.parametrize("axis", [0, 2, -2])
def test_classes_on_the_batch_axis_or_none_are_refused(axis):
    message = f"needs the classes on one of the axes 1, -1 for a prediction (8, 3), got axis {axis}"
    assert_refused(CrossEntropy(axis), message, (8, 3), np.zeros(8, dtype=int))
