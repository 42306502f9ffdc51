"""What every penalty on parameters must obey. The test file of one subclasses `PenaltyLaws` as `TestLaws`."""

from __future__ import annotations

from typing import Any, ClassVar

import laws
import numpy as np
from core_nets import graph, verdict
from hypothesis import given
from loss_laws import H, few, seeds
from support import judged

from gradcheck.layers.linear import Linear
from gradcheck.losses._base import Loss
from gradcheck.losses.mse import Mse
from gradcheck.network import Term

TAKEN = ("head.weight", "head.bias")


class PenaltyLaws:
    """Subclass as `TestLaws`."""

    loss: ClassVar[Loss]
    #: The same with a wrong slope.
    mistake: ClassVar[Loss]

    def one(self, w: float) -> tuple[float, float]:
        """What one number costs, and its derivative."""
        raise NotImplementedError

    @few
    @given(seeds)
    def test_is_the_obvious_loop_and_the_complex_step(self, seed):
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(size=shape) for shape in ((3, 2), (4,), ())]
        total, cache = self.loss.forward(*arrays, reduction="once")
        gradients = self.loss.backward(0.3, cache)
        every = [self.one(float(w)) for array in arrays for w in array.flat]
        np.testing.assert_allclose(total, sum(cost for cost, _ in every), rtol=1e-13)
        found = [float(dw) for gradient in gradients for dw in gradient.flat]
        np.testing.assert_allclose(found, [0.3 * slope for _, slope in every], rtol=1e-13)
        moved, _ = self.loss.forward(*[array + 1j * H for array in arrays], reduction="once")
        np.testing.assert_allclose(0.3 * moved.imag / H, sum(found), rtol=1e-12, atol=1e-13)

    def test_the_precision_of_the_parameters_is_kept(self):
        total, cache = self.loss.forward(np.ones(3, dtype=np.float32), reduction="once")
        assert total.dtype == np.float32
        assert self.loss.backward(np.float32(1), cache)[0].dtype == np.float32

    def checked(self, loss: Loss, **options: Any) -> Any:
        """The report on two layers, the second of which is penalised."""
        rng = np.random.default_rng(0)
        data = {"input": rng.normal(size=(3, 2)), "target": rng.normal(size=(3, 2))}
        layers = [("trunk", Linear(2), ("input",)), ("head", Linear(2), ("trunk",))]
        terms = [
            Term(Mse(), "mean", 1.0, ("head",), {"target": "target"}, name="loss_1"),
            Term(loss, "once", 0.1, TAKEN, {}, trusted=False, name="loss_2"),
        ]
        return judged(graph(data, layers, terms, **options))

    def test_the_checker_passes_it_and_has_nothing_to_divide(self):
        report = self.checked(self.loss)
        laws.assert_passes(report)
        assert [c.verdict for c in report.checks if c.check == "per_sample"] == ["pass", "not_applicable"]
        assert verdict(report, "reduction") == "pass"

    def test_a_planted_mistake_is_caught_at_the_parameters_that_it_takes(self):
        report = self.checked(self.mistake, checks=("gradient",))
        assert report.verdict == "fail"
        assert {row.name for row in report.rows if row.verdict == "fail"} <= set(TAKEN)
        assert {f.layer for f in report.findings if f.severity == "error" and not f.consequence_of} == {"loss"}
