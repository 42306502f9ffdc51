"""The greatest absolute error among a sample's outputs."""

from __future__ import annotations

import numpy as np
from loss_laws import LossLaws, assert_refused

from gradcheck.losses.max_absolute_error import MaxAbsoluteError


class SignLost(MaxAbsoluteError):  # noqa: N818 - a loss, no exception
    def backward(self, upstream, cache):
        shape, place, slope, weight = cache
        return super().backward(upstream, (shape, place, -slope, weight))


class EveryErrorMoves(MaxAbsoluteError):  # noqa: N818 - a loss, no exception
    def backward(self, upstream, cache):
        shape, _, slope, weight = cache
        return np.broadcast_to((weight * upstream * slope)[:, None], shape).copy()


class TestLaws(LossLaws):
    losses = (MaxAbsoluteError(), MaxAbsoluteError(output_weight=(3.0, 1.0)))
    mistakes = (SignLost(), EveryErrorMoves())
    linear = True

    def example(self, loss, rng, n):
        return rng.normal(size=(n, 2)), rng.normal(size=(n, 2))

    def loop(self, loss, p, t, w, dl):
        v = loss.output_weight or (1.0, 1.0)
        losses, gradient = np.empty(len(p)), np.zeros(p.shape)
        for i in range(len(p)):
            errors = [float(p[i, j] - t[i, j]) for j in range(2)]
            k = max(range(2), key=lambda j, errors=errors: v[j] * abs(errors[j]))
            losses[i] = w[i] * v[k] * abs(errors[k])
            gradient[i, k] = dl[i] * w[i] * v[k] * (1 if errors[k] > 0 else -1)
        return losses, gradient

    def perfect(self, loss, p, t):
        return (t,)

    def torch_losses(self, loss, torch, p, t):
        v = torch.tensor(loss.output_weight or (1.0,), dtype=torch.float64)
        return torch.linalg.vector_norm(v * (p - t), ord=float("inf"), dim=1)


def test_branches_name_the_output_and_its_side():
    p = np.array([[1.0, -2.0], [2.0, 1.0], [2.0, -2.0], [0.0, 0.0]])
    assert MaxAbsoluteError().branches(p, np.zeros((4, 2))).tolist() == [2, 1, -1, -1]


def test_a_target_that_does_not_fit_is_refused():
    message = "needs a target of the prediction's shape (4, 2), got (4,)"
    assert_refused(MaxAbsoluteError(), message, (4, 2), np.zeros(4))
