"""What a run has found: frozen plain data, the only thing that a report sees. No numpy here.

Field names and meanings are those of the report's `schema_version: 1`; whatever is beyond it is marked "beyond".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

SCHEMA_VERSION = 1

#: Worst first. The verdict of a whole is the worst verdict of its parts.
VERDICTS = ("refused", "fail", "inconclusive", "kink", "pass", "not_applicable")

#: Every code that this version can report, and its stable name.
CODES = {
    "GC100": "unexplained-mismatch",
    "GC101": "constant-scale",
    "GC102": "sign-flipped",
    "GC103": "group-wise-scale",
    "GC104": "missing-term",
    "GC105": "diagonal-jacobian",
    "GC106": "missing-inner-product",
    "GC107": "cross-sample-coupling",
    "GC108": "dropped-gradient",
    "GC109": "leaked-gradient",
    "GC110": "permuted",
    "GC111": "scatter-overwrite",
    "GC112": "window-overlap",
    "GC113": "border",
    "GC114": "outside-subgradient",
    "GC115": "non-finite",
    "GC116": "wrong-local-derivative",
    "GC117": "wrong-operand",
    "GC118": "regulariser",
    "GC119": "clipped",
    "GC120": "wrong-shape",
    "GC121": "shared-use",
    "GC122": "precision",
    "GC123": "wrong-point",
    "GC124": "wrong-node",
    "GC125": "frozen-gradient",
    "GC201": "reduction-ratio",
    "GC202": "reduction-value",
    "GC203": "weight-normalisation",
    "GC204": "output-error",
    "GC301": "per-sample-sum",
    "GC302": "sample-leakage",
    "GC401": "accumulation-mismatch",
    "GC402": "accumulation-uneven",
    "GC403": "regulariser-counted-twice",
    "GC501": "impure",
    "GC502": "not-repeatable",
    "GC503": "call-order",
    "GC504": "not-linear-upstream",
    "GC505": "dtype",
    "GC601": "vacuous",
    "GC602": "dead-unit",
    "GC603": "never-reached",
    "GC604": "unused-ignore",
    "GC901": "layer-raised",
    "GC902": "worker-died",
    "GC903": "out-of-time",
}


#: By the beginning of a code, the check that it is about; all others are about gradients.
ABOUT = {"GC2": "reduction", "GC3": "per_sample", "GC4": "accumulation", "GC5": "contract", "GC6": "vacuity"}


def check_about(code: str) -> str:
    """The check that a code, or the beginning of codes, is about."""
    return ABOUT.get(code[:3], "gradient")


def worst_verdict(verdicts: list[str], default: str = "pass") -> str:
    """The worst of several verdicts, in the order of `VERDICTS`."""
    return min(verdicts, key=VERDICTS.index, default=default)


class Location(Struct, frozen=True):
    """A place in a spec. Lines and columns count from 1."""

    path: str
    line: int
    column: int


class Source(Location, frozen=True):
    """A stretch of a file, such as the first line of a `backward`; `end_column` is behind the last character."""

    end_line: int
    end_column: int


class Counts(Struct, frozen=True):
    """Entries by verdict; they add up to the entries that were checked."""

    passed: int = 0
    fail: int = 0
    inconclusive: int = 0
    kink: int = 0

    @property
    def total(self) -> int:
        """All entries that were checked."""
        return self.passed + self.fail + self.inconclusive + self.kink

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.fail + other.fail,
            self.inconclusive + other.inconclusive,
            self.kink + other.kink,
        )


class Worst(Struct, frozen=True):
    """The entry with the greatest |analytic - numeric| / error_bar."""

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error_bar: float


class Kink(Struct, frozen=True):
    """Evidence for an entry at a kink: one unit that has no derivative there.

    index     the entry
    layer     the layer that the unit belongs to, or the term of the loss
    output    the array that the unit is an entry of: the layer's, `split_1.0` where it has several outputs
    unit      the unit's index in it; in the losses for a term
    sampled   whether the values are the unit's `input` (of an elementwise layer) or its `output`
    steps     by how much the entry was moved: down, not at all, up
    values    what was sampled there
    slopes    of the unit along the entry, ∂ unit / ∂ entry, below and above
    analytic  the gradient of the loss by the entry, from backward
    others    at how many other units the same entry meets a kink
    """

    index: tuple[int, ...]
    layer: str
    output: str
    unit: tuple[int, ...]
    sampled: str
    steps: tuple[float, float, float]
    values: tuple[float, float, float]
    slopes: tuple[float, float]
    analytic: float
    others: int = 0


class Row(Struct, frozen=True):
    """One parameter, or one input: its entries, compared.

    The errors, the bar and the worst entry are those of the entries that have a derivative: at a kink the numeric value
    depends on the scheme, and such entries are judged layer by layer instead. `worst` is at a kink only if all are.

    Where the tensor was probed along directions, no entry was checked: `checked` and the counts are 0, the errors and
    the bar are those of Σ g v, `detectable` is that of one entry of usual size, and `directions` says how many were
    drawn, how many pass and how many fail. The others met a kink, or could not be decided.
    """

    name: str
    shape: tuple[int, ...]
    entries: int
    checked: int
    verdict: str
    counts: Counts = Counts()
    max_abs_error: float = 0.0
    max_rel_error: float = 0.0
    error_bar: float = 0.0
    worst: Worst | None = None
    detectable: float | None = None
    directions: dict[str, int] | None = None
    method: str = ""  # beyond: the scheme that gave the numeric gradient
    reason: str = ""  # beyond: why this scheme, or why nothing was checked
    kinks: tuple[Kink, ...] = ()  # beyond: where a few of the entries at a kink meet it
    untested: int = 0  # beyond: entries that pass with a true gradient of zero: no relative mistake could be seen there
    frozen: bool = False  # beyond: a constant for the objective, which receives no gradient
    uses: tuple[
        str, ...
    ] = ()  # beyond: where a parameter stands that stands in several places: `head.weight (transposed)`

    @property
    def examined(self) -> bool:
        """Whether anything was compared: entries, or directions."""
        return bool(self.checked or self.directions)


class CheckResult(Struct, frozen=True):
    """One check of one spec. `measured` is the check's own plain data (numbers, strings, lists, dicts)."""

    check: str
    code: str
    verdict: str
    reason: str = ""
    measured: dict[str, Any] = field(default_factory=dict)


