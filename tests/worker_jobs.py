"""Jobs of small specs, and what a run of them leaves."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gradcheck.findings import Report
from gradcheck.pipeline import Outcome
from gradcheck.report import full, json_
from gradcheck.spec.read import Overrides
from gradcheck.workers.driver import run_jobs
from gradcheck.workers.run import Orders, Result
from gradcheck.workers.tasks import Job

TINY = """\
name: tiny
data:
  batch_size: 4
  inputs: {shape: [3], fill: normal}
  targets: {shape: [2], fill: normal}
network:
  - linear: {out_features: 2, name: head}
loss: mse
"""
#: Layers that behave well, raise, end their process, or take their time.
PLUGIN = """\
import os, signal, time
from pathlib import Path
from gradcheck import Layer

class Twice(Layer):
    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return 2 * dy, {}

class Thrice(Twice):
    def backward(self, dy, cache):
        return 2.5 * dy, {}

class Exits(Twice):
    def forward(self, x):
        os._exit(0)

class Killed(Twice):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGKILL)

class KilledOnce(Twice):
    def forward(self, x):
        if not Path("was_killed").exists():
            Path("was_killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * x, None

class ExitsInSweep(Twice):
    def forward(self, x):
        if x.shape[0] > 8 and x.dtype.kind == "c":
            os._exit(1)
        return 2 * x, None

class RaisesInSweep(Twice):
    def forward(self, x):
        if x.shape[0] > 8:
            raise RuntimeError("too many samples")
        return 2 * x, None

class Slow(Twice):
    def forward(self, x):
        time.sleep(0.05 if len(x) == 4 else 0.3)
        return 2 * x, None

class Sleeps(Twice):
    def forward(self, x):
        time.sleep(600)
"""
JobOf = Callable[..., Job]


@pytest.fixture
def job_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobOf:
    """A job of the tiny spec, with a layer of the plugin before its linear layer where one is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text(PLUGIN, encoding="utf-8")

    def make(layer: str = "", text: str = TINY, path: str = "", **overrides: Any) -> Job:
        if layer:
            text = text.replace("  - linear", f"  - {layer}\n  - linear").replace("tiny", layer)
        plugins = ("layers.py",) if layer else ()
        return Job(path or f"{layer or 'tiny'}.yaml", text, plugins, Overrides(**overrides), str(tmp_path))

    return make


def results(jobs: Sequence[Job], orders: Orders | None = None) -> list[Result]:
    """What a run of the jobs leaves, in their order."""
    found = dict(run_jobs(list(jobs), orders or Orders(), lambda done, total, what: None))
    return [found[place] for place in range(len(jobs))]


def documents(outcomes: Sequence[Result]) -> tuple[str, str]:
    """The outcomes as JSON, and for people."""
    report = Report("1", tuple(outcome.report for outcome in outcomes if isinstance(outcome, Outcome)))
    streams = io.StringIO(), io.StringIO()
    for stream, fmt in zip(streams, (json_, full), strict=True):
        fmt.write(report, stream)
    return streams[0].getvalue(), streams[1].getvalue()


def codes(outcome: Result) -> list[tuple[str, str, str | None]]:
    """Code, layer and parameter of every error."""
    assert isinstance(outcome, Outcome)
    return [(f.code, f.layer, f.parameter) for f in outcome.report.findings if f.severity == "error"]
