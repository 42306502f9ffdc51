"""The road: spec -> network -> two gradients -> comparison -> checks -> findings -> report."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

import gradcheck.checks
from gradcheck._ground import Ground
from gradcheck._scene import Scene, Sweep, prepare
from gradcheck.catalogue import Catalogue
from gradcheck.checks._base import Outcome as CheckOutcome
from gradcheck.diagnosis._engine import diagnosed
from gradcheck.endings import Limit, out_of_time
from gradcheck.errors import LayerFailure, SpecError
from gradcheck.evidence import Evidence, gather
from gradcheck.findings import CheckResult, Finding, LayerRow, Location, Refusal, Row, Source, SpecReport, worst_verdict
from gradcheck.layers._base import Layer
from gradcheck.losses._base import Loss
from gradcheck.naming import spec_name
from gradcheck.network import Term
from gradcheck.probing import probes
from gradcheck.silencing import ignoring
from gradcheck.sources import raised_in, source_of
from gradcheck.spec.case import Case

if TYPE_CHECKING:
    from gradcheck.spec.read import Overrides

Progress = Callable[[int, int, str], None]


class Outcome(Struct, frozen=True):
    """What a run of one spec leaves.

    report     for stdout
    gradients  arrays for `--dump`: `<name>/analytic`, `<name>/numeric`, `<name>/bar`, `<name>/verdict`
    notes      what varies from run to run, for stderr
    """

    report: SpecReport
    gradients: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Opened(Struct, frozen=True):
    """A spec that was read, and the command that repeats its run."""

    case: Case
    replay: str


def run_spec(
    path: str,
    text: str,
    catalogue: Catalogue,
    overrides: Overrides | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Read one spec and run all its checks. What is wrong with the spec or with a plugin is in the report."""
    opened = open_spec(path, text, catalogue, overrides)
    return opened if isinstance(opened, Outcome) else run_case(opened.case, opened.replay, progress)


def open_spec(path: str, text: str, catalogue: Catalogue, overrides: Overrides | None = None) -> Opened | Outcome:
    """Read one spec; an outcome where it cannot be run, because of itself or of a plugin."""
    from gradcheck.spec.read import Overrides, PluginFailure, read_case

    overrides = overrides or Overrides()
    try:
        with np.errstate(all="ignore"):
            case = read_case(path, text, catalogue, overrides)
    except SpecError as error:
        refusals = tuple(Refusal(p.path, p.line, p.column, p.message) for p in error.problems)
        return Outcome(SpecReport(path, Path(path).stem, "refused", overrides.seed or 0, errors=refusals))
    except PluginFailure as error:
        command = repeating(path, catalogue.sources, error.seed, overrides)
        report = failed(path, error.name, error.seed, error.failure, error.locations, command)
        return Outcome(ignoring(report, error.ignores, whole=False))
    return Opened(case, repeating(path, catalogue.sources, case.seed, overrides))


def failed(
    path: str, name: str, seed: int, failure: LayerFailure, locations: Mapping[str, Location], replay: str = ""
) -> SpecReport:
    """The report on a network that could not be put together, because user code failed."""
    finding = _raised("gradient", failure, locations, replay)
    finding = replace(finding, source=raised_in(failure.__cause__))
    return SpecReport(
        path, name, "fail", seed, findings=(finding,), replay=replay,
        checks=(CheckResult("gradient", finding.code, "fail", finding.message),),
    )  # fmt: skip


def check_case(case: Case) -> SpecReport:
    """Run all checks of a case -> its report."""
    return run_case(case, f"gradcheck run {quote(case.path)} --seed {case.seed}").report


def prepared(case: Case) -> Scene:
    """A case at its point, with what checks ask before any difference is taken."""
    return prepare(case, _before)


def _before(ground: Ground) -> Mapping[Hashable, Any]:
    known: dict[Hashable, Any] = {}
    for name in ground.case.checks:
        ask = getattr(_check(name), "before", None)
        known |= ask(ground) if ask else {}
    return known


