"""Tasks: what a worker keeps of a spec is all of one and the same case, in whatever order specs come and go."""

from __future__ import annotations

from pathlib import Path

import pytest
from worker_jobs import JobOf, documents

from gradcheck.spec.read import Overrides
from gradcheck.workers import tasks
from gradcheck.workers.tasks import Job

SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture
def kinks() -> Job:
    path = SPECS / "wrong" / "zero_slope_at_kink.yaml"
    plugins = (str(path.with_suffix(".py")),)
    return Job(str(path), path.read_text(encoding="utf-8"), plugins, Overrides(method="central"), str(Path.cwd()))


def swept(job: Job) -> dict[tasks.Part, tasks.Rungs]:
    answers = {part: tasks.sweep(job, part).found for part in tasks.plan(job).parts}
    return {part: found for part, found in answers.items() if found is not None}


def test_a_spec_in_use_while_others_come_and_go(kinks: Job, job_of: JobOf) -> None:
    tasks.forget()
    alone = tasks.judge(kinks, swept(kinks))
    tasks.forget()
    answers = swept(kinks)
    for seed in range(tasks._KEPT):
        tasks.plan(job_of(seed=seed))
        tasks.sweep(kinks, next(iter(answers)))
    assert documents([tasks.judge(kinks, answers)]) == documents([alone])
    assert alone.report.verdict == "fail"
