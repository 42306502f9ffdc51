"""Where nothing was tested: tensors whose true gradient is zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.checks._base import finding
from gradcheck.compare import FAIL, Comparison
from gradcheck.evidence import Evidence
from gradcheck.findings import Finding

Array = NDArray[Any]


def vacuity(
    evidence: Evidence, check: str, compared: Mapping[str, tuple[Comparison, Array]], number: int
) -> list[Finding]:
    """A note for every tensor whose true gradient is zero everywhere, as far as anyone can tell.

    compared  by tensor, the comparison and the verdicts of its entries
    number    how many findings the check has already
    """
    notes: list[Finding] = []
    for name, (comparison, verdict) in compared.items():
        if not comparison.vacuous or (verdict == FAIL).any() or not comparison.selected.any():
            continue
        owner = evidence.case.network.owner(name)
        bar = float(np.max(comparison.bar[comparison.selected]))
        message = (
            f"{name}: nothing was tested here; the gradient is zero within its error bar ({bar:.1e}) in "
            "every entry, so a backward that says zero passes whatever its rule is"
        )
        notes.append(
            finding(evidence, check, number + len(notes) + 1, "GC601", owner.name if owner else name, message, name,
                    severity="note")
        )  # fmt: skip
    return notes
