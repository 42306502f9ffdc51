"""One hand-made run that every format is tried on: all verdicts, all severities, and names that provoke."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from gradcheck.findings import (
    CheckResult,
    Counts,
    Diagnosis,
    Entry,
    Finding,
    Kink,
    LayerRow,
    Location,
    Refusal,
    Report,
    Row,
    Source,
    SpecReport,
    Worst,
)

_STEPS = (-(2.0**-17), 0.0, 2.0**-17)
_SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compare a text with the stored one of that name; UPDATE_SNAPSHOTS=1 stores it instead."""

    def compare(name: str, text: str) -> None:
        path = _SNAPSHOTS / name
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert text == path.read_text(encoding="utf-8"), (
            f"{path} says otherwise; UPDATE_SNAPSHOTS=1 stores the new text"
        )

    return compare


@pytest.fixture
def written() -> Callable[..., str]:
    """What a format writes to a pipe of that encoding."""

    def write(module: ModuleType, report: Report, encoding: str = "utf-8") -> str:
        pipe = io.BytesIO()
        with io.TextIOWrapper(pipe, encoding, "backslashreplace", newline="\n", write_through=True) as stream:
            module.write(report, stream)
            return pipe.getvalue().decode(encoding)

    return write


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def passing() -> SpecReport:
    return SpecReport(
        "specs/mlp.yaml",
        "mlp",
        "pass",
        7,
        parameters=(
            _agreeing("linear_1.weight", (5, 8), 40, 2.2e-16, 3.1e-15, 1.4e-12),
            _agreeing("linear_1.bias", (8,), 8, 1.1e-16, 2.8e-15, 9.7e-16),
        ),
        inputs=(_agreeing("input", (32, 5), 160, 5.5e-17, 1.2e-15, 3.3e-13),),
        checks=(
            CheckResult("gradient", "GC100", "pass"),
            CheckResult(
                "reduction",
                "GC201",
                "pass",
                "",
                {
                    "expected": 96.0,
                    "measured": 96.0,
                    "sentences": [
                        "expected 96 = 32 samples × 3 outputs, measured 96 (spread 3e-16)",
                        "a learning rate tuned for mean is 96 times too large for sum",
                    ],
                },
            ),
            CheckResult("per_sample", "GC301", "not_applicable", "batch_norm_1 couples the samples of a batch"),
        ),
        network=(
            LayerRow("linear_1", "linear", "out_features=8", ((32, 8),), 48),
            LayerRow("tanh_1", "tanh", "", ((32, 8),), 0),
        ),
        loss="mse, reduction mean",
        batch_size=32,
        replay="gradcheck run specs/mlp.yaml --entry 'linear_1.weight[3,5]'",
    )


def _agreeing(name: str, shape: tuple[int, ...], n: int, error: float, bar: float, relative: float) -> Row:
    worst = Worst((0,) * len(shape), 0.25, 0.25 + error, bar)
    return Row(name, shape, n, n, "pass", Counts(n), error, relative, bar, worst, 1e-9, None, "complex")


