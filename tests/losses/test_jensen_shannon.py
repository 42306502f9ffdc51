"""Jensen-Shannon divergence of a target distribution and predicted log-probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from loss_laws import PointwiseLaws, assert_refused

from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.losses.jensen_shannon import JensenShannon


class HalfForgotten(JensenShannon):
    def backward(self, upstream, cache):
        return 2 * super().backward(upstream, cache)


class AgainstTheTarget(JensenShannon):
    def backward(self, upstream, cache):
        p, above, weight = cache
        return super().backward(upstream, (p, 2 * above, weight))


class TestLaws(PointwiseLaws):
    losses = (JensenShannon(),)
    mistakes = (HalfForgotten(), AgainstTheTarget())
    heads = (LogSoftmax(),)
    integer_targets = True

    def example(self, loss, rng, n):
        return np.log(rng.dirichlet(np.ones(3), n)), rng.dirichlet(np.ones(3), n)

    def scalar(self, loss, p, t):
        q, m = math.exp(p), (math.exp(p) + t) / 2
        return (t * math.log(t / m) + q * math.log(q / m)) / 2, q * math.log(q / m) / 2

    def perfect(self, loss, p, t):
        return None

    def torch_losses(self, loss, torch, p, t):
        m = (p.exp() + t) / 2
        kl_div = torch.nn.functional.kl_div
        return (kl_div(m.log(), t, reduction="none") + kl_div(m.log(), p, reduction="none", log_target=True)) / 2


def test_it_is_zero_for_the_target_and_log_2_for_a_disjoint_one():
    t = np.array([[0.2, 0.5, 0.3]])
    losses, cache = JensenShannon().forward(np.log(t), t)
    np.testing.assert_allclose(losses, 0, atol=1e-16)
    np.testing.assert_allclose(JensenShannon().backward(np.ones((1, 3)), cache), 0, atol=1e-16)
    far, _ = JensenShannon().forward(np.array([[0.0, -800.0]]), np.array([[0.0, 1.0]]))
    assert far.sum() == pytest.approx(math.log(2))


def test_a_target_that_does_not_fit_is_refused():
    assert_refused(JensenShannon(), "needs a target of at least 0, got -0.5 at [1]", (2,), [1.0, -0.5])
