"""The contract that every loss keeps, in its two forms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

#: Reductions of the elementwise form: what the sum of the losses is divided by.
#: `none` is contracted with a random vector, so that it too gives one scalar to differentiate.
ELEMENTWISE_REDUCTIONS = ("sum", "mean", "batch_mean", "none")
#: Those of them that differ by a factor alone.
DIVIDED_REDUCTIONS = ELEMENTWISE_REDUCTIONS[:3]


class Loss(ABC):
    """What a network is trained to make small.

    Elementwise form (`reductions` empty): forward(prediction, target) -> (losses of shape (N, ...), cache) and
    backward(upstream, cache), with an upstream gradient of the losses' shape -> gradient of the prediction. The
    reduction is applied outside, by name: `sum`, `mean` (over every loss), `batch_mean` (sum over outputs, mean over
    samples), `none`.

    Reducing form (`reductions` names those that it can do): forward(prediction, target, reduction) -> (scalar, cache)
    and backward(upstream, cache) with a scalar upstream gradient.

    Predictions come by position; the target and other data (`target`, `sample_weight`, ...) by name; backward returns
    a tuple for several predictions. An optional method `divisor(..., reduction)` says what a reduction divides by, and
    `divisor_name(..., reduction)` what that number is called; they take by name what forward takes by name, and
    `losses_shape`.
    """

    #: The name in a spec; by default the class name in snake_case.
    spec_name: ClassVar[str]
    #: Empty for the elementwise form; else what `forward` accepts as `reduction`.
    reductions: ClassVar[tuple[str, ...]] = ()
    #: Whether the predictions are parameters of the network, those that the option `parameters` fits.
    of_parameters: ClassVar[bool] = False

    def check(self, *prediction_shapes: tuple[int, ...], **data: Any) -> None:
        """Raise ShapeError where the target does not fit the predictions, in shape or in values."""

    def check_values(self, *predictions: Any) -> None:
        """Raise ShapeError where the predictions lie outside the loss's domain: a logarithm of what is negative."""

    @abstractmethod
    def forward(self, *predictions: Any, **data: Any) -> tuple[Any, Any]:
        """Predictions by position, target and other data by name -> (losses or a scalar, cache)."""

    @abstractmethod
    def backward(self, upstream: Any, cache: Any) -> Any:
        """Upstream gradient of the losses (of the scalar) -> gradient of the prediction."""

    def branches(self, *predictions: Any, **data: Any) -> Any:
        """As `Layer.branches`: which smooth piece each unit is on, negative on a border; None without kinks."""
        return None