def run_case(
    case: Case,
    replay: str,
    progress: Progress | None = None,
    sweep: Sweep | None = None,
    scene: Scene | None = None,
    limit: Limit | None = None,
) -> Outcome:
    """Hear both witnesses, then run the checks in order.

    sweep, scene  as `gather` takes them
    limit         which tensors were not reached before time ran out
    """
    outcomes: list[CheckOutcome] = []
    way = ""
    names = scene.schemes if scene and limit else ()
    with np.errstate(all="ignore"):
        try:
            evidence = None
            if limit is None or any(name not in limit.unreached for name in names):
                left_out = limit.unreached if limit else ()
                evidence = gather(case, replay, progress or _silent, sweep, scene or prepared(case), left_out)
        except LayerFailure as failure:
            outcomes = [_stopped("gradient", failure, case, replay)]
        else:
            way = evidence.course.why if evidence else ""
            outcomes = _diagnosed([_run_check(name, evidence) for name in case.checks if evidence])
            if case.gradient.probe and evidence and "gradient" in case.checks:
                outcomes.append(_probed(case, outcomes, replay))
    if limit is not None:
        outcomes = _cut_short(outcomes, limit, case, replay)
    results = tuple(result for outcome in outcomes for result in outcome.results)
    rows = tuple(row for outcome in outcomes for row in (*outcome.parameters, *outcome.inputs))
    gradients = {name: array for outcome in outcomes for name, array in outcome.gradients.items()}
    report = _report(case, replay, outcomes, results, rows, limit.unreached if limit else ())
    report = replace(report, course=way if any(row.examined for row in rows) else "")
    whole = limit is None and all(row.checked == row.entries or row.frozen for row in report.rows)
    report = ignoring(report, case.ignores, whole)
    return Outcome(report, gradients, tuple(note for outcome in outcomes for note in outcome.notes))


def _report(
    case: Case,
    replay: str,
    outcomes: list[CheckOutcome],
    results: tuple[CheckResult, ...],
    rows: tuple[Row, ...],
    unreached: Collection[str],
) -> SpecReport:
    applicable = [result.verdict for result in results if result.verdict != "not_applicable"]
    findings = tuple(_with_source(case, finding) for outcome in outcomes for finding in outcome.findings)
    return SpecReport(
        path=case.path,
        name=case.name,
        verdict=worst_verdict([*applicable, *(row.verdict for row in rows if row.examined)], "not_applicable"),
        seed=case.seed,
        parameters=_rows(case, case.point.all_parameters, rows, unreached),
        inputs=_rows(case, case.point.differentiable(case.point.inputs), rows, unreached),
        checks=results,
        findings=findings,
        network=_layer_rows(case),
        loss=", ".join(_loss_words(term) for term in case.network.terms),
        batch_size=case.point.batch_size,
        dtype=case.dtype,
        replay=_repeat(rows, findings, replay),
        objective=case.objective,
    )


def _cut_short(outcomes: list[CheckOutcome], limit: Limit, case: Case, replay: str) -> list[CheckOutcome]:
    """The outcomes with the finding that time ran out: no check of them can say that everything agreed."""
    owner = case.network.owner(limit.unreached[0]) if limit.unreached else None
    sizes = [case.point.arrays[name].size for name in limit.unreached]
    finding = out_of_time(limit, sum(sizes), owner.written if owner else "", replay)
    known = [
        replace(outcome, results=tuple(_at_best_inconclusive(result, finding) for result in outcome.results))
        for outcome in outcomes
    ]
    ran = {result.check for outcome in known for result in outcome.results}
    missing = [name for name in case.checks if name not in ran]
    results = tuple(CheckResult(name, finding.code, "inconclusive", finding.message) for name in missing)
    return [*known, CheckOutcome(results, (finding,))]


def _at_best_inconclusive(result: CheckResult, finding: Finding) -> CheckResult:
    if result.check != "gradient" or worst_verdict([result.verdict, "inconclusive"]) == result.verdict:
        return result
    return replace(result, code=finding.code, verdict="inconclusive", reason=finding.message)


def check_names() -> list[str]:
    """The checks, found by walking their folder."""
    return sorted(m.name for m in pkgutil.iter_modules(gradcheck.checks.__path__) if not m.name.startswith("_"))


