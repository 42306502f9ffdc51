"""What tests share: a network made of layers in Python, checked as a spec would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np

from gradcheck.assembly import Assembly
from gradcheck.findings import SpecReport
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.naming import spec_name
from gradcheck.network import Term
from gradcheck.spec.case import Case, GradientPlan

#: The checks that judge one gradient; those that call a backward again and again are switched on where they are meant.
OF_GRADIENTS = ("gradient", "reduction", "per_sample", "vacuity")
ALL = ("contract", "gradient", "reduction", "output_error", "per_sample", "accumulation", "vacuity")


def case(
    *layers: Layer,
    x: np.ndarray | Mapping[str, np.ndarray],
    loss: Loss | None = None,
    target: Any = None,
    reduction: str = "mean",
    seed: int = 7,
    dtype: str = "float64",
    checks: Sequence[str] = OF_GRADIENTS,
    trusted: bool | None = None,
    parameters: Mapping[str, np.ndarray] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    **plan: Any,
) -> Case:
    """A chain of layers and a loss, as the reader of a spec would build it.

    x           the input (N, ...), or several by name (all of them go to the first layer)
    loss        by default a contraction of the squared output with fixed random weights
    target      handed to the loss as `target` where it is given; `extra` is handed on by name
    trusted     by default what ships is, and what a test has written comes from a plugin
    parameters  by full name (`linear_1.weight`); the others are drawn
    """
    inputs = dict(x) if isinstance(x, Mapping) else {"input": x}
    data = {**inputs, **({} if target is None else {"target": np.asarray(target)}), **(extra or {})}
    assembly = Assembly(data, tuple(inputs), frozenset(data), seed, dtype, parameters or {})
    previous, seen = tuple(inputs), {}
    for layer in layers:
        kind = spec_name(type(layer))
        seen[kind] = seen.get(kind, 0) + 1
        own = ships(layer) if trusted is None else trusted
        previous = assembly.add(f"{kind}_{seen[kind]}", layer, previous, trusted=own).outputs
    if loss is None:
        loss = _Probe()
    named = {name: name for name in data if name not in inputs}
    own = ships(loss) if trusted is None else trusted
    assembly.add_term(Term(loss, reduction, 1.0, previous, named, trusted=own))
    network, point = assembly.network()
    return Case("test.yaml", "test", seed, dtype, network, point, tuple(checks), GradientPlan(**plan))


def check(*layers: Layer, **options: Any) -> SpecReport:
    """Run all checks on a chain of layers; the options are those of `case`.

    Who is guilty of what is known before any mistake is looked for by name, and in less time: see `diagnosed`.
    """
    return judged(case(*layers, **options))


def judged(case: Case) -> SpecReport:
    """Run all checks of a case, and leave mistakes without a name."""
    from gradcheck import pipeline

    with patch.object(pipeline, "diagnosed", lambda findings, accused: tuple(findings)):
        return pipeline.check_case(case)


def diagnosed(*layers: Layer, **options: Any) -> SpecReport:
    """Run all checks on a chain of layers, and look for the name of every mistake; the options are those of `case`."""
    from gradcheck.pipeline import check_case

    return check_case(case(*layers, **options))


def ships(unit: Layer | Loss) -> bool:
    """Whether a layer or loss is one of gradcheck's, or the loss of `case`, and not one that a test has written."""
    return type(unit).__module__.startswith("gradcheck.") or isinstance(unit, _Probe)


@cache
def _fixed(k: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Normal numbers, the same in every call."""
    drawn = np.random.default_rng([k, *shape]).standard_normal(shape).astype(dtype)
    drawn.setflags(write=False)
    return drawn


class _Probe(Loss):
    """Σ over outputs of c y + y² / 2 with fixed c of both signs, one loss per sample.

    Never a plain sum: a normalised layer hides behind it.
    """

    def forward(self, *predictions: Any, **data: Any) -> tuple[Any, Any]:
        total: Any = 0.0
        weights = []
        for k, y in enumerate(predictions):
            c = _fixed(k, y.shape[1:], y.real.dtype)
            weights.append(c)
            total = total + (c * y + y * y / 2).reshape(len(y), -1).sum(axis=1)
        return total, (predictions, weights)

    def backward(self, upstream: Any, cache: Any) -> Any:
        predictions, weights = cache
        gradients = tuple(
            (c + y) * upstream.reshape(-1, *[1] * (y.ndim - 1)) for c, y in zip(weights, predictions, strict=True)
        )
        return gradients if len(gradients) > 1 else gradients[0]
