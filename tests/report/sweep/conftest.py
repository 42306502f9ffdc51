"""One hand-made sweep: a central difference with truncation h², noise 1e-16 / h, a kink at long steps."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from types import ModuleType

import pytest
from msgspec.structs import replace

from gradcheck.step_sweep import COMPLEX_STEP, Choice, Default, Reference, Slope, StepPoint, StepSweep


def _point(k: int) -> StepPoint:
    step = 10 ** -(1 + k / 8)
    error = 0.3 * step**2 + 1e-17 / step * (0.2 + abs(math.sin(7 * k)))
    return StepPoint(step, 0.5 + error, error, 1e-16 / step, kink=k < 3)


@pytest.fixture
def sweep() -> StepSweep:
    return StepSweep(
        path="specs/[bold]net.yaml",
        name="net",
        seed=7,
        parameter="[/foo].weight",
        index=(3, 5),
        at=-0.25,
        scheme="central",
        order=2,
        subtracts=True,
        points=tuple(map(_point, range(105))),
        reference=Reference(0.5, 2e-16, COMPLEX_STEP),
        analytic=0.5000001,
        truncation=Slope(2, 2.004, 16, 3e-5, 4e-3, 0.3),
        noise=Slope(-1, -0.97, 60, 1e-14, 1e-6, 1e-17),
        plateau=(1e-6, 1e-5),
        choice=Choice(3.2e-6, 0.5, 8e-11, settled=True),
        default=Default("complex", 2.0**-100, 0.5, 1e-16),
        kink_layers=("relu_1",),
    )


@pytest.fixture
def troubled(sweep: StepSweep) -> StepSweep:
    """Errors that are 0 or no numbers, no slope, no plateau, no reference, no backward."""
    points = [replace(p, error=0.0) if k > 80 else p for k, p in enumerate(sweep.points)]
    points[:5] = [replace(p, value=math.nan, error=math.nan) for p in points[:5]]
    return replace(
        sweep,
        points=tuple(points),
        reference=Reference(0.5, math.inf, "one_step", "twist_1 returns real numbers for complex ones"),
        analytic=math.nan,
        truncation=Slope(2, reason="too few points above the noise (2)"),
        noise=Slope(-1, reason="nothing vouches for the reference"),
        plateau=None,
        choice=Choice(6e-6, 0.5, math.inf, settled=False),
        default=Default("central", 6e-6, 0.5, 1e-3, "not the complex step, because twist_1 is unsafe"),
        failure="twist_1: backward raised ValueError: no",
    )


@pytest.fixture
def drawn() -> Callable[..., str]:
    """What a format writes to a pipe of that encoding."""

    def write(module: ModuleType, sweep: StepSweep, encoding: str = "utf-8") -> str:
        pipe = io.BytesIO()
        with io.TextIOWrapper(pipe, encoding, newline="\n", write_through=True) as stream:
            module.write(sweep, "0.1.0", stream)
            return pipe.getvalue().decode(encoding)

    return write
