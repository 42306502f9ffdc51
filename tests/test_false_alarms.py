"""Correct networks, drawn at random over the layers and losses that exist: nothing fails, hardly anything is open.

Every third one is treated as made of plugins: black boxes of which nothing is taken for granted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_nets import errors, told
from support import case

from gradcheck.findings import Counts
from gradcheck.layers._base import Layer
from gradcheck.layers.avg_pool2d import AvgPool2d
from gradcheck.layers.conv2d import Conv2d
from gradcheck.layers.elu import Elu
from gradcheck.layers.flatten import Flatten
from gradcheck.layers.leaky_relu import LeakyRelu
from gradcheck.layers.linear import Linear
from gradcheck.layers.log_softmax import LogSoftmax
from gradcheck.layers.max_pool2d import MaxPool2d
from gradcheck.layers.relu import Relu
from gradcheck.layers.selu import Selu
from gradcheck.layers.sigmoid import Sigmoid
from gradcheck.layers.softmax import Softmax
from gradcheck.layers.softplus import Softplus
from gradcheck.layers.tanh import Tanh
from gradcheck.losses.bce_with_logits import BceWithLogits
from gradcheck.losses.cross_entropy import CrossEntropy
from gradcheck.losses.l1 import L1
from gradcheck.losses.mse import Mse
from gradcheck.pipeline import check_case
from gradcheck.spec.case import Case

#: How many nets are drawn for each method, which has nets of its own.
NETS = {"float64": 9, "float32": 5}
METHODS = ("auto", "central")
#: For any array, images and features alike.
ELEMENTWISE = (Relu, LeakyRelu, Elu, Selu, Sigmoid, Tanh, Softplus)
#: For features alone.
ANY = (*ELEMENTWISE, Softmax, LogSoftmax)


def images(rng: np.random.Generator, n: int) -> tuple[Any, list[Layer]]:
    """A batch of images, half of them partly zero or without negative pixels, and a convolutional front."""
    x = rng.standard_normal((n, rng.integers(1, 3), rng.integers(5, 7), rng.integers(4, 6)))
    if rng.random() < 0.5:
        x[..., : x.shape[3] // 2] = 0
    if rng.random() < 0.3:
        x = np.maximum(x, 0)
    options = {"padding": int(rng.integers(2)), "stride": int(rng.integers(1, 3)), "bias": rng.random() < 0.5}
    pool = MaxPool2d(2, stride=int(rng.integers(1, 3))) if rng.random() < 0.6 else AvgPool2d((1, 2))
    return x, [Conv2d(2, (3, 2), **options), rng.choice(ELEMENTWISE)(), pool, Flatten()]


def drawn(seed: int, **options: Any) -> Case:
    """A correct network over a batch of two to five samples."""
    rng = np.random.default_rng(seed)
    n, outputs = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    x, layers = images(rng, n) if rng.random() < 0.5 else (rng.standard_normal((n, rng.integers(3, 6))), [])
    for _ in range(rng.integers(1, 4)):
        layers += [Linear(int(rng.integers(3, 7)), bias=bool(rng.random() < 0.8)), rng.choice(ANY)()]
    real, classes = rng.standard_normal((n, outputs)), rng.integers(outputs, size=n)
    loss, target = [
        (Mse(), real),
        (L1(), real),
        (BceWithLogits(), rng.random((n, outputs))),
        (CrossEntropy(), classes),
    ][rng.integers(4)]
    reduction = str(rng.choice(["sum", "mean", "batch_mean", "none"]))
    return case(*layers, Linear(outputs), x=x, loss=loss, target=target, reduction=reduction, seed=seed, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_correct_network_fails_and_most_of_it_passes(method: str, dtype: str) -> None:
    total = Counts()
    first = NETS[dtype] * METHODS.index(method)
    for seed in range(first, first + NETS[dtype]):
        report = check_case(drawn(seed, method=method, dtype=dtype, trusted=seed % 3 > 0))
        assert not errors(report), f"network {seed}: {told(report)}"
        assert report.counts.fail == 0, f"network {seed}: {told(report)}"
        total += report.counts
    assert total.inconclusive <= 0.03 * total.total, f"{total} of {total.total} entries"
    assert total.passed >= 0.75 * total.total, f"{total} of {total.total} entries"
