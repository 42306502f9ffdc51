"""`gradcheck run`: every spec through the pipeline, then the documents, then the exit code."""

from __future__ import annotations

import importlib
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from msgspec import Struct, field

from gradcheck import __version__
from gradcheck._cli_baseline import Baseline
from gradcheck._cli_options import formats
from gradcheck._cli_select import EXIT_BUG, EXIT_INTERRUPTED, EXIT_NOTHING, Selection, exit_code, worst_exit
from gradcheck._cli_sources import read
from gradcheck._cli_streams import SPELLED, Progress, commands_stopped, say, stdout_kept_clean, to_stdout
from gradcheck.errors import GradcheckError, NothingSelected, Problem, SpecError, UsageError
from gradcheck.findings import Finding, Refusal, Report, SpecReport

if TYPE_CHECKING:
    from gradcheck.pipeline import Outcome
    from gradcheck.workers.run import Orders
    from gradcheck.workers.tasks import Job

#: Set, it shows the traceback of a bug.
DEBUG = "GRADCHECK_DEBUG"
#: In these, refusals are part of what people read; elsewhere they are repeated on stderr.
_FOR_PEOPLE = ("full", "concise", "markdown")
#: Its annotations are commands to whoever reads stdout or stderr.
GITHUB = "github"


class Request(Struct, frozen=True):
    """What the command line asks for.

    overrides  what `spec.read.Overrides` takes
    jobs       how many workers; None where that was not said
    executor   dask://HOST:PORT; None for processes of this machine
    max_time   seconds; None where a run may take as long as it takes
    baseline   what was found before; None where nothing is known of that
    only_failures  whether people are to read only of what did not pass
    """

    paths: tuple[str, ...]
    plugins: tuple[str, ...]
    overrides: Mapping[str, Any]
    selection: Selection
    fmt: str
    reports: tuple[tuple[str, Path], ...]
    dump: Path | None
    fail_on: str
    jobs: int | None = None
    executor: str | None = None
    max_time: float | None = None
    baseline: Baseline | None = None
    only_failures: bool = False


class _Finished(Struct):
    """What is there so far, by the spec's place in the command: it is kept when a run is interrupted."""

    by_place: dict[int, SpecReport] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    gradients: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reports(self) -> tuple[SpecReport, ...]:
        """In the order of the command."""
        return tuple(self.by_place[place] for place in sorted(self.by_place))


def run(request: Request) -> int:
    """Run all specs, write all documents -> exit code. GradcheckError where the command line cannot be obeyed."""
    started = time.perf_counter()
    finished = _Finished()
    stopped: BaseException | None = None
    try:
        with stdout_kept_clean(), commands_stopped(request.fmt == GITHUB):
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
    if request.baseline and (said := request.baseline.finish()):
        say(f"gradcheck: {said}")
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
    from gradcheck.workers.driver import run_jobs

    jobs, places = _jobs(request, finished)
    progress = Progress()
    with _orders(request) as orders:
        try:
            for number, result in run_jobs(jobs, orders, progress):
                progress.clear()
                _take(request, finished, places[number], result)
        finally:
            progress.clear()


def _jobs(request: Request, finished: _Finished) -> tuple[list[Job], list[int]]:
    """A job for each spec that is text, and its place in the command."""
    from gradcheck.spec.read import Overrides
    from gradcheck.workers.tasks import Job

    overrides, folder = Overrides(**request.overrides), str(Path.cwd())
    jobs, places = [], []
    for place, path in enumerate(request.paths):
        try:
            text = read(path)
        except SpecError as error:
            _keep(request, finished, place, _refused(path, error.problems))
            continue
        jobs.append(Job(path, text, request.plugins, overrides, folder))
        places.append(place)
    return jobs, places


@contextmanager
def _orders(request: Request) -> Iterator[Orders]:
    """How the run is to be done. Code of plugins runs in this process only where there are no workers to do it."""
    from gradcheck.workers.run import Orders

    dump, max_time = request.dump is not None, request.max_time
    if request.executor is not None:
        from gradcheck.workers.cluster import Cluster

        cluster = Cluster(request.executor, request.jobs)
        try:
            yield Orders(cluster, isolated=True, max_time=max_time, dump=dump)
        finally:
            cluster.close()
    elif (request.jobs or 1) > 1:
        from gradcheck.workers.processes import Processes

        yield Orders(Processes(request.jobs or 1), bool(request.plugins), max_time, dump)
    else:
        yield Orders(max_time=max_time, dump=dump)


def _take(request: Request, finished: _Finished, place: int, result: Outcome | NothingSelected) -> None:
    path = request.paths[place]
    if isinstance(result, NothingSelected):
        _keep(request, finished, place, _refused(path, [Problem(path, 1, 1, str(result))]), EXIT_NOTHING)
        return
    for note in result.notes:
        say(f"{path}: {note}")
    finished.gradients = result.gradients
    _keep(request, finished, place, result.report)


def _keep(request: Request, finished: _Finished, place: int, spec: SpecReport, code: int | None = None) -> None:
    """Keep the report on one spec; `code` is the exit code where that does not follow from the report."""
    spec, left_out = request.selection.apply(spec)
    if request.baseline:
        whole = not request.overrides.get("entries")
        spec = request.baseline.apply(spec, request.selection.keeps, whole)
    finished.by_place[place] = spec
    finished.exits.append(exit_code(spec, request.fail_on) if code is None else code)
    finished.left_out += left_out


def _refused(path: str, problems: list[Problem]) -> SpecReport:
    errors = tuple(Refusal(p.path, p.line, p.column, p.message) for p in problems)
    return SpecReport(path, Path(path).stem, "refused", 0, errors=errors)


def _write(request: Request, finished: _Finished) -> None:
    report = Report(
        __version__, finished.reports, request.only_failures, _texts(finished.reports), _folder_in_repository()
    )
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


def _folder_in_repository() -> str:
    """Where the current folder lies in the repository that CI has checked out; empty at its root, or elsewhere.

    What annotates sources names them from that root: a job may work in a folder of it.
    """
    here = Path.cwd().resolve()
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        root = os.environ.get(name)
        if root and here.is_relative_to(Path(root).resolve()):
            folder = here.relative_to(Path(root).resolve()).as_posix()
            return "" if folder == "." else folder
    return ""


def _texts(specs: tuple[SpecReport, ...]) -> dict[str, str]:
    """What `gradcheck explain` says of every code that occurs."""
    codes = {f.code for spec in specs for f in (*spec.findings, *(each.finding for each in spec.silenced))}
    if not codes:
        return {}
    from gradcheck._cli_texts import explanation

    return {code: explanation(code) for code in sorted(codes)}


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