@pytest.fixture
def failing() -> SpecReport:
    spec = "specs/wrong/[bold]sign.yaml"
    options = "a_very_long_option=0.12345, and_another=[1, 2, 3], bias=true"
    worst = Worst((3, 5), 0.26, -0.26, 1.3e-12)
    return SpecReport(
        spec,
        "[/foo] sign",
        "fail",
        11,
        parameters=(
            Row(
                "[/foo].weight",
                (5, 8),
                40,
                40,
                "fail",
                Counts(36, 2, 1, 1),
                0.52,
                2.0,
                1.3e-12,
                worst,
                1e-6,
                None,
                "central",
                "its forward loses the imaginary part",
                (
                    Kink(
                        (0, 7),
                        "[/foo]",
                        "[/foo]",
                        (4, 7),
                        "input",
                        _STEPS,
                        (-1e-6, -0.0, 1e-6),
                        (0.0, 0.13107),
                        0.25,
                        1,
                    ),
                    Kink((0, 7), "loss", "loss", (4, 2), "output", _STEPS, (0.5, 0.5, 0.500003), (-0.0, 1.0), -0.0),
                ),
            ),
            Row(
                "head.bias",
                (8,),
                8,
                8,
                "fail",
                Counts(0, 8),
                math.nan,
                math.inf,
                1e-12,
                Worst((2,), math.nan, 1e-3, 1e-12),
                None,
                None,
                "complex",
            ),
            Row("frozen.weight", (3,), 3, 0, "not_applicable", reason="its layer is frozen"),
        ),
        inputs=(Row("input", (32, 5), 160, 160, "inconclusive", Counts(100, 0, 60), 1e-3, 0, 1e-2, method="central"),),
        checks=(
            CheckResult("gradient", "GC100", "fail", "", {"sentences": ["one layer is guilty"]}),
            CheckResult("reduction", "GC201", "fail", "sum is 96 times mean, declared 32", {"spread": math.inf}),
        ),
        findings=(
            Finding("f1", "GC601", "note", "frozen", "Nothing was tested: the gradient is zero.", "frozen.weight"),
            Finding(
                "f2",
                "GC100",
                "error",
                "[/foo]",
                "backward of [/foo] is not the derivative of its forward.",
                "[/foo].weight",
                (3, 5),
                Location(spec, 14, 5),
                Diagnosis("sign-flipped", 0.999, "a = -n"),
                None,
                f"gradcheck run '{spec}' --entry '[/foo].weight[3,5]'",
                Entry((3, 5), 0.26, -0.26, 1.3e-12, 4e11),
            ),
            Finding("f3", "GC100", "error", "head", "It follows.", "input", (1, 2), None, None, "f2", "", None),
            Finding(
                "f4",
                "GC115",
                "error",
                "head",
                "backward of head gave NaN.",
                "head.bias",
                (2,),
                Location(spec, 15, 5),
                evidence=Entry((2,), math.nan, 1e-3, 1e-12, math.nan),
            ),
            Finding("f5", "GC201", "error", "loss", "sum is 96 times mean.", location=Location(spec, 20, 3)),
            Finding("f6", "GC115", "error", "head", "It follows, too.", "input", None, None, None, "f3"),
        ),
        network=(LayerRow("[/foo]", "scaled_tanh", options, ((32, 8), (32, 4)), 40),),
        loss="mse, reduction mean",
        batch_size=32,
        replay=f"gradcheck run '{spec}' --entry '[/foo].weight[3,5]'",
    )


@pytest.fixture
def diagnosed(failing: SpecReport) -> SpecReport:
    """A mistake that has a name, with all that shows it; and one that has none."""
    probed = (
        "The spec's own data fit both: GC112 window-overlap (a = last(shares), not Σ(shares)) and GC110 permuted "
        "(a = flip(1)(n)); inputs drawn for this layer (distinct primes as sizes: (5, 7, 11)) fit only GC112 "
        "window-overlap (a = last(shares), not Σ(shares))."
    )
    named = Finding(
        "f1", "GC112", "error", "pool", "pool: the gradient that it hands back to input is wrong exactly where windows "
        f"overlap. {probed}", None, (0, 1), Location(failing.path, 14, 5),
        Diagnosis("window-overlap", 1.0, "a = last(shares), not Σ(shares)"),
        evidence=Entry((0, 1), 0.25, 0.5, 1e-14, 2.5e13),
        entries=(
            Entry((0, 1), 0.25, 0.5, 1e-14, 2.5e13), Entry((1, 3), -0.125, 1.0, 1e-14, 1e13),
            Entry((2, 1), 0.5, 0.0, 1e-14, 5e12),
        ),
        picture=(".*.-.", ".-.#.", ".+..."), source=Source("specs/wrong/pool.py", 31, 5, 36, 21), probed=probed,
    )  # fmt: skip
    nameless = Finding(
        "f2", "GC100", "error", "head", "head.bias: at head.bias[2] backward says 0.3, forward says 0.2. No known "
        "mistake gives these values: 213 predictions were held against them; GC101 constant-scale comes closest (a = "
        "1.4 n) and explains 61%", "head.bias", (2,), Location(failing.path, 15, 5),
        entries=(Entry((2,), 0.3, 0.2, 1e-14, 1e13), Entry((0,), 0.1, 0.3, 1e-14, 2e13)),
        picture=("*.-.",), source=Source("specs/wrong/head.py", 12, 5, 14, 30),
    )  # fmt: skip
    return replace(failing, findings=(named, nameless))


@pytest.fixture
def refused() -> SpecReport:
    errors = (
        Refusal("specs/bad.yaml", 3, 7, "out_features is 'ten'; expected a whole number of at least 1"),
        Refusal("specs/bad.yaml", 9, 3, "there is no layer `reul`; did you mean `relu`?"),
    )
    return SpecReport("specs/bad.yaml", "bad", "refused", 0, errors=errors)


@pytest.fixture
def report(passing: SpecReport, failing: SpecReport, refused: SpecReport) -> Report:
    return Report("0.1.0", (passing, failing, refused))
