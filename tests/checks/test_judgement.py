from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import errors, normal, row, told, wrong
from support import check

from gradcheck.evidence import Evidence
from gradcheck.findings import SpecReport
from gradcheck.layers.batch_norm import BatchNorm
from gradcheck.layers.cosine_similarity import CosineSimilarity
from gradcheck.layers.linear import Linear
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.mse import Mse

extended = pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="long double is no wider than float64 here"
)


def cancelling(change: Any = lambda *both: both, **options: Any) -> SpecReport:
    """Two samples, normalised, are 1 and -1 whatever they are: all but nothing of what is added up cancels."""
    layers = (wrong(change), BatchNorm(), Tanh())
    x = np.array([[100.0, 300.0, 0.05], [-200.0, 500.0, -0.04]])
    return check(*layers, x=x, loss=Mse(), target=normal(2, 3), trusted=True, checks=["gradient"], **options)


@extended
@pytest.mark.parametrize("method", ["auto", "central"])
def test_entries_that_hide_behind_rounding_pass_in_a_wider_precision(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = cancelling(method=method)
    assert report.verdict == "pass", told(report)
    monkeypatch.setattr(Evidence, "in_wider_precision", lambda self, name, entries: None)
    report = cancelling(method=method)
    assert not errors(report), told(report)
    assert row(report, "input").counts.inconclusive == 2, told(report)


@extended
@pytest.mark.parametrize("r", [1e-5, 1e-3, -2.0])
def test_mistake_in_an_entry_that_hides_behind_rounding_never_passes(r: float) -> None:
    def off(dx: Any, gradients: Any) -> Any:
        changed = dx.copy()
        changed[0, 1] *= 1 + r
        return changed, gradients

    assert row(cancelling(off), "input").counts.passed == 5


def test_differences_tell_as_much_of_a_float32_backward_as_the_complex_step() -> None:
    """The gradient is a part in 10¹² of the loss: what the complex step says is adopted, and backward is judged
    beside that."""
    small = {"linear_2.weight": 1e-9 * normal(9, 4)}

    def verdict(method: str) -> str:
        layers, x, target = (Linear(9), Tanh(), Linear(4)), normal(9, 8), 100 * normal(9, 4)
        options: dict[str, Any] = {"parameters": small, "dtype": "float32", "checks": ["gradient"], "method": method}
        return check(*layers, x=x, loss=Mse(), target=target, **options).verdict

    assert verdict("central") == verdict("auto") == "pass"


@pytest.mark.parametrize("method", ["auto", "central"])
def test_tensor_without_a_gradient_is_vacuous_by_either_method(method: str) -> None:
    """The cosine of two numbers is 1 or -1: a long move turns signs, but the slope is 0."""
    pair = {"a": np.array([[1.0], [-2.0], [1e-4], [3.0]]), "b": np.array([[0.5], [1.0], [-2.0], [-1e-4]])}
    report = check(CosineSimilarity(), x=pair, loss=Mse(), target=normal(4), method=method, checks=["gradient"])
    assert report.verdict == "pass", told(report)
