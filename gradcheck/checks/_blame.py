"""Who is guilty of the entries that fail, and what is wrong only because of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.alone import Accused, Alone, Judgement
from gradcheck.checks._base import entry_at, entry_name, finding
from gradcheck.checks._kinks import site_at
from gradcheck.compare import FAIL, Comparison, excess
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.findings import Entry, Finding
from gradcheck.network import Node, Term
from gradcheck.suspect import Suspect

Array = NDArray[Any]
#: Whose findings these are.
CHECK = "gradient"
#: How many times nearer to failing than every other layer one must be to be suspected alone.
_STANDS_OUT = 3
#: So many bars a layer must be off under an upstream gradient that its own backward was not called with.
_CERTAIN = 16
#: Findings that are about numbers: others say already what is wrong.
_DIAGNOSED = ("GC100", "GC114")


class Culprit(Struct, frozen=True):
    """A layer (or `loss`) that is wrong by itself, and the finding that says so.

    layer    its name, or that of the one of its places that was judged: all that are wrong alike share a finding
    operand  what it is wrong about; None where its backward gave nothing that can be used
    taints   whether what it hands back to the layers before it is wrong
    mistake  what is the same in all of its places
    """

    layer: str
    operand: str | None
    finding: Finding
    taints: bool
    mistake: tuple[Any, ...]


class Blame:
    """Turns failing entries into findings: the guilty first, then the consequences."""

    def __init__(self, evidence: Evidence, alone: Alone, compared: Mapping[str, tuple[Comparison, Array]]) -> None:
        self.evidence, self.alone = evidence, alone
        self.network = evidence.case.network
        self.failing = {name: pair for name, pair in compared.items() if (pair[1] == FAIL)[pair[0].selected].any()}
        self.culprits: list[Culprit] = []
        self.told: list[Finding] = []
        self.accused: list[Accused] = []

    def findings(self) -> list[Finding]:
        """Every failing row has a finding of its own or is named as a consequence of one."""
        written = {node.name: node.written for node in self.network.nodes}
        for failure in (*self.evidence.failures, *self.evidence.analytic.leaks):
            mistake = (written.get(failure.node, failure.node), failure.code, failure.parameter)
            found = self._known(mistake) or self._of_failure(failure)
            self._add(failure.node, failure.parameter, found, failure.parameter is None, mistake)
        parts: tuple[Node | Term, ...] = (*self.network.terms, *reversed(self.network.nodes))
        for part in parts:
            if self.failing and self._is_on_a_failing_path(part):
                self._examine(part)
                if self._is_tainted(part):
                    self._examine_afresh(part)
        if self.failing and not self.culprits:
            self._suspect()
        for name in self.failing:
            if not any(culprit.finding.parameter == name for culprit in self.culprits):
                self.told.append(self._consequence(name))
        return [self._with_places(found) for found in self.told]

    def _suspect(self) -> None:
        """Where rows fail and every layer passes alone: the layer that comes nearest to failing, if one stands out."""
        doubts: list[tuple[float, Node | Term, str]] = []
        parts: tuple[Node | Term, ...] = (*self.network.terms, *reversed(self.network.nodes))
        for part in parts:
            if self._is_on_a_failing_path(part):
                found = ((self.alone.judge(part, operand), operand) for operand in self.alone.operands(part))
                worst = [(float(np.max(excess(j.outside, j.slack), initial=0.0)), operand) for j, operand in found]
                doubts += [(doubt, part, operand) for doubt, operand in sorted(worst)[-1:]]
        doubts.sort(key=lambda doubt: -doubt[0])
        greatest, part, operand = doubts[0]
        if any(greatest < _STANDS_OUT * doubt for doubt, other, _ in doubts if _written(other) != _written(part)):
            return
        if not isinstance(part, Term) and operand in part.parameters.values():
            return
        judged = self.alone.judge(part, operand)
        entry = _worst_alone(judged)
        message = (
            f"{part.name}: probably the gradient that it hands back to {operand} is not that of its own forward; alone "
            f"this cannot be told for certain: at {entry_name(operand, entry.index or ())} its backward says "
            f"{entry.analytic:.6g}, its forward says {entry.numeric:.6g} ± {entry.error_bar:.1e}"
        )
        row = operand if operand in self.failing and operand in self.evidence.case.point.inputs else None
        suspected = finding(self.evidence, CHECK, self._next(), "GC100", part.name, message, row, entry)
        self._add(part.name, operand, suspected, True, self._mistake(part, operand))

    def _examine(self, part: Node | Term) -> None:
        """Ask a layer alone about each of its operands that can explain a failing row."""
        if any(culprit.layer == part.name and culprit.operand is None for culprit in self.culprits):
            return
        parameters = () if isinstance(part, Term) else tuple(part.parameters.values())
        for operand in self.alone.operands(part):
            if operand in parameters and operand not in self.failing:
                continue
            if any(culprit.layer == part.name and culprit.operand == operand for culprit in self.culprits):
                continue
            judged = self.alone.judge(part, operand)
            if not judged.passes:
                is_parameter = operand in parameters
                mistake = self._mistake(part, operand)
                found = self._known(mistake) or (
                    self._of_row(part.name, operand, None) if is_parameter else self._of_input(part, operand, judged)
                )
                self._add(part.name, operand, found, not is_parameter, mistake)

    def _is_tainted(self, part: Node | Term) -> bool:
        """Whether what the layer is given by the layers behind it is wrong already."""
        if isinstance(part, Term):
            return False
        behind = {node.name for node in self.network.affected(part.outputs)}
        behind |= {term.name for term in self.network.terms}
        return any(culprit.taints and culprit.layer in behind for culprit in self.culprits)

    def _examine_afresh(self, part: Node | Term) -> None:
        """Ask a layer of a plugin once more, under the upstream gradient that it would have got if all were right.

        Under a wrong one its own mistake may not show: below a layer that hands back zeros, everything is right.
        """
        known = {culprit.operand for culprit in self.culprits if culprit.layer == part.name}
        if part.trusted or None in known:
            return
        upstream = self.alone.numeric_upstream(part)
        for operand in (name for name in self.alone.operands(part) if name not in known):
            suspect = Suspect.of(self.alone, part, operand, upstream).glance()
            off = np.abs(suspect.e)
            clear = (
                suspect.wrong & (off > _CERTAIN * suspect.bar) & (off > suspect.resolution * np.max(np.abs(suspect.n)))
            )
            if clear.any():
                self._add_afresh(suspect, clear)

    def _add_afresh(self, suspect: Suspect, wrong: Array) -> None:
        part, operand = suspect.part, suspect.operand
        mistake = self._mistake(part, operand)
        ratio = np.where(wrong, excess(np.abs(suspect.e), suspect.bar), -1.0)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
        entry = entry_at(index, suspect.a, suspect.n, suspect.bar)
        is_parameter = suspect.is_parameter
        what = "the gradient of" if is_parameter else "the gradient that it hands back to"
        message = (
            f"{part.name}: {what} {operand} is not that of its own forward: under the upstream gradient that it should "
            f"have got, at {entry_name(operand, index)} its backward says {entry.analytic:.6g}, its forward says "
            f"{entry.numeric:.6g}; {int(wrong.sum()):,} of {wrong.size:,} entries are wrong"
        )
        row = operand if operand in self.failing else None
        found = self._known(mistake) or finding(
            self.evidence, CHECK, self._next(), "GC100", part.name, message, row, entry
        )
        self._add(part.name, operand, found, not is_parameter, mistake)

    def _mistake(self, part: Node | Term, operand: str) -> tuple[Any, ...]:
        """What a mistake about one operand is called in all places of the layer: an input by its position."""
        is_parameter = isinstance(part, Node) and operand in part.parameters.values()
        return _written(part), operand if is_parameter else self.alone.operands(part).index(operand)

    def _known(self, mistake: tuple[Any, ...]) -> Finding | None:
        """The finding that says the same of another place of the layer."""
        return next((culprit.finding for culprit in self.culprits if culprit.mistake == mistake), None)

    def _add(
        self, layer: str, operand: str | None, found: Finding, taints: bool, mistake: tuple[Any, ...]
    ) -> None:  # fmt: skip
        self.culprits.append(Culprit(layer, operand, found, taints, mistake))
        if found not in self.told:
            self.told.append(found)
            if operand is not None and found.code in _DIAGNOSED:
                self.accused.append(Accused(found.id, self.alone, self._part(layer), operand))

    def _part(self, name: str) -> Node | Term:
        parts: tuple[Node | Term, ...] = (*self.network.terms, *self.network.nodes)
        return next(part for part in parts if part.name == name)

    def _with_places(self, found: Finding) -> Finding:
        """The finding, with the places in which the layer is wrong where it has several, or its parameter has."""
        places = [culprit.layer for culprit in self.culprits if culprit.finding is found]
        of = len(self.network.users(found.parameter)) if found.parameter else 0
        said = ""
        if places and of > 1:
            said = f"; it stands in {of} places, and is wrong in {', '.join(places)}"
        elif len(places) > 1:
            said = f"; the same in {', '.join(places[1:])}"
        return replace(found, message=found.message + said) if said else found

    def _next(self) -> int:
        return len(self.told) + 1

    def _is_on_a_failing_path(self, part: Node | Term) -> bool:
        if isinstance(part, Term):
            return True
        return any(part in self.network.affected([name]) for name in self.failing)

    def _of_failure(self, failure: LayerFailure) -> Finding:
        return finding(
            self.evidence, CHECK, self._next(), failure.code, failure.node, failure.message, failure.parameter
        )

    def _of_input(self, part: Node | Term, operand: str, judged: Judgement) -> Finding:
        entry = _worst_alone(judged)
        at_kinks = bool(judged.interval.kink[~judged.right].all())
        message = (
            f"{part.name}: the gradient that it hands back to {operand} is not that of its own forward: "
            f"{_what_is_wrong(operand, judged, entry, self._slopes(part, operand, judged, entry))}"
        )
        row = operand if operand in self.failing and operand in self.evidence.case.point.inputs else None
        code = "GC114" if at_kinks else "GC100"
        return finding(self.evidence, CHECK, self._next(), code, part.name, message, row, entry)

    def _slopes(self, part: Node | Term, operand: str, judged: Judgement, entry: Entry) -> str:
        """The two slopes of the unit that has a kink at the entry; empty where there is none, or it cannot be told."""
        if entry.index is None or not judged.interval.kink[entry.index]:
            return ""
        site = site_at(self.evidence, part.name, operand, entry.index)
        if site is None:
            return ""
        below, above = site.slopes
        return f" ({entry_name(site.output, site.unit)} has the slope {below:.6g} below it and {above:.6g} above it)"

    def _of_row(self, layer: str, name: str, consequence_of: str | None) -> Finding:
        comparison, verdict = self.failing[name]
        wrong = (verdict == FAIL) & comparison.selected
        ratio = np.where(wrong, excess(comparison.distance, comparison.bar), -1.0)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
        entry = entry_at(index, comparison.analytic, comparison.numeric, comparison.bar)
        finite = np.isfinite(entry.analytic) and np.isfinite(entry.numeric)
        says = f"{entry.analytic:.6g}" if np.isfinite(entry.analytic) else "nothing finite"
        message = (
            f"{name}: at {entry_name(name, index)} backward says {says}, forward says "
            f"{entry.numeric:.6g} ± {entry.error_bar:.1e}; {int(wrong.sum()):,} of {int(comparison.selected.sum()):,} "
            "entries are wrong"
        )
        code = "GC100" if finite else "GC115"
        return finding(self.evidence, CHECK, self._next(), code, layer, message, name, entry, consequence_of)

    def _consequence(self, name: str) -> Finding:
        """A failing row whose own layer is right: wrong because of the guilty layer on its path nearest to the loss."""
        path = [node.name for node in self.network.affected([name])]
        owner = self.network.owner(name)
        layer = owner.name if owner else (path[0] if path else self.network.terms[0].name)
        parts = {*path, *(term.name for term in self.network.terms)}
        cause = next(
            (culprit.finding.id for culprit in self.culprits if culprit.taints and culprit.layer in parts), None
        )
        return self._of_row(layer, name, cause)


def _written(part: Node | Term) -> str:
    return part.written if isinstance(part, Node) else part.name


def _what_is_wrong(operand: str, judged: Judgement, entry: Entry, slopes: str) -> str:
    if judged.right.all():
        return "at a tie the shares that its backward hands out do not add up to the upstream gradient"
    assert entry.index is not None
    low, high = float(judged.interval.low[entry.index]), float(judged.interval.high[entry.index])
    says = f"says {entry.numeric:.6g}"
    if judged.interval.kink[entry.index]:
        says = f"allows any slope from {low:.6g} to {high:.6g} at this kink{slopes}"
    return (
        f"at {entry_name(operand, entry.index)} its backward says {entry.analytic:.6g}, its forward {says}; "
        f"{int(np.sum(~judged.right)):,} of {judged.right.size:,} entries are wrong"
    )


def _worst_alone(judged: Judgement) -> Entry:
    """The entry that lies farthest outside its interval, with the nearer end as the numeric value."""
    nearest = np.clip(judged.analytic, judged.interval.low, judged.interval.high)
    distance = judged.outside
    ratio = excess(distance, judged.slack)
    if not judged.right.all():
        ratio = np.where(judged.right, -1.0, excess(distance, judged.interval.bar))
    elif not judged.together:
        ratio = distance
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    return entry_at(index, judged.analytic, nearest, judged.slack if judged.passes else judged.interval.bar)
