"""Whole processes: a run from the command line, one worker or two."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from _versus.timing import Contestant, Timing, race
from _versus.workloads import SPECS

RUN, IMPORT = "gradcheck run b.yaml", 'python -c "import torch"'
ONE, TWO = "-j 1", "-j 2"
#: A run on which workers must pay lasts so long with one of them, in seconds.
_LONG_RUN = 20.0
#: As the machine may be faster later on.
_ROOM = 1.5


@dataclass(frozen=True)
class Commands:
    """Times of whole processes. `skipped` says what is left out, and why."""

    timings: Sequence[Timing] = ()
    skipped: str = ""


def start(rounds: int) -> Commands:
    """A run of B with all checks and the terminal report, and what it costs to import torch."""
    ours = Contestant(RUN, partial(_python, "-m", "gradcheck", "run", str(SPECS / "b.yaml")))
    if not importlib.util.find_spec("torch"):
        return Commands(race([ours], rounds), "torch is not installed")
    return Commands(race([ours, Contestant(IMPORT, partial(_python, "-c", "import torch"))], rounds))


def workers_on_one(name: str, rounds: int) -> Commands:
    """One worker against two on one spec of the folder."""
    if not offers("--jobs"):
        return Commands(skipped="`gradcheck run` has no option --jobs")
    return _one_against_two([SPECS / name], rounds)


def workers_on_many(folder: Path, name: str, rounds: int, long: bool) -> Commands:
    """The same on as many copies of it, each with a seed of its own, as a long run needs; on two if it is not long."""
    if not offers("--jobs"):
        return Commands(skipped="`gradcheck run` has no option --jobs")
    text = (SPECS / name).read_text(encoding="utf-8")
    count = 2
    if long:
        (alone,) = race([_jobs(1, [SPECS / name])], 1)
        count = max(2, math.ceil(_ROOM * _LONG_RUN / alone.median))
    copies = [folder / f"copy_{seed}.yaml" for seed in range(1, count + 1)]
    for seed, copy in enumerate(copies, start=1):
        copy.write_text(f"seed: {seed}\n{text}", encoding="utf-8")
    return _one_against_two(copies, rounds)


@cache
def offers(option: str) -> bool:
    """Whether `gradcheck run` has an option."""
    shown = subprocess.run([sys.executable, "-m", "gradcheck", "run", "--help"], capture_output=True, check=True)
    return option in shown.stdout.decode().split()


def _one_against_two(specs: Sequence[Path], rounds: int) -> Commands:
    return Commands(race([_jobs(1, specs), _jobs(2, specs)], rounds))


def _jobs(count: int, specs: Sequence[Path]) -> Contestant:
    run = partial(_python, "-m", "gradcheck", "run", "--jobs", str(count), *map(str, specs))
    return Contestant(f"-j {count}", run)


def _python(*arguments: str) -> None:
    """CalledProcessError where the command does not succeed."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