def _run_check(name: str, evidence: Evidence) -> CheckOutcome:
    """One check; what a plugin does wrong on the way is its finding."""
    try:
        outcome: CheckOutcome = _check(name).run(evidence)
    except LayerFailure as failure:
        return _stopped(name, failure, evidence.case, evidence.replay)
    return outcome


def _check(name: str) -> Any:
    return import_module(f"gradcheck.checks.{name}")


def _diagnosed(outcomes: list[CheckOutcome]) -> list[CheckOutcome]:
    """The outcomes, with names for the mistakes of guilty layers. Nothing is asked where nobody is accused."""
    accused = [one for outcome in outcomes for one in outcome.accused]
    if not accused:
        return outcomes
    everything = [finding for outcome in outcomes for finding in outcome.findings]
    found = {finding.id: finding for finding in diagnosed(everything, accused)}
    return [_renamed(replace(o, findings=tuple(found[f.id] for f in o.findings))) for o in outcomes]


def _probed(case: Case, outcomes: list[CheckOutcome], replay: str) -> CheckOutcome:
    """What better inputs show of layers that are right on the spec's own data: a finding for each."""
    guilty = {finding.layer for outcome in outcomes for finding in outcome.findings if finding.severity == "error"}
    found: dict[str, Finding] = {}
    probed: dict[str, list[str]] = {}
    for probe in probes(case):
        layer = probe.layer
        if layer in guilty or layer in found:
            continue
        report = run_case(probe.case, replay).report
        probed.setdefault(layer, []).append(probe.name)
        root = next((f for f in report.findings if f.severity == "error" and not f.consequence_of), None)
        if root is not None:
            message = f"{probe.part} is right on the data of the spec, and wrong with {probe.name}: {root.message}"
            found[layer] = replace(
                root, id=f"probe-{len(found) + 1}", layer=layer, message=message, parameter=None, index=None,
                location=case.locations.get(probe.part), replay=replay,
            )  # fmt: skip
    count, verdict = sum(map(len, probed.values())), "fail" if found else ("pass" if probed else "not_applicable")
    became = f"{len(found):,} are wrong there." if found else "All are right there, too."
    said = (
        f"{count:,} probes of {len(probed):,} layers and losses alone: inputs of both signs, zeros and ties, |x| = 50, "
        f"repeated indices, other sizes. {became}"
    )
    code = next((f.code for f in found.values()), "GC100")
    result = CheckResult("probe", code, verdict, measured={"probes": probed, "sentences": [said]})
    return CheckOutcome((result,), tuple(found.values()))


def _renamed(outcome: CheckOutcome) -> CheckOutcome:
    """An outcome whose result has the code of its first error."""
    errors = [finding.code for finding in outcome.findings if finding.severity == "error"]
    if not errors or len(outcome.results) != 1:
        return outcome
    return replace(outcome, results=(replace(outcome.results[0], code=errors[0]),))


def _stopped(check: str, failure: LayerFailure, case: Case, replay: str) -> CheckOutcome:
    written = {node.name: node.written for node in case.network.nodes}
    failure.node = written.get(failure.node, failure.node)
    finding = _with_source(case, _raised(check, failure, case.locations, replay), failure.phase)
    return CheckOutcome((CheckResult(check, finding.code, "fail", finding.message),), (finding,))


def repeating(path: str, plugins: Collection[str], seed: int | None, overrides: Overrides) -> str:
    """What repeats a run: the spec, its plugins, the seed, and what the command line has set."""
    words = ["gradcheck run", quote(path)]
    words += [f"--plugin {quote(plugin)}" for plugin in plugins]
    given = {"--step": overrides.step, "--rtol": overrides.rtol, "--directions": overrides.directions}
    words += [f"--seed {seed}"] if seed is not None else []
    words += ["--probe"] if overrides.probe else []
    words += [f"{option} {value}" for option, value in given.items() if value is not None]
    return " ".join(words)


def _raised(check: str, failure: LayerFailure, locations: Mapping[str, Location], replay: str) -> Finding:
    return Finding(
        f"{check}-1", failure.code, "error", failure.node, failure.message, failure.parameter,
        location=locations.get(failure.node), replay=replay,
    )  # fmt: skip