class Diagnosis(Struct, frozen=True):
    """A known mistake, recognised because it predicts the wrong values; `explains` is the share it predicts."""

    name: str
    explains: float
    formula: str


class Entry(Struct, frozen=True):
    """One entry as evidence: both numbers, the error bar, and how many bars they are apart."""

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error_bar: float
    ratio: float


class Finding(Struct, frozen=True):
    """Something to act on, or (severity note) to know."""

    id: str
    code: str
    severity: str
    layer: str
    message: str
    parameter: str | None = None
    index: tuple[int, ...] | None = None
    location: Location | None = None
    diagnosis: Diagnosis | None = None
    consequence_of: str | None = None
    replay: str = ""
    evidence: Entry | None = None  # beyond: the worst entry
    entries: tuple[Entry, ...] = ()  # beyond: a few entries of the guilty layer alone that show it best
    picture: tuple[str, ...] = ()  # beyond: where the wrong entries lie, in characters; empty where all are wrong
    source: Source | None = None  # beyond: the `backward` of the plugin that it is about
    probed: str = ""  # beyond: what was drawn for the layer to tell diagnoses apart that the spec's own data fit

    @property
    def name(self) -> str:
        """The code's stable name."""
        return CODES[self.code]

    @property
    def at(self) -> str:
        """What it is about, without an entry: a parameter, else the layer."""
        return self.parameter or self.layer

    def fingerprint(self, path: str) -> str:
        """What stays the same from run to run: the spec's path, the layer, the parameter and the code, but no line."""
        return fingerprint(path, self.layer, self.parameter or "", self.code)


def fingerprint(*words: str) -> str:
    """32 hexadecimal digits for a list of words."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


class Silenced(Struct, frozen=True):
    """A finding that does not count, who says so (`spec` or `baseline`), and why."""

    finding: Finding
    by: str
    reason: str


class LayerRow(Struct, frozen=True):
    """One line of the table that shows the network. Shapes include the batch axis.

    parameters  how many numbers the layer learns that no line above has
    shared      how many it has in common with lines above
    """

    name: str
    type: str
    options: str
    output_shapes: tuple[tuple[int, ...], ...]
    parameters: int
    shared: int = 0


class Refusal(Struct, frozen=True):
    """One reason why a spec was not run."""

    path: str
    line: int
    column: int
    message: str


class SpecReport(Struct, frozen=True):
    """All that was found about one spec; of a refused one only `errors`."""

    path: str
    name: str
    verdict: str
    seed: int
    parameters: tuple[Row, ...] = ()
    inputs: tuple[Row, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    findings: tuple[Finding, ...] = ()
    errors: tuple[Refusal, ...] = ()
    network: tuple[LayerRow, ...] = ()  # beyond, like all below
    loss: str = ""
    batch_size: int = 0
    dtype: str = "float64"
    replay: str = ""
    ignored: int = 0
    objective: str = "minimize"
    course: str = ""  # whether every entry was swept, or tensors were probed along directions, and why
    silenced: tuple[Silenced, ...] = ()  # what the spec's `ignore` or a baseline excuses

    @property
    def rows(self) -> tuple[Row, ...]:
        """Parameters, then inputs."""
        return self.parameters + self.inputs

    @property
    def counts(self) -> Counts:
        """Entries by verdict, over all rows."""
        return sum((row.counts for row in self.rows), Counts())

    @property
    def drawn(self) -> int:
        """Directions that were probed, over all rows."""
        return sum(row.directions["drawn"] for row in self.rows if row.directions)


class Report(Struct, frozen=True):
    """One run.

    only_failures  formats for people leave out what passed; counts stay those of everything
    texts          by code, what `gradcheck explain` says: for the codes that occur
    folder         from the root of the repository that a CI system looks at, the way to the folder where paths start
    """

    version: str
    specs: tuple[SpecReport, ...]
    only_failures: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    @property
    def verdict(self) -> str:
        """The worst verdict of the specs."""
        return worst_verdict([spec.verdict for spec in self.specs])
