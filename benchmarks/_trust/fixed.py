"""Networks that are the same in every run but for their numbers: the workloads that other checkers can run, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.assembly import Assembly
from gradcheck.catalogue import Catalogue
from gradcheck.network import Term
from gradcheck.spec.case import Case, GradientPlan

Array = NDArray[Any]
#: A layer's name in a spec, and its options by position.
Item = tuple[Any, ...]
Structure = tuple[tuple[Item, ...], str, str, tuple[int, ...]]
#: Layers, loss, reduction, input shape with the batch.
WORKLOADS: dict[str, Structure] = {
    "MLP 5-16-3, tanh, MSE": ((("linear", 16), ("tanh",), ("linear", 3)), "mse", "mean", (8, 5)),
    "MLP 6-12-4, ReLU, cross-entropy": ((("linear", 12), ("relu",), ("linear", 4)), "cross_entropy", "mean", (8, 6)),
    "convolution, ReLU, max pooling over a zero background": (
        (("conv2d", 2, 3), ("relu",), ("max_pool2d", 2), ("flatten",), ("linear", 4)),
        "cross_entropy", "mean", (2, 1, 7, 8),
    ),
}  # fmt: skip
#: The workloads with a zero background have zero biases, too, as networks have before their training.
_BACKGROUND = "zero background"
_TARGETS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "cross_entropy": lambda rng, shape: rng.integers(0, shape[-1], shape[:-1]),
    "bce_with_logits": lambda rng, shape: rng.random(shape),
    "mse": lambda rng, shape: rng.standard_normal(shape),
}


def workload(
    name: str, seed: Sequence[int], *, dtype: str = "float64", method: str = "auto", weight: float = 1
) -> Case:
    """One of the workloads, with the numbers of that seed."""
    return fixed_case(WORKLOADS[name], seed, background=_BACKGROUND in name, dtype=dtype, method=method, weight=weight)


def fixed_case(
    structure: Structure,
    seed: Sequence[int],
    *,
    background: bool = False,
    dtype: str = "float64",
    method: str = "auto",
    weight: float = 1.0,
) -> Case:
    """A chain of layers. With a background, half of each input and every bias is zero."""
    layers, loss, reduction, shape = structure
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if background:
        x[..., shape[-1] // 2 :] = 0
    drawn = _assembled(layers, {"input": x}, dtype, rng.integers(2**31))
    last = drawn.nodes[-1].name if layers else "input"
    zeros = {name: np.zeros_like(drawn.arrays[name]) for name in drawn.parameters if name.endswith(".bias")}
    data = {"input": x, "target": _TARGETS[loss](rng, drawn.arrays[last].shape)}
    assembly = _assembled(layers, data, dtype, drawn.seed, zeros if background else {})
    kind: Any = Catalogue().find("losses", loss)
    assembly.add_term(Term(kind(), reduction, weight, (last,), {"target": "target"}))
    network, point = assembly.network()
    return Case("fixed", "fixed", drawn.seed, dtype, network, point, gradient=GradientPlan(method=method))


def _assembled(
    layers: Sequence[Item], data: dict[str, Array], dtype: str, seed: Any, weights: dict[str, Array] | None = None
) -> Assembly:
    assembly = Assembly(data, ("input",), frozenset(data), int(seed), dtype, weights or {})
    catalogue, previous = Catalogue(), "input"
    for place, (name, *options) in enumerate(layers, start=1):
        kind: Any = catalogue.find("layers", name)
        previous = assembly.add(f"{name}_{place}", kind(*options), (previous,)).name
    return assembly
