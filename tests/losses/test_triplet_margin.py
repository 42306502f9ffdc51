"""How much nearer than an embedding that differs the one that is alike must be."""

from __future__ import annotations

import numpy as np
import pytest
from loss_laws import LossLaws

from gradcheck.errors import ShapeError
from gradcheck.losses.triplet_margin import TripletMargin


class AnchorOfThePositiveAlone(TripletMargin):
    def backward(self, upstream, cache):
        _, db, dn = super().backward(upstream, cache)
        return -db, db, dn


class SatisfiedTripletsMoveToo(TripletMargin):
    def backward(self, upstream, cache):
        active, *rest = cache
        return super().backward(upstream, (np.ones_like(active), *rest))


class TestLaws(LossLaws):
    losses = (TripletMargin(), TripletMargin(p=1.0, margin=0.5), TripletMargin(p=3.0, swap=True))
    mistakes = (AnchorOfThePositiveAlone(), SatisfiedTripletsMoveToo(margin=-5.0))
    predictions = 3
    linear = True

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 3)) for _ in range(3))

    def loop(self, loss, a, b, n, w, dl):
        def distance(x, y):
            e = [u - v + loss.eps for u, v in zip(x.tolist(), y.tolist(), strict=True)]
            d = sum(abs(z) ** loss.p for z in e) ** (1 / loss.p)
            return d, np.array([(1 if z > 0 else -1) * (abs(z) / d) ** (loss.p - 1) for z in e])

        losses, (da, db, dn) = np.zeros(len(a)), np.zeros((3, *a.shape))
        for i in range(len(a)):
            (near, g), (far, h), (other, k) = distance(a[i], b[i]), distance(a[i], n[i]), distance(b[i], n[i])
            swapped = loss.swap and other < far
            z = near - (other if swapped else far) + loss.margin
            if z > 0:
                losses[i] = w[i] * z
                da[i] = dl[i] * w[i] * (g - (0 if swapped else h))
                db[i] = -dl[i] * w[i] * (g + (k if swapped else 0))
                dn[i] = dl[i] * w[i] * (k if swapped else h)
        return losses, (da, db, dn)

    def perfect(self, loss, a, b, n):
        return a, a, a + 9

    def torch_losses(self, loss, torch, a, b, n):
        options = {"margin": loss.margin, "p": loss.p, "eps": loss.eps, "swap": loss.swap, "reduction": "none"}
        return torch.nn.functional.triplet_margin_loss(a, b, n, **options)


def test_equal_embeddings_have_a_loss_but_no_gradient_where_there_is_no_derivative():
    x = np.ones((1, 2))
    losses, cache = TripletMargin(eps=0.0).forward(x, x, x)
    assert losses.tolist() == [1.0]
    assert not any(gradient.any() for gradient in TripletMargin(eps=0.0).backward(np.ones(1), cache))
    assert TripletMargin(eps=0.0).branches(x, x, x).tolist() == [[1, -1, -1]]


def test_branches_name_the_pieces():
    a, b, n = np.zeros((2, 1)), np.array([[1.0], [0.5]]), np.array([[0.5], [9.0]])
    assert TripletMargin().branches(a, b, n).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert TripletMargin(p=1.0, swap=True).branches(a, b, n)[0].tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"needs predictions of one shape, got \(2, 3\) and \(2, 3\) and \(2, 4\)"):
        TripletMargin().check((2, 3), (2, 3), (2, 4))
