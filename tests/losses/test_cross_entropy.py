"""Cross-entropy of logits and integer classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from loss_laws import ClassLaws, assert_refused, few, seeds

from gradcheck.losses.cross_entropy import CrossEntropy


class OneHotDropped(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, _, weight = cache
        return (upstream * weight)[:, None] * np.exp(log_q)


class TargetEntryAlone(CrossEntropy):
    def backward(self, upstream, cache):
        return np.where(cache[1] > 0, super().backward(upstream, cache), 0)


class ClassAfterTheTarget(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, u, weight = cache
        return super().backward(upstream, (log_q, np.roll(u, 1, axis=1), weight))


class DividedByTheClasses(CrossEntropy):
    def backward(self, upstream, cache):
        return super().backward(upstream, cache) / cache[0].shape[1]


class ProbabilityInIgnoredRows(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, u, _ = cache
        return np.exp(log_q) * (upstream * cache[2])[:, None] - u * (upstream * cache[2])[:, None]


class ClassWeightOfTheRowForgotten(CrossEntropy):
    def backward(self, upstream, cache):
        log_q, u, weight = cache
        return super().backward(upstream, (log_q, (u > 0).astype(float), weight))


IGNORING = {"ignore_index": 1}
WEIGHTS = {"class_weight": (0.5, 2.0, 1.0, 0.0)}


class TestLaws(ClassLaws):
    losses = (
        CrossEntropy(), CrossEntropy(axis=1), CrossEntropy(axis=-2, label_smoothing=0.1, **IGNORING),
        CrossEntropy(**WEIGHTS, **IGNORING, label_smoothing=0.3),
    )  # fmt: skip
    mistakes = (
        OneHotDropped(), TargetEntryAlone(), ClassAfterTheTarget(), DividedByTheClasses(),
        ProbabilityInIgnoredRows(**IGNORING), ClassWeightOfTheRowForgotten(class_weight=(0.5, 2.0, 1.0)),
    )  # fmt: skip

    def example(self, loss, rng, n):
        if loss in self.mistakes:
            return rng.normal(size=(n, 3)), np.arange(n) % 3
        return super().example(loss, rng, n)

    def row(self, loss, p, t):
        exponentials = [math.exp(x) for x in p]
        total, ε = sum(exponentials), loss.label_smoothing
        v = loss.class_weight or [1.0] * len(p)
        u = [v[k] * ((1 - ε) * (k == t) + ε / len(p)) for k in range(len(p))]
        loss_of_row = -sum(share * math.log(e / total) for share, e in zip(u, exponentials, strict=True))
        return loss_of_row, [e / total * sum(u) - share for share, e in zip(u, exponentials, strict=True)]

    def perfect(self, loss, p, t):
        if loss.label_smoothing == 0 or loss.class_weight:
            return None
        y = loss.shares(p, t, loss.label_smoothing)
        return (np.log(np.where(y > 0, y, 1)),)

    def torch_losses(self, loss, torch, p, t):
        return torch.nn.functional.cross_entropy(
            p.movedim(loss.axis, 1), t, reduction="none", label_smoothing=loss.label_smoothing,
            **self.torch_options(loss, torch),
        )  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("soft", [False, True])
def test_the_mean_is_pytorchs(soft):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(4)
    p, v = rng.normal(size=(6, 3)), (0.5, 2.0, 3.0)
    t = rng.dirichlet(np.ones(3), 6) if soft else np.array([0, 2, -100, 1, 1, -100])
    loss = CrossEntropy(class_weight=v, label_smoothing=0.2)
    losses, cache = loss.forward(p, t)
    divisor = loss.divisor("mean", losses_shape=(6,), target=t)
    tp = torch.tensor(p, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        tp, torch.tensor(t), weight=torch.tensor(v, dtype=torch.float64), label_smoothing=0.2
    )
    expected.backward()
    assert losses.sum() / divisor == pytest.approx(expected.item(), rel=1e-13)
    gradient = loss.backward(np.full(6, 1 / divisor), cache)
    np.testing.assert_allclose(gradient, tp.grad.numpy(), rtol=1e-12, atol=1e-15)


@few
@given(seeds)
def test_probabilities_of_one_class_are_that_class(seed):
    rng = np.random.default_rng(seed)
    p, t, dl = rng.normal(size=(4, 2, 3)), rng.integers(0, 3, (4, 2)), rng.normal(size=(4, 2))
    loss = CrossEntropy(class_weight=(0.5, 2.0, 1.0), label_smoothing=0.1)
    losses, cache = loss.forward(p, t)
    soft, soft_cache = loss.forward(p, np.eye(3)[t])
    np.testing.assert_array_equal(losses, soft)
    np.testing.assert_array_equal(loss.backward(dl, cache), loss.backward(dl, soft_cache))


def test_probabilities_are_predicted_best_by_their_logarithm():
    t = np.array([[0.2, 0.5, 0.3]])
    losses, cache = CrossEntropy().forward(np.log(t), t)
    np.testing.assert_allclose(losses, -(t * np.log(t)).sum(), rtol=1e-14)
    np.testing.assert_allclose(CrossEntropy().backward(np.ones(1), cache), 0, atol=1e-16)


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


def test_probabilities_that_do_not_fit_are_refused():
    assert_refused(CrossEntropy(), "needs integer classes as target, got float64", (1, 2), [[0.0, 1.5]])
    message = "needs a target of shape (1,) for a prediction (1, 2), got (1, 2); probabilities must be real numbers, "
    assert_refused(CrossEntropy(), f"{message}not integers", (1, 2), [[0, 1]])
