"""What every loss in its elementwise form must obey.

The test file of a loss subclasses `LossLaws` and says what is its own: examples, an obvious loop, PyTorch's name for
it, the prediction that is best, and mistakes to be found. `PointwiseLaws` needs the formula of one number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import laws
import numpy as np
import pytest
from core_nets import graph
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ALL, judged

from gradcheck.errors import ShapeError
from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.layers.linear import Linear
from gradcheck.losses._base import Loss
from gradcheck.network import Term

seeds = st.integers(0, 2**32 - 1)
few = settings(laws.few, max_examples=8)
H = 1e-30
EQUIVALENCES = tuple(check for check in ALL if check not in ("gradient", "vacuity"))


class LossLaws:
    """Subclass as `TestLaws`."""

    #: The loss, once with every option that changes what it computes.
    losses: ClassVar[tuple[Loss, ...]]
    #: Losses whose class overrides `backward` alone, wrongly.
    mistakes: ClassVar[tuple[Loss, ...]]
    #: How many of the arrays of an example are predictions; one behind them is the target.
    predictions: ClassVar[int] = 1
    #: Factors of the predictions at which the laws must hold: those that keep them in the loss's domain.
    sizes: ClassVar[tuple[float, ...]] = (1.0, 50.0, 800.0)
    #: Whether entries of the gradient do not depend on the predictions.
    linear: ClassVar[bool] = False
    #: What brings a number into the loss's domain, for each prediction.
    heads: ClassVar[Sequence[Layer | None]] = (None, None, None)
    #: Whether integers are targets, too.
    integer_targets: ClassVar[bool] = True

    def example(self, loss: Loss, rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
        """Predictions, and a target if there is one, of n samples."""
        raise NotImplementedError

    def loop(self, loss: Loss, *arrays: Any) -> tuple[np.ndarray, Any]:
        """Predictions, target, weights, upstream gradient -> losses, gradients; one scalar at a time."""
        raise NotImplementedError

    def torch_losses(self, loss: Loss, torch: Any, *arrays: Any) -> Any:
        """PyTorch's losses without a reduction; None where it has none."""
        raise NotImplementedError

    def perfect(self, loss: Loss, *arrays: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """The predictions with the smallest loss; None where there is none, because it can always be smaller."""
        raise NotImplementedError

    def drawn(self, loss, seed, n=3):
        """Read-only predictions, the target by name, weights, and an upstream gradient of the losses' shape."""
        rng = np.random.default_rng(seed)
        arrays = self.example(loss, rng, n)
        weight = rng.normal(size=n)
        predictions, data = self.parts(arrays)
        dl = rng.normal(size=loss.forward(*predictions, **data)[0].shape)
        for array in (*arrays, weight, dl):
            array.flags.writeable = False
        return predictions, data, weight, dl

    def parts(self, arrays):
        """(predictions, data by name)."""
        rest = arrays[self.predictions :]
        return tuple(arrays[: self.predictions]), {"target": rest[0]} if rest else {}

    @few
    @given(seeds)
    def test_is_the_obvious_loop(self, seed):
        for loss in self.losses:
            p, data, w, dl = self.drawn(loss, seed)
            losses, cache = loss.forward(*p, **data, sample_weight=w)
            expected, gradients = self.loop(loss, *p, *data.values(), w.tolist(), dl)
            np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-13)
            for found, one in zip(several(loss.backward(dl, cache)), several(gradients), strict=True):
                np.testing.assert_allclose(found, one, rtol=1e-11, atol=1e-13)

    @pytest.mark.torch
    def test_is_pytorchs(self):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        for loss in self.losses:
            p, data, _, dl = self.drawn(loss, 11)
            leaves = [torch.tensor(each, requires_grad=True) for each in p]
            expected = self.torch_losses(loss, torch, *leaves, *map(torch.tensor, data.values()))
            if expected is None:
                pytest.skip("PyTorch does not have it")
            losses, cache = loss.forward(*p, **data)
            expected.backward(torch.tensor(dl))
            np.testing.assert_allclose(losses, expected.detach().numpy(), rtol=1e-10)
            for found, leaf in zip(several(loss.backward(dl, cache)), leaves, strict=True):
                np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)

    @few
    @given(seeds, st.integers(0, 9))
    def test_the_gradient_is_the_complex_step_at_any_size(self, seed, turn):
        for loss in self.losses:
            p, data, w, dl = self.drawn(loss, seed)
            p = [each * self.sizes[turn % len(self.sizes)] for each in p]
            rng = np.random.default_rng([seed, 1])
            directions = [rng.normal(size=each.shape) for each in p]
            stepped = [each + 1j * H * direction for each, direction in zip(p, directions, strict=True)]
            moved, _ = loss.forward(*stepped, **data, sample_weight=w)
            losses, cache = loss.forward(*p, **data, sample_weight=w)
            slopes = [g * d for g, d in zip(several(loss.backward(dl, cache)), directions, strict=True)]
            assert np.isfinite(losses).all()
            np.testing.assert_allclose(moved.real, losses, rtol=1e-13, atol=1e-13)
            scale = sum(np.abs(slope).sum() for slope in slopes)
            found = sum(slope.sum() for slope in slopes)
            np.testing.assert_allclose((dl * moved.imag).sum() / H, found, rtol=0, atol=1e-13 * scale)

    @few
    @given(seeds)
    def test_a_weight_of_two_is_the_sample_twice(self, seed):
        twice = [0, 1, 1, 2]
        for loss in self.losses:
            p, data, _, dl = self.drawn(loss, seed)
            weighted, cache = loss.forward(*p, **data, sample_weight=np.array([1.0, 2.0, 1.0]))
            again = {name: array[twice] for name, array in data.items()}
            repeated, twice_cache = loss.forward(*[each[twice] for each in p], **again)
            np.testing.assert_allclose(weighted.sum(), repeated.sum(), rtol=1e-13, atol=1e-13)
            whole, halves = several(loss.backward(dl, cache)), several(loss.backward(dl[twice], twice_cache))
            for gradient, half in zip(whole, halves, strict=True):
                np.testing.assert_allclose(gradient[[0, 2]], half[[0, 3]], rtol=1e-14, atol=1e-15)
                np.testing.assert_allclose(gradient[1], half[1] + half[2], rtol=1e-14, atol=1e-15)
            by_weights = replace(loss, mean_over="weights")
            weights = {"sample_weight": np.array([1.0, 2.0, 1.0]), **data}
            assert by_weights.divisor("mean", losses_shape=weighted.shape, **weights) == pytest.approx(
                by_weights.divisor("mean", losses_shape=repeated.shape, **again)
            )

    @few
    @given(seeds)
    def test_the_best_prediction_is_the_minimum(self, seed):
        for loss in self.losses:
            p, data, _, dl = self.drawn(loss, seed)
            best = self.perfect(loss, *p, *data.values())
            if best is None:
                continue
            losses, cache = loss.forward(*best, **data)
            for factor in (1.0, 0.01):
                nearby = [b + factor * (each - b) for each, b in zip(p, best, strict=True)]
                assert (loss.forward(*nearby, **data)[0] >= losses - 1e-14).all()
            for gradient in several(loss.backward(np.abs(dl), cache)):
                np.testing.assert_allclose(gradient, 0, atol=1e-14)

    def test_what_the_mask_drops_changes_nothing(self):
        for loss in self.losses:
            p, data, _, dl = self.drawn(loss, 5)
            plain, _ = loss.forward(*p, **data)
            mask = np.random.default_rng(3).integers(0, 2, plain.shape)
            mask.flat[0], mask.flat[-1] = 1, 0
            masked, cache = loss.forward(*p, **data, mask=mask)
            np.testing.assert_array_equal(masked, plain * mask)
            alone = several(loss.backward(dl * mask, loss.forward(*p, **data)[1]))
            for found, expected in zip(several(loss.backward(dl, cache)), alone, strict=True):
                np.testing.assert_array_equal(found, expected)
            by_losses = replace(loss, mean_over="losses")
            kept = by_losses.divisor("mean", losses_shape=plain.shape, mask=mask, **data)
            assert kept == by_losses.divisor("mean", losses_shape=plain.shape, **data) - kept_less(loss, mask, data)
            assert "mask keeps" in by_losses.divisor_name("mean", losses_shape=plain.shape, mask=mask, **data)
            self.refuses(loss, "needs a mask that keeps at least one loss, got 0 everywhere", mask=0 * mask)
            self.refuses(loss, "needs a mask of 0 and 1", mask=2 * mask)
            shapes = " or ".join(map(str, dict.fromkeys([plain.shape[:1], plain.shape])))
            self.refuses(loss, f"needs a mask of shape {shapes}, got (3, 1, 1, 1)", mask=np.ones((3, 1, 1, 1)))

    def test_output_weights_multiply_the_losses_of_their_outputs(self):
        for loss in self.losses:
            if not hasattr(loss, "output_weight"):
                continue
            p, data, w, dl = self.drawn(loss, 5)
            v = np.arange(p[0].shape[-1]) + 0.5
            weighing = replace(loss, output_weight=tuple(v.tolist()), mean_over="weights")
            plain, plain_cache = loss.forward(*p, **data, sample_weight=w)
            losses, cache = weighing.forward(*p, **data, sample_weight=w)
            if losses.shape == p[0].shape:
                np.testing.assert_allclose(losses, v * plain, rtol=1e-14)
                gradients = several(loss.backward(v * dl, plain_cache))
                for found, expected in zip(several(weighing.backward(dl, cache)), gradients, strict=True):
                    np.testing.assert_allclose(found, expected, rtol=1e-14)
                total = weighing.divisor("mean", losses_shape=losses.shape)
                assert total == pytest.approx(v.sum() * losses.size / len(v))
                said = weighing.divisor_name("mean", losses_shape=losses.shape)
                assert said == "the sum of the weights of the losses"
            if loss == self.losses[0]:
                laws.assert_passes(self.checked(weighing))
            few_outputs = replace(loss, output_weight=(1.0,) * (len(v) + 1))
            self.refuses(few_outputs, f"needs one output_weight for each of the {len(v)} outputs, got {len(v) + 1}")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_dtype_of_the_prediction_is_kept(self, dtype):
        for loss in self.losses:
            p, data, w, dl = self.drawn(loss, 5)
            kinds = (
                [data]
                if not data or not self.integer_targets
                else [data, {"target": np.ones_like(data["target"], dtype=int)}]
            )
            for given_data in kinds:
                losses, cache = loss.forward(*[each.astype(dtype) for each in p], **given_data, sample_weight=w)
                assert losses.dtype == dtype
                assert {each.dtype for each in several(loss.backward(dl.astype(dtype), cache))} == {np.dtype(dtype)}
                wide = np.result_type(dtype, "complex64")
                moved, _ = loss.forward(*[each.astype(wide) for each in p], **given_data, sample_weight=w)
                assert moved.real.dtype == dtype

    def test_a_nan_in_the_prediction_is_not_hidden(self):
        for loss in self.losses:
            p, data, _, dl = self.drawn(loss, 5)
            losses, cache = loss.forward(*[np.full_like(each, np.nan) for each in p], **data)
            assert np.isnan(losses).all()
            assert self.linear or all(np.isnan(each).all() for each in several(loss.backward(dl, cache)))

    def checked(self, loss, **options) -> SpecReport:
        """The report on an affine layer in front of every prediction, perhaps a head, then the loss, weighted."""
        rng = np.random.default_rng(2)
        predictions, data = self.parts(self.example(loss, rng, 3))
        x = rng.normal(size=(*predictions[0].shape[:-1], 1))
        arrays = {"input": x, **data, "sample_weight": rng.uniform(1, 2, 3)}
        layers: list[Any] = []
        for k, (prediction, head) in enumerate(zip(predictions, self.heads, strict=False)):
            layers.append((f"p{k}", Linear(prediction.shape[-1]), ("input",)))
            layers += [(f"q{k}", head, (f"p{k}",))] if head else []
        names = tuple(
            f"{'q' if head else 'p'}{k}" for k, head in zip(range(len(predictions)), self.heads, strict=False)
        )
        named = {name: name for name in arrays if name != "input"}
        term = Term(loss, "mean", 1.0, names, named, trusted=False)
        return judged(graph(arrays, layers, [term], **options))

    def test_the_checker_passes_it(self):
        for loss in self.losses:
            laws.assert_passes(self.checked(loss))

    def test_a_batch_of_one_and_a_perfect_prediction_are_judged_in_words(self):
        """By the contract and the equivalences: nothing is accused, and no sentence has a NaN in it."""
        loss = self.losses[0]
        for n, is_best in ((1, False), (3, True)):
            predictions, data = self.parts(self.example(loss, np.random.default_rng(2), n))
            best = self.perfect(loss, *predictions, *data.values()) if is_best else predictions
            arrays = {f"p{k}": np.array(each) for k, each in enumerate(best or predictions)}
            term = Term(loss, "mean", 1.0, tuple(arrays), {name: name for name in data})
            report = judged(graph({**arrays, **data}, [], [term], inputs=tuple(arrays), checks=EQUIVALENCES))
            assert not report.findings
            assert {check.verdict for check in report.checks} <= {"pass", "not_applicable"}
            said = " ".join(s for check in report.checks for s in (check.reason, *check.measured.get("sentences", ())))
            assert "nan" not in said.split()

    def test_planted_mistakes_are_caught(self):
        """By the biases right in front of the loss alone: each of them stands for a column of predictions."""
        for loss in self.mistakes:
            sizes = [each.shape[-1] for each in self.parts(self.example(loss, np.random.default_rng(2), 3))[0]]
            entries = tuple((f"p{k}.bias", (j,)) for k, size in enumerate(sizes) for j in range(size))
            laws.assert_caught(self.checked(loss, checks=("gradient",), entries=entries), "loss")

    def refuses(self, loss: Loss, message: str, **weights: Any) -> None:
        """`check` refuses these weights for an example with exactly this message."""
        plain = replace(loss, output_weight=None) if hasattr(loss, "output_weight") else loss
        predictions, data, _, _ = self.drawn(plain, 5)
        with pytest.raises(ShapeError) as refusal:
            loss.check(*[each.shape for each in predictions], **data, **{k: np.asarray(w) for k, w in weights.items()})
        assert str(refusal.value) == message

    def test_a_weight_for_each_sample_is_refused_in_any_other_shape(self):
        for loss in self.losses:
            self.refuses(loss, "needs a sample_weight of shape (3,), got (3, 1)", sample_weight=np.ones((3, 1)))
            self.refuses(loss, "needs a sample_weight of shape (3,), got ()", sample_weight=1.0)
            self.refuses(loss, "needs a finite sample_weight, got inf at [1]", sample_weight=[1.0, np.inf, 0.0])
            message = "needs a sample_weight of real numbers, got complex128"
            self.refuses(loss, message, sample_weight=[1j, 0, 0])
            message = "needs weights with a positive sum, by which its mean divides, got -3"
            if loss.mean_over == "weights":
                self.refuses(loss, message, sample_weight=[-1, -1, -1])
            p, data, _, _ = self.drawn(loss, 5)
            loss.check(*[each.shape for each in p], **data, sample_weight=np.array([1, -2, 3]))


