"""Connectionist temporal classification: all alignments of a short sequence with a long one."""

from __future__ import annotations

import math
from itertools import groupby, product

import numpy as np
import pytest
from loss_laws import LossLaws

from gradcheck.errors import ShapeError
from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.losses.ctc import Ctc


class AsIfBehindASoftmax(Ctc):
    def backward(self, upstream, cache):
        """What PyTorch hands back: right only where a log_softmax stands in front."""
        return super().backward(upstream, cache) + 0.1 * upstream[:, None, None]


class BestStateAlone(Ctc):
    def backward(self, upstream, cache):
        path, emitted, alpha, log_z, weight = cache
        best = np.where(alpha == alpha.max(axis=2, keepdims=True), alpha, -1e30)
        return super().backward(upstream, (path, emitted, best, log_z, weight))


class TestLaws(LossLaws):
    losses = (Ctc(), Ctc(blank=2))
    mistakes = (AsIfBehindASoftmax(), BestStateAlone())
    heads = (LogSoftmax(),)
    integer_targets = False
    linear = True

    def example(self, loss, rng, n):
        p, other = np.log(rng.dirichlet(np.ones(3), (n, 4))), 2 - loss.blank
        return p, np.array([[1, 1], [1, other], [other, 1], [1, 1]])[:n]

    def loop(self, loss, p, t, w, dl):
        losses, gradient = np.empty(len(p)), np.zeros(p.shape)
        for i in range(len(p)):
            scores = p[i].tolist()
            paths = [
                (path, math.exp(sum(scores[step][k] for step, k in enumerate(path))))
                for path in product(range(3), repeat=len(scores))
                if [k for k, _ in groupby(path) if k != loss.blank] == t[i].tolist()
            ]
            z = sum(probability for _, probability in paths)
            losses[i] = -w[i] * math.log(z)
            for path, probability in paths:
                for step, k in enumerate(path):
                    gradient[i, step, k] -= dl[i] * w[i] * probability / z
        return losses, gradient

    def perfect(self, loss, p, t):
        return None

    def torch_losses(self, loss, torch, p, t):
        """Its gradient is right behind a log_softmax alone: there it is compared, and nothing is left to the caller."""
        n, steps, _ = p.shape
        lengths = torch.full((n,), steps), torch.full((n,), t.shape[1])
        ctc_loss = torch.nn.functional.ctc_loss
        losses = ctc_loss(p.detach().movedim(1, 0), t, *lengths, blank=loss.blank, reduction="none")
        own, cache = loss.forward(p.detach().numpy(), t.numpy())
        np.testing.assert_allclose(own, losses.numpy(), rtol=1e-12)
        logits = torch.randn(n, steps, 3, dtype=torch.float64, requires_grad=True)
        behind = logits.log_softmax(dim=2)
        ctc_loss(behind.movedim(1, 0), t, *lengths, blank=loss.blank, reduction="sum").backward()
        _, cache = loss.forward(behind.detach().numpy(), t.numpy())
        y = behind.exp().detach().numpy()
        dp = loss.backward(np.ones(n), cache)
        np.testing.assert_allclose(dp - y * dp.sum(axis=2, keepdims=True), logits.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("lengths", [(4, 2), (3, 1), (2, 2), (3, 0)])
def test_what_lies_behind_the_lengths_counts_for_nothing(lengths):
    steps, length = lengths
    p = np.log(np.random.default_rng(0).dirichlet(np.ones(3), (1, 4)))
    whole, cache = Ctc().forward(p, np.array([[1, 2]]), np.array([steps]), np.array([length]))
    alone, part = Ctc().forward(p[:, :steps], np.array([[1, 2]])[:, :length])
    np.testing.assert_allclose(whole, alone, rtol=1e-14)
    gradient = Ctc().backward(np.ones(1), cache)
    np.testing.assert_allclose(gradient[:, :steps], Ctc().backward(np.ones(1), part), rtol=1e-13)
    assert not gradient[:, steps:].any()


def test_a_target_without_alignment_is_refused_or_has_no_loss():
    p, t = np.zeros((2, 2, 3)), np.array([[1, 2], [1, 1]])
    with pytest.raises(
        ShapeError, match=r"needs at least 3 steps for the target of sample 1, got 2 \(or zero_infinity"
    ):
        Ctc().check(p.shape, target=t)
    loss = Ctc(zero_infinity=True)
    loss.check(p.shape, target=t)
    losses, cache = loss.forward(p, t)
    assert losses[1] == 0
    gradient = loss.backward(np.ones(2), cache)
    assert gradient[0].any()
    assert not gradient[1].any()


@pytest.mark.parametrize(
    ("loss", "shape", "data", "message"),
    [
        (Ctc(), (2, 3), {}, "needs a prediction (N, T, classes), got (2, 3)"),
        (Ctc(3), (1, 4, 3), {}, "needs a blank among the classes from 0 to 2, got 3"),
        (Ctc(), (1, 4, 3), {"target": [[1.0]]}, "needs integer classes (1, S) as target, got float64 (1, 1)"),
        (Ctc(), (1, 4, 3), {"target": [[1, 0]]},
         "needs classes from 0 to 2 other than the blank 0, got 0 at [0, 1]"),
        (Ctc(), (1, 4, 3), {"input_lengths": [5]}, "needs input_lengths from 1 to 4, got 5 at [0]"),
        (Ctc(), (1, 4, 3), {"target_lengths": [[1]]}, "needs integers (1,) as target_lengths, got int64 (1, 1)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(loss, shape, data, message):
    with pytest.raises(ShapeError) as refusal:
        loss.check(shape, **{name: np.array(value) for name, value in {"target": [[1, 2]], **data}.items()})
    assert str(refusal.value) == message
