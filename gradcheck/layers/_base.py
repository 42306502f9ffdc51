"""The contract that every layer keeps, built-in or from a plugin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gradcheck.layers._columns import Columns

Array = NDArray[Any]
Shape = tuple[int, ...]


class Layer(ABC):
    """A differentiable function of its inputs and parameters, with a backward pass written by hand.

    A subclass is a frozen dataclass whose fields are the options of the spec. It keeps nothing between calls:
    forward returns what backward needs. Axis 0 of every input and output is the batch, and forward may be called
    with any number of samples. `forward` and `backward` (and `init`, where there are parameters) suffice; the other
    methods have defaults and let a layer say more than can be measured.
    """

    #: The name in a spec; by default the class name in snake_case.
    spec_name: ClassVar[str]
    #: Constants that have samples on axis 0.
    per_sample: ClassVar[tuple[str, ...]] = ()
    #: One input, no parameters, and y[i] depends on x[i] alone: forward may be called on any part of x.
    elementwise: ClassVar[bool] = False
    #: One input, no parameters, and channel y[:, c] depends on x[:, c] alone: forward may be called on some channels.
    channelwise: ClassVar[bool] = False

    #: Some of the units that `branches` is about feed others of them, as in a recurrence: where several meet a border
    #: at once, the slopes of the outputs do not bound what a right backward may say, and entries there are excused.
    chained: ClassVar[bool] = False

    def init(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Draw the parameters, by name. One shape per input, batch axis included."""
        return {}

    def constants(self, rng: np.random.Generator, *x_shapes: Shape) -> dict[str, Array]:
        """Draw, once, what forward takes by name and nobody differentiates."""
        return {}

    def check(self, *x_shapes: Shape) -> None:
        """Raise ShapeError where the layer cannot work on inputs of these shapes (batch axis included)."""

    @abstractmethod
    def forward(self, *inputs: Any, **parameters: Any) -> tuple[Any, Any]:
        """Inputs by position, parameters and constants by name -> (output, cache); several outputs as a tuple."""

    @abstractmethod
    def backward(self, dy: Any, cache: Any) -> tuple[Any, dict[str, Any]]:
        """Vector-Jacobian product: upstream gradient -> (gradient of the input, gradients by parameter name).

        A tuple of input gradients where there are several inputs; None for an integer or boolean one. What it returns
        for a frozen parameter is discarded; a backward with an argument `frozen=frozenset()` is told their names, and
        then has to return nothing for them.
        """

    def branches(self, *inputs: Any, **parameters: Any) -> Array | None:
        """Which smooth piece of a piecewise function each unit is on; None for a layer without kinks.

        An integer array with the batch on axis 0; equal values mean the same piece. A negative value means that the
        unit lies exactly on the border between pieces (relu at 0, a tie in max pooling), where there is no derivative.
        Complex inputs are judged by their real parts. Of the output's shape for an elementwise layer.
        """
        return None

    def perturbed(
        self, name: str, entries: tuple[Array, ...], steps: Array, x: Array, **parameters: Any
    ) -> Columns | None:
        """By how much the output moves where entry k of parameter `name` moves by steps[k]: where that is cheap to say.

        entries is an index as `numpy.nonzero` gives it, steps has shape (K,), x is the input. The output must be affine
        in the parameter. None (the default) means: call forward for each entry.
        """
        return None

    def carry(self, moves: Array, **parameters: Any) -> Array | None:
        """By how much the output moves where the input moves by `moves` (N, ...), of a layer that is affine in it.

        None (the default) means: call forward on the moved input.
        """
        return None

    def carry_columns(self, columns: Columns, **parameters: Any) -> Columns | Array | None:
        """The same where K copies move in one block of an axis each -> (K, N, ...), or the blocks of the output.

        None (the default) means: `carry` the moves of whole copies.
        """
        return None