class PointwiseLaws(LossLaws):
    """A loss that treats each number on its own."""

    def scalar(self, loss: Loss, *numbers: float) -> tuple[float, ...]:
        """Predictions, target -> loss, derivatives with respect to each prediction."""
        raise NotImplementedError

    def loop(self, loss, *arrays):
        *numbers, w, dl = arrays
        losses = np.empty(dl.shape)
        gradients = tuple(np.empty(dl.shape) for _ in range(self.predictions))
        for place in np.ndindex(*dl.shape):
            found, *slopes = self.scalar(loss, *[float(array[place]) for array in numbers])
            losses[place] = w[place[0]] * found
            for gradient, slope in zip(gradients, slopes, strict=True):
                gradient[place] = dl[place] * w[place[0]] * slope
        return losses, gradients

    def example(self, loss, rng, n):
        return tuple(rng.normal(size=(n, 2)) for _ in range(self.predictions + 1))

    def perfect(self, loss, *arrays):
        return (arrays[-1],)


class ClassLaws(LossLaws):
    """A loss of classes along an axis, some targets of which are ignored."""

    integer_targets = False

    def row(self, loss: Loss, p: list[float], t: int) -> tuple[float, list[float]]:
        """The scores of one position, its class -> loss, derivatives."""
        raise NotImplementedError

    def example(self, loss, rng, n):
        prediction = rng.normal(size=(n, 2, 4))
        positions = np.delete(prediction.shape, loss.axis)
        target = rng.integers(0, prediction.shape[loss.axis], positions)
        target[0] = 0
        return prediction, target

    def loop(self, loss, p, t, w, dl):
        rows = np.moveaxis(p, loss.axis, -1)
        losses, gradient = np.zeros(t.shape), np.zeros(rows.shape)
        for place in np.ndindex(*t.shape):
            if t[place] != loss.ignore_index:
                found, slopes = self.row(loss, rows[place].tolist(), int(t[place]))
                losses[place] = w[place[0]] * found
                gradient[place] = dl[place] * w[place[0]] * np.array(slopes)
        return losses, np.moveaxis(gradient, -1, loss.axis)

    def torch_options(self, loss: Loss, torch: Any) -> dict[str, Any]:
        """Class weights and the ignored class as PyTorch takes them."""
        v = loss.class_weight and torch.tensor(loss.class_weight, dtype=torch.float64)
        return {"weight": v, "ignore_index": loss.ignore_index}

    def test_ignored_targets_change_nothing(self):
        for loss in self.losses:
            (p,), data, _, dl = self.drawn(replace(loss, axis=-1, class_weight=None, ignore_index=-7), 5)
            loss = replace(loss, axis=-1, ignore_index=-7)
            target = data["target"].copy()
            target[0, 1] = target[2, 0] = -7
            losses, cache = loss.forward(p, target)
            gradient = loss.backward(dl, cache)
            assert losses[0, 1] == losses[2, 0] == 0
            assert not gradient[[0, 2], [1, 0]].any()
            other = p.copy()
            other[[0, 2], [1, 0]] = 99
            np.testing.assert_array_equal(loss.forward(other, target)[0], losses)
            valid = target >= 0
            v = np.array(loss.class_weight or [1.0] * 4)
            expected = {"losses": 4, "class_weights": v[target[valid]].sum(), "weights": 3 * v[target[valid]].sum()}
            for mean_over, count in expected.items():
                named = replace(loss, mean_over=mean_over)
                given_data = {"target": target, "sample_weight": np.full(3, 3.0)}
                divisor = named.divisor("mean", losses_shape=target.shape, **given_data)
                assert divisor == pytest.approx(count)
                assert "valid targets" in named.divisor_name("mean", losses_shape=target.shape, **given_data)
            message = "needs at least one target that is not ignored, got -7 everywhere"
            with pytest.raises(ShapeError, match=message):
                loss.check(p.shape, target=np.full_like(target, -7))


def several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def kept_less(loss: Loss, mask: np.ndarray, data: dict[str, np.ndarray]) -> int:
    """How many losses a mask drops, of those that count without it."""
    target = data.get("target")
    counts = np.ones(mask.shape, dtype=bool)
    if hasattr(loss, "ignore_index") and target is not None and target.shape == mask.shape:
        counts = target != loss.ignore_index
    return int((counts & (mask == 0)).sum())


def assert_refused(
    loss: Loss, message: str, prediction_shape: tuple[int, ...], target: Any, weight: Any = None
) -> None:
    """`check` refuses the data with exactly this message."""
    data = {"target": np.asarray(target)} | ({} if weight is None else {"sample_weight": np.asarray(weight)})
    with pytest.raises(ShapeError) as refusal:
        loss.check(prediction_shape, **data)
    assert str(refusal.value) == message
