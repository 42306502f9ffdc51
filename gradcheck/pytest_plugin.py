"""pytest collects `*.gradcheck.yaml`: a test for each parameter and input of a spec, and for each of its other checks.

    net.gradcheck.yaml::gradient::linear_1.weight
    net.gradcheck.yaml::per_sample

Every pytest loads this module, so it imports nothing heavy: that waits until there is a spec to be read. Plugins and
options are those of `[tool.gradcheck]` in the pyproject.toml nearest to the spec, and of `GRADCHECK_*`. A spec that
cannot be run is an error of its collection. It is run once, when the first of its tests is, in each worker of xdist:
`--dist loadfile`, or `--dist loadgroup`, keeps its tests together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck.errors import GradcheckError

if TYPE_CHECKING:
    from gradcheck._cli_settings import Setting
    from gradcheck.findings import SpecReport
    from gradcheck.pipeline import Opened, Outcome
    from gradcheck.report._cases import Examined

SUFFIXES = (".gradcheck.yaml", ".gradcheck.yml")
MARKER = "gradcheck"
#: What of the settings changes the numbers.
_OVERRIDES = ("seed", "method", "step", "rtol", "directions", "max_memory")


def pytest_configure(config: pytest.Config) -> None:
    """Let `-m gradcheck` choose these tests."""
    config.addinivalue_line("markers", f"{MARKER}: checks a gradient of a *.gradcheck.yaml")


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    """A spec is a file of tests."""
    if file_path.name.endswith(SUFFIXES):
        collector: pytest.Collector = SpecFile.from_parent(parent, path=file_path)
        return collector
    return None


class Mismatch(Exception):  # noqa: N818 - it carries a finding, which is no error of the program
    """A test that failed, with all there is to say."""


class SpecFile(pytest.File):
    """One spec."""

    _opened: Opened | Outcome
    _report: SpecReport | None = None

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """A test for each tensor under the gradient check, and for each other check."""
        self._opened = self._open()
        self.add_marker(MARKER)
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(str(self.path)))
        tensors: dict[str, list[str]] = {}
        for name in self._names():
            check, _, tensor = name.partition("::")
            if tensor:
                tensors.setdefault(check, []).append(tensor)
            else:
                yield CheckItem.from_parent(self, name=name)
        for check, names in tensors.items():
            yield Tensors.from_parent(self, name=check, tensors=names)

    def _open(self) -> Opened | Outcome:
        from gradcheck._cli_sources import read
        from gradcheck.catalogue import Catalogue
        from gradcheck.pipeline import Outcome, open_spec
        from gradcheck.spec.read import Overrides

        path = os.path.relpath(self.path).replace(os.sep, "/")
        try:
            self._settings = _settings(self.path.parent)
            values = {name: setting.value for name, setting in self._settings.items()}
            given = {name: _converted(name, values[name]) for name in _OVERRIDES if name in values}
            catalogue = Catalogue(tuple(values.get("plugins", ())))
            opened = open_spec(path, read(str(self.path)), catalogue, Overrides(**given))
        except GradcheckError as error:
            raise self.CollectError(str(error)) from None
        if isinstance(opened, Outcome) and opened.report.errors:
            problems = (f"{e.path}:{e.line}:{e.column}: {e.message}" for e in opened.report.errors)
            raise self.CollectError("\n".join(problems))
        return opened

    def _names(self) -> list[str]:
        from gradcheck.pipeline import Outcome
        from gradcheck.report._cases import cases, names

        if isinstance(self._opened, Outcome):
            return [case.name for case in cases(self._opened.report)]
        case = self._opened.case
        return names(case.checks, (*case.point.all_parameters, *case.point.differentiable(case.point.inputs)))

    def examined(self, name: str) -> Examined | None:
        """What became of one test; the spec is run when it is first asked for. None where it was not reached."""
        from gradcheck.pipeline import Outcome, run_case
        from gradcheck.report._cases import SPEC, cases

        if self._report is None:
            opened = self._opened
            outcome = opened if isinstance(opened, Outcome) else run_case(opened.case, opened.replay)
            self._report = _counted(outcome.report, self._settings)
        found = {case.name: case for case in cases(self._report)}
        return found.get(name) or found.get(SPEC)


class Tensors(pytest.Collector):
    """A check that is one test for each tensor."""

    def __init__(self, tensors: list[str], **given: Any) -> None:
        super().__init__(**given)
        self._tensors = tensors

    def collect(self) -> Iterator[pytest.Item]:
        """Its tests, by the names of the tensors."""
        for name in self._tensors:
            yield CheckItem.from_parent(self, name=name)


class CheckItem(pytest.Item):
    """One test of a spec."""

    def runtest(self) -> None:
        """Fail with the findings, worst first; skip what does not apply, for the reason given."""
        spec = self.getparent(SpecFile)
        assert spec is not None
        case = spec.examined("::".join(self._path()))
        if case is None:
            raise _skipped("it has nothing to ask here")
        if case.outcome in ("fail", "error"):
            raise Mismatch(case.text)
        if case.outcome == "skip":
            raise _skipped(case.summary)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding, and no traceback of ours."""
        if isinstance(excinfo.value, Mismatch):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The spec and the test's name."""
        return self.path, 0, " ".join(self._path())

    def _path(self) -> list[str]:
        """The names below the spec: `gradient` and `linear_1.weight`, or `reduction`."""
        return [self.parent.name, self.name] if isinstance(self.parent, Tensors) else [self.name]


def _skipped(reason: str) -> BaseException:
    """A skip whose place is the spec's, not ours."""
    return pytest.skip.Exception(reason, _use_item_location=True)


def _settings(folder: Path) -> dict[str, Setting]:
    from gradcheck._cli_settings import settings
    from gradcheck.cli import cli

    return settings(cli.commands["run"], folder, os.environ)


def _converted(name: str, value: Any) -> Any:
    """A setting as the command line would hand it on."""
    from gradcheck.cli import cli

    option = next(option for option in cli.commands["run"].params if option.name == name)
    return option.type.convert(value, option, None)


def _counted(report: SpecReport, found: dict[str, Setting]) -> SpecReport:
    """The report without what the settings leave out or a baseline knows."""
    from gradcheck._cli_baseline import Baseline
    from gradcheck._cli_options import codes
    from gradcheck._cli_select import Selection

    chosen = {name: found[name].value if name in found else () for name in ("select", "ignore")}
    selection = Selection(*(tuple(code for text in chosen[n] for code in codes(text)) for n in ("select", "ignore")))
    report, _ = selection.apply(report)
    if "baseline" not in found:
        return report
    return Baseline.read(Path(found["baseline"].value)).apply(report, selection.keeps, whole=True)
