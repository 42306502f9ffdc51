"""Every refusal.

GradcheckError                what was asked for could not be run: exit 2
├── UsageError                an option, or options that do not go together
├── SpecError                 a spec or its data; carries every problem of the file, each with its place
├── PluginError               a plugin that cannot be loaded: file and reason
├── ShapeError                a layer or loss cannot work on the shapes or values that it is given
└── NothingSelected           no spec, no check, nothing to check: exit 5

LayerFailure                  user code raised or broke its contract while it ran: a finding, exit 1
"""

from __future__ import annotations

from dataclasses import dataclass


class GradcheckError(Exception):
    """What was asked for could not be run as asked."""


class UsageError(GradcheckError):
    """An option, or options that do not go together."""


@dataclass(frozen=True)
class Problem:
    """One mistake in one spec: a sentence and its place. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class SpecError(GradcheckError):
    """A spec that cannot be run, with every problem that was found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PluginError(GradcheckError):
    """A plugin that cannot be loaded."""


class ShapeError(GradcheckError):
    """Raised by a layer or a loss that cannot work on the shapes or values that it is given.

    The message completes the sentence "<layer> ...": "needs (N, C, H, W), got (3, 10)".
    """


class NothingSelected(GradcheckError):  # noqa: N818 - it says that the gate is empty, which is no error of anybody's
    """No spec, no check, or neither a parameter nor an input to check."""


class LayerFailure(Exception):  # noqa: N818 - a finding about user code
    """User code raised, or broke its contract, while it ran.

    code    the finding's code (GC901 it raised, GC120 a wrong shape, GC115 not finite, GC108 a forgotten gradient)
    node    the layer's name, `loss` for a loss
    phase   `init`, `constants`, `forward` or `backward`
    """

    def __init__(self, code: str, node: str, phase: str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.node = node
        self.phase = phase
        self.message = message
        self.parameter = parameter
