"""`gradcheck sweep`: one entry of one spec at many steps, then the document, then the exit code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gradcheck import __version__
from gradcheck._cli_select import EXIT_FINDINGS, EXIT_OK
from gradcheck._cli_sources import read, specs_of
from gradcheck._cli_streams import Progress, say, stdout_kept_clean, to_stdout
from gradcheck.errors import LayerFailure, UsageError
from gradcheck.report import sweep as _formats

if TYPE_CHECKING:
    from gradcheck.step_sweep import StepSweep

EXIT_CODES = """\b
Exit codes:
  0    the sweep was drawn
  1    a layer or loss of a plugin raised or broke its contract
  2    could not run as asked: a bad option, entry, spec, plugin or data
  3    a bug in gradcheck itself
  5    nothing was selected: no spec, nothing to check
  130  interrupted"""


class Request(Struct, frozen=True):
    """What the command line asks for. `overrides` is what `spec.read.Overrides` takes."""

    spec: str
    plugins: tuple[str, ...]
    overrides: Mapping[str, Any]
    method: str
    fmt: str


def formats() -> dict[str, str]:
    """Name -> module of every format. A file in gradcheck/report/sweep is one; a trailing `_` is not in its name."""
    stems = sorted(path.stem for path in Path(_formats.__path__[0]).glob("*.py") if not path.stem.startswith("_"))
    return {stem.rstrip("_"): f"{_formats.__name__}.{stem}" for stem in stems}


def sweep(request: Request) -> int:
    """Sweep the entry, write the document -> exit code. GradcheckError where the command line cannot be obeyed."""
    paths = specs_of([request.spec])
    if len(paths) > 1:
        raise UsageError(f"sweep takes one spec; {request.spec} means {len(paths)}, such as {paths[0]}")
    try:
        with stdout_kept_clean():
            found = _swept(request, paths[0])
    except LayerFailure as failure:
        say(f"gradcheck: {failure.message}")
        return EXIT_FINDINGS
    to_stdout(lambda stream: importlib.import_module(formats()[request.fmt]).write(found, __version__, stream))
    if found.failure:
        say(f"gradcheck: {found.failure}")
    return EXIT_FINDINGS if found.failure else EXIT_OK


def _swept(request: Request, path: str) -> StepSweep:
    import numpy as np

    from gradcheck.catalogue import Catalogue
    from gradcheck.spec.read import Overrides, PluginFailure, read_case
    from gradcheck.stepping import sweep_steps

    catalogue = Catalogue(request.plugins)
    progress = Progress()
    try:
        with np.errstate(all="ignore"):
            case = read_case(path, read(path), catalogue, Overrides(**request.overrides))
            return sweep_steps(case, request.method, progress)
    except PluginFailure as stopped:
        raise stopped.failure from None
    finally:
        progress.clear()