def _with_source(case: Case, finding: Finding, method: str = "backward") -> Finding:
    """The finding with the place in the user's code that it is about: of a layer or loss that ships there is none."""
    if isinstance(finding.source, Source):
        return finding
    parts: list[tuple[Layer | Loss, bool]] = [
        (node.layer, node.trusted) for node in case.network.nodes if node.written == finding.layer
    ]
    if finding.layer == "loss":
        terms = sorted(case.network.terms, key=lambda term: case.locations.get(term.name) != finding.location)
        parts = [(term.loss, term.trusted) for term in terms]
    return replace(finding, source=next((source_of(unit, method) for unit, trusted in parts if not trusted), None))


def _repeat(rows: tuple[Row, ...], findings: tuple[Finding, ...], replay: str) -> str:
    """The command that repeats the worst entry of all; the worst finding where all entries agree and it does not."""
    checked = [row for row in rows if row.worst is not None]
    errors = [finding for finding in findings if finding.severity == "error"]
    worst = worst_verdict([row.verdict for row in checked])
    if not checked or (errors and worst != "fail"):
        return errors[0].replay if errors else replay
    row = max((row for row in checked if row.verdict == worst), key=_ratio)
    assert row.worst is not None
    index = ", ".join(map(str, row.worst.index))
    return f"{replay} --method {row.method} --entry '{row.name}[{index}]'"


def _ratio(row: Row) -> float:
    worst = row.worst
    assert worst is not None
    distance = abs(worst.analytic - worst.numeric)
    if not np.isfinite(distance):
        return float("inf")
    return distance / worst.error_bar if worst.error_bar else (float("inf") if distance else 0.0)


def _rows(case: Case, names: tuple[str, ...], rows: tuple[Row, ...], unreached: Collection[str]) -> tuple[Row, ...]:
    """A row for each name: the one that was checked, or one that says why none was."""
    checked = {row.name: row for row in rows}
    reason = "not asked for" if case.gradient.entries else "the gradient check is off"
    if "gradient" in case.checks and not case.gradient.entries:
        reason = "the network could not be run"
    arrays = case.point.arrays

    def unchecked(name: str) -> Row:
        why = "time ran out" if name in unreached else reason
        if name in case.skipped and "gradient" in case.checks:
            why = "`check` does not name it"
        frozen = name in case.point.frozen
        why = "frozen: a constant of the objective, which receives no gradient" if frozen else why
        return Row(name, arrays[name].shape, arrays[name].size, 0, "not_applicable", reason=why, frozen=frozen)

    return tuple(replace(checked.get(name) or unchecked(name), uses=_uses(case, name)) for name in names)


def _uses(case: Case, name: str) -> tuple[str, ...]:
    """Where a parameter stands, if it stands in several places: the layers, and what it is called where it is tied."""
    places = [
        f"{node.name}.{local}{' (transposed)' if local in node.transposed else ''}"
        for node in case.network.users(name)
        for local, key in node.parameters.items()
        if key == name
    ]
    return tuple(places) if len(places) > 1 else ()


def _layer_rows(case: Case) -> tuple[LayerRow, ...]:
    """The layers in order; each parameter is counted where it stands first."""
    arrays, known = case.point.arrays, set[str]()
    rows = []
    for node in case.network.nodes:
        keys = set(node.parameters.values())
        own, shared = (sum(arrays[key].size for key in some) for some in (keys - known, keys & known))
        shapes = tuple((case.point.batch_size, *shape) for shape in node.shapes)
        rows.append(LayerRow(node.name, spec_name(type(node.layer)), _options(node.layer), shapes, own, shared))
        known |= keys
    return tuple(rows)


def _options(layer: Any) -> str:
    """The options that are not at their defaults."""
    known = fields(layer) if is_dataclass(layer) else ()
    given = [(option.name, getattr(layer, option.name)) for option in known]
    defaults = {option.name: option.default for option in known}
    return ", ".join(f"{name}={value}" for name, value in given if value != defaults[name])


def _loss_words(term: Term) -> str:
    weight = "" if term.weight == 1 else f"{term.weight:g} × "
    return f"{weight}{spec_name(type(term.loss))} ({term.reduction})"


def _silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""
