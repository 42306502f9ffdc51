"""How far the angle of two embeddings is from what a pair should have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import LossLaws

from gradcheck.errors import ShapeError
from gradcheck.losses.cosine_embedding import CosineEmbedding


class NormHeldConstant(CosineEmbedding):
    def backward(self, upstream, cache):
        u, v, roots, d, slope, weight = cache
        return super().backward(upstream, (u, v, roots, np.ones_like(d), slope, weight))


class OneEmbeddingAlone(CosineEmbedding):
    def backward(self, upstream, cache):
        da, db = super().backward(upstream, cache)
        return da, 0 * db


class TestLaws(LossLaws):
    losses = (CosineEmbedding(), CosineEmbedding(margin=0.2))
    mistakes = (NormHeldConstant(), OneEmbeddingAlone())
    predictions = 2

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), np.array([1.0, -1.0, -1.0, 1.0])[:n]

    def loop(self, loss, a, b, t, w, dl):
        losses, da, db = np.zeros(len(a)), np.zeros(a.shape), np.zeros(a.shape)
        for i in range(len(a)):
            A, B = (math.sqrt(sum(x * x for x in row.tolist()) + 1e-12) for row in (a[i], b[i]))
            c = sum(x * y for x, y in zip(a[i].tolist(), b[i].tolist(), strict=True)) / A / B
            slope = -1 if t[i] == 1 else 1 if c > loss.margin else 0
            losses[i] = w[i] * (1 - c if t[i] == 1 else max(0, c - loss.margin))
            for k in range(3):
                da[i, k] = dl[i] * w[i] * slope * (b[i, k] / A / B - c * a[i, k] / A**2)
                db[i, k] = dl[i] * w[i] * slope * (a[i, k] / A / B - c * b[i, k] / B**2)
        return losses, (da, db)

    def perfect(self, loss, a, b, t):
        return 1e3 * a, 1e3 * t[:, None] * a

    def torch_losses(self, loss, torch, a, b, t):
        return torch.nn.functional.cosine_embedding_loss(a, b, t, margin=loss.margin, reduction="none")

    def test_a_nan_in_the_prediction_is_not_hidden(self):
        losses, _ = CosineEmbedding().forward(np.full((1, 2), np.nan), np.ones((1, 2)), np.ones(1))
        assert np.isnan(losses).all()


def test_an_embedding_of_zero_has_a_finite_gradient():
    losses, cache = CosineEmbedding().forward(np.zeros((1, 2)), np.array([[3.0, 4.0]]), np.ones(1))
    assert losses.tolist() == [1.0]
    assert np.isfinite(CosineEmbedding().backward(np.ones(1), cache)).all()


def test_no_digit_is_lost_where_the_embeddings_are_alike():
    t = 1e-6
    losses, cache = CosineEmbedding().forward(np.array([[1.0, 0.0]]), np.array([[1.0, t]]), np.ones(1))
    assert losses[0] == pytest.approx(t**2 / 2 - 3 * t**4 / 8 + 1e-12, rel=1e-9)
    da, _ = CosineEmbedding().backward(np.ones(1), cache)
    assert da[0, 1] == pytest.approx(-t, rel=1e-9)


def test_branches_name_the_side_of_the_margin():
    a, b = np.array([[1.0, 0.0]] * 3), np.array([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    assert CosineEmbedding().branches(a, b, -np.ones(3)).tolist() == [-1, 1, 0]
    assert CosineEmbedding().branches(a, b, np.ones(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("shapes", "target", "message"),
    [
        (((2, 3), (2, 4)), [1, 1], "needs predictions of one shape, got (2, 3) and (2, 4)"),
        (((2,), (2,)), [1, 1], "needs 2 embeddings (N, D), got (2,)"),
        (((2, 3), (2, 3)), [[1], [1]], "needs a target of shape (2,), got (2, 1)"),
        (((2, 3), (2, 3)), [1, 0], "needs a target of -1 or 1, got 0 at [1]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(shapes, target, message):
    with pytest.raises(ShapeError) as refusal:
        CosineEmbedding().check(*shapes, target=np.array(target))
    assert str(refusal.value) == message
