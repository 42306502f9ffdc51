"""Half the squared distance of a sample's outputs from its target."""

from __future__ import annotations

import numpy as np
from loss_laws import LossLaws, assert_refused

from gradcheck.losses.quadratic import Quadratic


class TwoTooMany(Quadratic):
    def backward(self, upstream, cache):
        return 2 * super().backward(upstream, cache)


class OutputWeightForgotten(Quadratic):
    def backward(self, upstream, cache):
        error, _, weight = cache
        return super().backward(upstream, (error, None, weight))


class TestLaws(LossLaws):
    losses = (Quadratic(), Quadratic(output_weight=(2.0, 0.5)))
    mistakes = (TwoTooMany(), OutputWeightForgotten(output_weight=(2.0, 1.0)))

    def example(self, loss, rng, n):
        shape = (n, 2) if loss.output_weight else (n, 3, 2)
        return rng.normal(size=shape), rng.normal(size=shape)

    def loop(self, loss, p, t, w, dl):
        losses, gradient = np.zeros(len(p)), np.empty(p.shape)
        v = loss.output_weight or (1.0,) * p.shape[-1]
        for place in np.ndindex(*p.shape):
            i, error = place[0], float(p[place] - t[place])
            losses[i] += w[i] * v[place[-1]] * error * error / 2
            gradient[place] = dl[i] * w[i] * v[place[-1]] * error
        return losses, gradient

    def perfect(self, loss, p, t):
        return (t,)

    def torch_losses(self, loss, torch, p, t):
        v = torch.tensor(loss.output_weight or (1.0,), dtype=torch.float64)
        return (v * torch.nn.functional.mse_loss(p, t, reduction="none") / 2).flatten(1).sum(dim=1)


def test_a_target_that_does_not_fit_is_refused():
    message = "needs a target of the prediction's shape (4, 2), got (4,)"
    assert_refused(Quadratic(), message, (4, 2), np.zeros(4))
    message = "needs one output_weight for each of the 2 outputs, got 1"
    assert_refused(Quadratic(output_weight=(1.0,)), message, (4, 2), np.zeros((4, 2)))
