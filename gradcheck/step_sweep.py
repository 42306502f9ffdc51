"""One entry's derivative at many steps: frozen plain data, the only thing that its formats see. No numpy here.

D(h) is a difference scheme at step h. Its error falls with h on the truncation side and grows as h falls on the noise
side; between them lies the plateau.
"""

from __future__ import annotations

from msgspec import Struct

#: A slope farther than this from what is expected has a reason.
ODD = 0.3
#: Where a reference comes from.
COMPLEX_STEP, LADDER, ONE_STEP = "complex_step", "ladder", "one_step"


class StepPoint(Struct, frozen=True):
    """The scheme at one step.

    error  |value - reference|
    noise  what rounding may add to the value: a bound, as it enters every error bar
    kink   whether the evaluations left the smooth piece that the point lies on
    """

    step: float
    value: float
    error: float
    noise: float
    kink: bool


class Reference(Struct, frozen=True):
    """What the errors are measured from. `error` is its own; infinite where nothing vouches for it (`one_step`).

    reason  why it is not the complex step; empty if it is
    """

    value: float
    error: float
    source: str
    reason: str = ""


class Slope(Struct, frozen=True):
    """d log error / d log h on one side of the plateau; `measured` is None where that cannot be said, for the `reason`.

    points    how many steps it is fitted to, between the steps `shortest` and `longest`
    constant  error = constant h^expected through the same points
    """

    expected: float
    measured: float | None = None
    points: int = 0
    shortest: float = 0.0
    longest: float = 0.0
    constant: float = 0.0
    reason: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether the slope was measured, and is what the scheme leads to expect."""
        return self.measured is not None and abs(self.measured - self.expected) <= ODD


class Choice(Struct, frozen=True):
    """The step to take for this entry by this scheme, what it gives, and the error bar of that.

    settled  whether the steps around it bear it out; if not, the step is the scheme's usual one
    """

    step: float
    value: float
    error_bar: float
    settled: bool


class Default(Struct, frozen=True):
    """What `gradcheck run` takes for the whole tensor, and what that gives for this entry."""

    scheme: str
    step: float
    value: float
    error: float
    reason: str = ""


class StepSweep(Struct, frozen=True):
    """One entry of one spec by one scheme at many steps.

    at           the entry's own value
    order        the power of h in the truncation error
    subtracts    whether the scheme takes differences, and so has a noise side
    points       steps falling
    analytic     what backward says; NaN where it says nothing, for the reason `failure`
    plateau      the shortest and the longest step around the chosen one that err by no more than its error bar
    kink_layers  the layers (or terms of the loss) whose smooth piece was left at some step
    """

    path: str
    name: str
    seed: int
    parameter: str
    index: tuple[int, ...]
    at: float
    scheme: str
    order: int
    subtracts: bool
    points: tuple[StepPoint, ...]
    reference: Reference
    analytic: float
    truncation: Slope
    noise: Slope
    plateau: tuple[float, float] | None
    choice: Choice
    default: Default
    kink_layers: tuple[str, ...] = ()
    failure: str = ""
