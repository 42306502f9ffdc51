"""Who is guilty of directions that fail: every layer alone along directions, then the wrong entries by bisection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gradcheck.checks._along import direction, judge_input, random_directions
from gradcheck.checks._base import entry_name, finding
from gradcheck.checks._blame import CHECK, Blame
from gradcheck.checks._search import Wrong, in_layer, in_tensor
from gradcheck.compare import FAIL, excess
from gradcheck.findings import Entry, Finding
from gradcheck.network import Node, Term

Array = NDArray[Any]
#: So many slices of an axis are named; the others are counted.
_NAMED = 5
_AXES = ("row", "column")


class BlameAlong(Blame):
    """Turns failing directions into findings: one for every entry that is named, or one for a dense mistake."""

    def findings(self) -> list[Finding]:
        """Every failing row has findings of its own or is named as a consequence of one."""
        self.searched: dict[str, Wrong] = {}
        return super().findings()

    def _suspect(self) -> None:
        """Nobody: a layer that passes along random directions is not the one."""

    def _examine(self, part: Node | Term) -> None:
        if any(culprit.layer == part.name and culprit.operand is None for culprit in self.culprits):
            return
        parameters = () if isinstance(part, Term) else tuple(part.parameters.values())
        for operand in self.alone.operands(part):
            if any(culprit.layer == part.name and culprit.operand == operand for culprit in self.culprits):
                continue
            if operand not in parameters:
                self._examine_input(part, operand)
            elif operand in self.failing:
                self._examine_parameter(part, operand)

    def _examine_input(self, part: Node | Term, operand: str) -> None:
        judged, mistake = judge_input(self.evidence, self.alone, part, operand), self._mistake(part, operand)
        if judged.whole is not None and not judged.right:
            found = self._known(mistake) or self._of_input(part, operand, judged.whole)
            self._add(part.name, operand, found, True, mistake)
        elif not judged.right:
            directions = random_directions(self.evidence, part, operand)
            wrong = next(signs for signs in directions if not self.alone.along(part, operand, signs).right)
            search = in_layer(self.alone, part, operand, wrong)
            self.searched[f"{part.name} {operand}"] = search
            found = self._known(mistake) or self._of_layer(part, operand, search)
            self._add(part.name, operand, found, True, mistake)

    def _examine_parameter(self, part: Node | Term, name: str) -> None:
        """By the losses where nothing behind the layer is wrong, else by the layer alone."""
        comparison, verdict = self.failing[name]
        worst = int(np.argmax(np.where(verdict == FAIL, excess(comparison.distance, comparison.bar), -1.0)))
        guilty = not self.alone.along(part, name, direction(self.evidence, name, worst)).right
        if not self._is_tainted(part):
            search = self._of_place(part, name, self._search(name))
            if guilty or (search.entries and not search.dense):
                self._tell(part, name, search)
        elif guilty:
            self._tell(part, name, in_layer(self.alone, part, name, direction(self.evidence, name, worst)))

    def _of_place(self, part: Node | Term, name: str, search: Wrong) -> Wrong:
        """Of the wrong entries of a parameter those that this layer has wrong: others may have it, too."""
        if len(self.network.users(name)) == 1:
            return search
        entries = tuple(entry for entry in search.entries if self._has_wrong(part, name, entry))
        return replace(search, entries=entries)

    def _has_wrong(self, part: Node | Term, name: str, entry: Entry) -> bool:
        assert entry.index is not None
        alone = np.zeros(self._shape(name), dtype=np.int8)
        alone[entry.index] = 1
        return not self.alone.along(part, name, alone).right

    def _search(self, name: str) -> Wrong:
        comparison, verdict = self.failing[name]
        if self.evidence.probe is not None:
            return in_tensor(self.evidence, name, comparison, verdict)
        wrong = np.argwhere((verdict == FAIL) & comparison.selected)
        a, n, bar = comparison.analytic, comparison.numeric, comparison.bar
        ratio = excess(comparison.distance, bar)
        indices = [tuple(index) for index in wrong.tolist()]
        return Wrong(tuple(Entry(i, float(a[i]), float(n[i]), float(bar[i]), float(ratio[i])) for i in indices), False)

    def _tell(self, part: Node | Term, name: str, search: Wrong) -> None:
        self.searched[name] = search
        mistake = self._mistake(part, name)
        if search.dense or not search.entries:
            found = self._known(mistake) or self._of_row(part.name, name, None)
            self._add(part.name, name, found, False, mistake)
            return
        for entry in search.entries:
            each = (*mistake, entry.index)
            found = self._known(each) or self._of_entry(part.name, name, entry, search)
            self._add(part.name, name, found, False, each)

    def _of_entry(self, layer: str, name: str, entry: Entry, search: Wrong) -> Finding:
        assert entry.index is not None
        message = f"{name}: {_says(entry_name(name, entry.index), entry)}{_how(search)}"
        code = "GC100" if np.isfinite(entry.analytic) and np.isfinite(entry.numeric) else "GC115"
        return finding(self.evidence, CHECK, self._next(), code, layer, message, name, entry)

    def _of_row(self, layer: str, name: str, consequence_of: str | None) -> Finding:
        """A tensor of which no entry is named, or one that stands for the others."""
        if self.evidence.probe is None:
            return super()._of_row(layer, name, consequence_of)
        comparison, verdict = self.failing[name]
        ratio = np.where(verdict == FAIL, excess(comparison.distance, comparison.bar), -1.0)
        draw, failing = int(np.argmax(ratio)), int(np.sum(verdict == FAIL))
        slope = Entry(
            None, float(comparison.analytic[draw]), float(comparison.numeric[draw]), float(comparison.bar[draw]),
            float(ratio[draw]),
        )  # fmt: skip
        finite = np.isfinite(slope.analytic) and np.isfinite(slope.numeric)
        search = self.searched.get(name)
        entry = search.entries[0] if search and search.entries else None
        message = f"{name}: wrong along {failing:,} of {len(verdict):,} random directions; along one of them "
        message += _says("", slope).lstrip()
        if search and entry is not None:
            assert entry.index is not None
            example = _says(entry_name(name, entry.index), entry)
            message = f"{name}: {_spread_over(comparison, search, self._shape(name))}; {example}{_how(search)}"
        return finding(
            self.evidence, CHECK, self._next(), "GC100" if finite else "GC115", layer, message, name,
            entry or slope, consequence_of,
        )  # fmt: skip

    def _of_layer(self, part: Node | Term, operand: str, search: Wrong) -> Finding:
        """What a layer hands back, or a term of the loss."""
        entry = max(search.entries, key=lambda one: one.ratio, default=None)
        shape = self._shape(operand)
        message = f"{part.name}: the gradient that it hands back to {operand} is not that of its own forward: "
        code = "GC100"
        if entry is not None and entry.index is not None:
            signs = np.zeros(shape, dtype=np.int8)
            signs[entry.index] = 1
            judged = self.alone.along(part, operand, signs)
            analytic, numeric = _apart(entry.analytic, entry.numeric)
            says = f"says {numeric}"
            if judged.met:
                code = "GC114"
                low, high = float(np.sum(judged.interval.low)), float(np.sum(judged.interval.high))
                says = f"allows any slope from {low:.6g} to {high:.6g} at this kink"
            at = entry_name(operand, entry.index)
            message += f"at {at} its backward says {analytic}, its forward {says}; "
        message += f"{_spread_over(None, search, shape)}, found in {search.evaluations:,} evaluations of the layer"
        row = operand if operand in self.failing and operand in self.evidence.case.point.inputs else None
        return finding(self.evidence, CHECK, self._next(), code, part.name, message, row, entry)

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.evidence.stage.arrays[name].shape


def _says(where: str, entry: Entry) -> str:
    at = f"at {where} " if where else ""
    if not np.isfinite(entry.analytic):
        return f"{at}backward says nothing finite, forward says {entry.numeric:.6g} ± {entry.error_bar:.1e}"
    analytic, numeric = _apart(entry.analytic, entry.numeric)
    return f"{at}backward says {analytic}, forward says {numeric} ± {entry.error_bar:.1e}"


def _apart(left: float, right: float) -> tuple[str, str]:
    """Two numbers with as many digits (six at least) as it takes to tell them apart."""
    pairs = [(f"{left:.{digits}g}", f"{right:.{digits}g}") for digits in range(6, 18)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def _how(search: Wrong) -> str:
    """`; it is one of 5 wrong entries, found in 96 evaluations of the loss`."""
    if not search.evaluations:
        return ""
    count = len(search.entries)
    which = "the only wrong entry" if count == 1 else f"one of {count:,} wrong entries"
    what = "" if search.dense else f"; it is {which}"
    return f"{what}, found in {search.evaluations:,} evaluations of the loss"


def _spread_over(comparison: Any, search: Wrong, shape: tuple[int, ...]) -> str:
    """Where a mistake lies, in words."""
    if not search.dense:
        count = len(search.entries)
        return f"{count:,} of {int(np.prod(shape)):,} entries {'is' if count == 1 else 'are'} wrong"
    if not search.where:
        return f"most of its {int(np.prod(shape)):,} entries are wrong"
    said = [_slices(axis, wrong, shape) for axis, wrong in search.where.items()]
    return f"entries in {' and '.join(said)} are wrong"


def _slices(axis: int, wrong: Sequence[int], shape: tuple[int, ...]) -> str:
    """`row 3 of 990`, `columns 1, 2 and 4 of 10`, `slices 0 and 2 of 6 along axis 3`."""
    noun = _AXES[axis] if len(shape) == 2 else "slice"
    shown = [str(k) for k in wrong[:_NAMED]] + ([f"{len(wrong) - _NAMED:,} more"] if len(wrong) > _NAMED else [])
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    along = "" if len(shape) == 2 else f" along axis {axis}"
    return f"{noun}{'s' if len(wrong) > 1 else ''} {listed} of {shape[axis]:,}{along}"
