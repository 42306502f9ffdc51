"""What every loss in its elementwise form must obey.

The test file of a loss subclasses `LossLaws` and says what is its own: examples, an obvious loop, PyTorch's name for
it, and mistakes to be found.
"""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import check

from gradcheck.errors import ShapeError
from gradcheck.layers.linear import Linear
from gradcheck.losses._base import Loss

seeds = st.integers(0, 2**32 - 1)
few = settings(laws.few, suppress_health_check=[HealthCheck.differing_executors])
H = 1e-30


class LossLaws:
    """Subclass as `TestLaws`."""

    #: The loss, once with every option that changes what it computes.
    losses: ClassVar[tuple[Loss, ...]]
    #: Losses whose class overrides `backward` alone, wrongly.
    mistakes: ClassVar[tuple[Loss, ...]]

    def example(self, loss: Loss, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """A prediction and a target of n samples."""
        raise NotImplementedError

    def loop(
        self, loss: Loss, p: np.ndarray, t: np.ndarray, w: list[float], dl: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Losses, and the gradient under the upstream gradient dl, one scalar at a time."""
        raise NotImplementedError

    def torch_losses(self, loss: Loss, torch: Any, p: Any, t: Any) -> Any:
        """PyTorch's losses without a reduction."""
        raise NotImplementedError

    def drawn(self, loss, seed, n=3):
        """Read-only prediction, target, weights, and an upstream gradient of the losses' shape."""
        rng = np.random.default_rng(seed)
        prediction, target = self.example(loss, rng, n)
        weight = rng.normal(size=n)
        losses, _ = loss.forward(prediction, target)
        arrays = (prediction, target, weight, rng.normal(size=losses.shape))
        for array in arrays:
            array.flags.writeable = False
        return arrays

    @few
    @given(seeds)
    def test_is_the_obvious_loop(self, seed):
        for loss in self.losses:
            p, t, w, dl = self.drawn(loss, seed)
            losses, cache = loss.forward(p, t, sample_weight=w)
            expected, gradient = self.loop(loss, p, t, w.tolist(), dl)
            np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(loss.backward(dl, cache), gradient, rtol=1e-12, atol=1e-14)

    @pytest.mark.torch
    def test_is_pytorchs(self):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        for loss in self.losses:
            p, t, _, dl = self.drawn(loss, 11)
            losses, cache = loss.forward(p, t)
            tp = torch.tensor(p, requires_grad=True)
            expected = self.torch_losses(loss, torch, tp, torch.tensor(t))
            expected.backward(torch.tensor(dl))
            np.testing.assert_allclose(losses, expected.detach().numpy(), rtol=1e-12)
            np.testing.assert_allclose(loss.backward(dl, cache), tp.grad.numpy(), rtol=1e-12, atol=1e-15)

    @few
    @given(seeds, st.sampled_from([1.0, 50.0, 800.0]))
    def test_the_gradient_is_the_complex_step_at_any_size(self, seed, size):
        for loss in self.losses:
            p, t, w, dl = self.drawn(loss, seed)
            p = p * size
            direction = np.random.default_rng([seed, 1]).normal(size=p.shape)
            moved, _ = loss.forward(p + 1j * H * direction, t, sample_weight=w)
            losses, cache = loss.forward(p, t, sample_weight=w)
            gradient = loss.backward(dl, cache)
            assert np.isfinite(losses).all()
            np.testing.assert_allclose(moved.real, losses, rtol=1e-14, atol=1e-14)
            scale = np.abs(gradient * direction).sum()
            np.testing.assert_allclose((dl * moved.imag).sum() / H, (gradient * direction).sum(), atol=1e-14 * scale)

    @few
    @given(seeds)
    def test_a_weight_of_two_is_the_sample_twice(self, seed):
        for loss in self.losses:
            p, t, _, dl = self.drawn(loss, seed)
            weighted, cache = loss.forward(p, t, sample_weight=np.array([1.0, 2.0, 1.0]))
            twice = [0, 1, 1, 2]
            repeated, twice_cache = loss.forward(p[twice], t[twice])
            np.testing.assert_allclose(weighted.sum(), repeated.sum(), rtol=1e-13)
            gradient, halves = loss.backward(dl, cache), loss.backward(dl[twice], twice_cache)
            np.testing.assert_allclose(gradient[[0, 2]], halves[[0, 3]], rtol=1e-15)
            np.testing.assert_allclose(gradient[1], halves[1] + halves[2], rtol=1e-15)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_dtype_of_the_prediction_is_kept(self, dtype):
        for loss in self.losses:
            p, t, w, dl = self.drawn(loss, 5)
            for target in (t, np.zeros_like(t, dtype=int)):
                losses, cache = loss.forward(p.astype(dtype), target, sample_weight=w)
                assert losses.dtype == dtype
                assert loss.backward(dl.astype(dtype), cache).dtype == dtype
                moved, _ = loss.forward(p.astype(np.result_type(dtype, "complex64")), target, sample_weight=w)
                assert moved.real.dtype == dtype

    def test_a_nan_in_the_prediction_is_not_hidden(self):
        for loss in self.losses:
            p, t, _, dl = self.drawn(loss, 5)
            losses, cache = loss.forward(np.full_like(p, np.nan), t)
            assert np.isnan(losses).all()
            assert np.isnan(loss.backward(dl, cache)).all()

    def checked(self, loss):
        """The report on an affine layer followed by the loss, weighted."""
        rng = np.random.default_rng(2)
        prediction, target = self.example(loss, rng, 4)
        x = rng.normal(size=(*prediction.shape[:-1], 3))
        weight = rng.uniform(1, 2, 4)
        layer = Linear(prediction.shape[-1])
        return check(layer, x=x, loss=loss, target=target, extra={"sample_weight": weight})

    def test_the_checker_passes_it(self):
        for loss in self.losses:
            laws.assert_passes(self.checked(loss))

    def test_planted_mistakes_are_caught(self):
        for loss in self.mistakes:
            laws.assert_caught(self.checked(loss), "loss")

    def test_a_weight_for_each_sample_is_refused_in_any_other_shape(self):
        for loss in self.losses:
            prediction, target, _, _ = self.drawn(loss, 5)
            shape = prediction.shape
            assert_refused(loss, "needs a sample_weight of shape (3,), got (3, 1)", shape, target, np.ones((3, 1)))
            assert_refused(loss, "needs a sample_weight of shape (3,), got ()", shape, target, 1.0)
            assert_refused(loss, "needs a finite sample_weight, got inf at [1]", shape, target, [1.0, np.inf, 0.0])
            assert_refused(loss, "needs a sample_weight of real numbers, got complex128", shape, target, [1j, 0, 0])
            loss.check(shape, target=target, sample_weight=np.array([1, -2, 0]))


def assert_refused(
    loss: Loss, message: str, prediction_shape: tuple[int, ...], target: Any, weight: Any = None
) -> None:
    """`check` refuses the data with exactly this message."""
    data = {"target": np.asarray(target)} | ({} if weight is None else {"sample_weight": np.asarray(weight)})
    with pytest.raises(ShapeError) as refusal:
        loss.check(prediction_shape, **data)
    assert str(refusal.value) == message
