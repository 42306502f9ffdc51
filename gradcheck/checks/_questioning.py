"""Every layer and loss of a case under questioning: what each has broken of the contract."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gradcheck._ground import Ground
from gradcheck.checks._breaches import Asked, Breach, said
from gradcheck.checks._callee import Callee
from gradcheck.checks._special_points import not_a_number
from gradcheck.errors import LayerFailure
from gradcheck.evidence import Evidence
from gradcheck.network import Node, Term

CHECK = "contract"


class Finished(Struct, frozen=True):
    """What one part was found to have broken, and what it could not be asked."""

    breaches: tuple[Breach, ...]
    skipped: tuple[str, ...]


def breaches_of(evidence: Evidence) -> Mapping[str, Finished]:
    """By part, layers before losses, without those whose backward failed; asked once, whichever check is the first."""
    return evidence.once(CHECK, lambda: all_breaches(evidence.ground))


def all_breaches(ground: Ground) -> Mapping[str, Finished]:
    """The same, asked now."""
    failed = {failure.node for failure in ground.analytic.failures}
    parts: tuple[Node | Term, ...] = (*ground.case.network.nodes, *ground.case.network.terms)
    return {part.name: _finished(ground, part) for part in parts if part.name not in failed}


def keeps_contract(evidence: Evidence, name: str) -> bool:
    """Whether a part was asked and has broken nothing."""
    return CHECK in evidence.case.checks and name in (found := breaches_of(evidence)) and not found[name].breaches


def unrepeatable(evidence: Evidence) -> str:
    """Why no identity can be asked of gradients: a part that does not repeat itself; empty if none is known."""
    if CHECK not in evidence.case.checks:
        return ""
    found = breaches_of(evidence).items()
    names = [name for name, part in found if any(breach.code == "GC502" for breach in part.breaches)]
    return f"{' and '.join(names)} does not repeat itself, so no two gradients belong together" if names else ""


def _finished(ground: Ground, part: Node | Term) -> Finished:
    """A loss that reduces by itself is asked under the reduction of the case."""
    reduction = None if isinstance(part, Node) or part.elementwise else part.reduction
    callee = Callee(ground, part, reduction)
    asked = Asked(callee)
    found: list[Breach] = []
    try:
        for breach in asked.breaches():
            found.append(breach)  # noqa: PERF402 - those before a call that raises are kept
    except LayerFailure as failure:
        found.append(Breach("GC502", f"{said(failure)}, where the same call did not raise before"))
    special = not_a_number(callee) if not found else None
    found += [special] if special else []
    return Finished(tuple(found), tuple(asked.skipped))
