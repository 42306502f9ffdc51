"""`gradcheck run`: every spec through the pipeline, then the documents, then the exit code."""

from __future__ import annotations

import importlib
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gradcheck import __version__
from gradcheck._cli_options import formats
from gradcheck._cli_select import EXIT_BUG, EXIT_INTERRUPTED, EXIT_NOTHING, Selection, exit_code, worst_exit
from gradcheck._cli_sources import read
from gradcheck._cli_streams import SPELLED, Progress, say, stdout_kept_clean, to_stdout
from gradcheck.errors import GradcheckError, NothingSelected, Problem, SpecError, UsageError
from gradcheck.findings import Finding, Refusal, Report, SpecReport

if TYPE_CHECKING:
    from gradcheck.catalogue import Catalogue
    from gradcheck.spec.read import Overrides

#: Set, it shows the traceback of a bug.
DEBUG = "GRADCHECK_DEBUG"
#: In these, refusals are part of what people read; elsewhere they are repeated on stderr.
_FOR_PEOPLE = ("full", "concise")


@dataclass(frozen=True)
class Request:
    """What the command line asks for. `overrides` is what `spec.read.Overrides` takes."""

    paths: tuple[str, ...]
    plugins: tuple[str, ...]
    overrides: Mapping[str, Any]
    selection: Selection
    fmt: str
    reports: tuple[tuple[str, Path], ...]
    dump: Path | None
    fail_on: str


@dataclass
class _Finished:
    """What is there so far: it is kept when a run is interrupted."""

    reports: list[SpecReport] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    gradients: Mapping[str, Any] = field(default_factory=dict)


def run(request: Request) -> int:
    """Run all specs, write all documents -> exit code. GradcheckError where the command line cannot be obeyed."""
    started = time.perf_counter()
    finished = _Finished()
    stopped: BaseException | None = None
    try:
        with stdout_kept_clean():
            _run_all(request, finished)
    except GradcheckError:
        raise
    except BaseException as error:  # Ctrl-C or a bug of ours: first what was finished is written
        stopped = error
    if finished.reports:
        _write(request, finished)
    if stopped:
        say(f"gradcheck: stopped after {len(finished.reports)} of {len(request.paths)} specs")
        return stopped_by(stopped)
    _say_what_varies(finished, time.perf_counter() - started)
    return worst_exit(finished.exits)


def stopped_by(error: BaseException) -> int:
    """Say why gradcheck stopped where it never should, or by Ctrl-C -> exit code."""
    if isinstance(error, KeyboardInterrupt):
        say("gradcheck: interrupted")
        return EXIT_INTERRUPTED
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    say(
        f"gradcheck: {type(error).__name__}: {error}\nThis is a bug in gradcheck, not in your spec: please report it, "
        f"with the command and the traceback that {DEBUG}=1 shows."
    )
    return EXIT_BUG


def _run_all(request: Request, finished: _Finished) -> None:
    from gradcheck.catalogue import Catalogue
    from gradcheck.spec.read import Overrides

    catalogue = Catalogue(request.plugins)
    overrides = Overrides(**request.overrides)
    progress = Progress()
    try:
        for path in request.paths:
            spec, code = _run_one(path, catalogue, overrides, progress, finished)
            spec, left_out = request.selection.apply(spec)
            finished.reports.append(spec)
            finished.exits.append(exit_code(spec, request.fail_on) if code is None else code)
            finished.left_out += left_out
    finally:
        progress.clear()


def _run_one(
    path: str, catalogue: Catalogue, overrides: Overrides, progress: Progress, finished: _Finished
) -> tuple[SpecReport, int | None]:
    """The report on one spec; and the exit code where that does not follow from the report."""
    from gradcheck import pipeline

    try:
        outcome = pipeline.run_spec(path, read(path), catalogue, overrides, progress)
    except SpecError as error:
        return _refused(path, error.problems), None
    except NothingSelected as error:
        return _refused(path, [Problem(path, 1, 1, str(error))]), EXIT_NOTHING
    progress.clear()
    for note in outcome.notes:
        say(f"{path}: {note}")
    finished.gradients = outcome.gradients
    return outcome.report, None


def _refused(path: str, problems: list[Problem]) -> SpecReport:
    errors = tuple(Refusal(p.path, p.line, p.column, p.message) for p in problems)
    return SpecReport(path, Path(path).stem, "refused", 0, errors=errors)


def _write(request: Request, finished: _Finished) -> None:
    report = Report(__version__, tuple(finished.reports))
    if request.fmt not in _FOR_PEOPLE:
        for error in (error for spec in report.specs for error in spec.errors):
            say(f"{error.path}:{error.line}:{error.column}: {error.message}")
    to_stdout(lambda stream: _render(request.fmt, report, stream))
    for fmt, path in request.reports:
        with _saving(path), path.open("w", encoding="utf-8", errors=SPELLED, newline="\n") as text:
            _render(fmt, report, text)
    if request.dump and finished.gradients:
        import numpy as np

        with _saving(request.dump), request.dump.open("wb") as binary:
            np.savez(binary, **finished.gradients)


def _render(fmt: str, report: Report, stream: TextIO) -> None:
    importlib.import_module(formats()[fmt]).write(report, stream)


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _say_what_varies(finished: _Finished, seconds: float) -> None:
    if finished.left_out:
        codes = ", ".join(sorted({finding.code for finding in finished.left_out}))
        count = len(finished.left_out)
        say(f"gradcheck: --select and --ignore left out {count:,} finding{'s' * (count > 1)} ({codes})")
    say(f"gradcheck: took {seconds:.2f} s")
