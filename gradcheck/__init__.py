"""Proves or refutes that a hand-written backward pass is the derivative of its forward pass.

The public names are loaded when they are first used, so that `gradcheck --help` loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.adapters.functions import from_functions
    from gradcheck.adapters.stateful import from_stateful
    from gradcheck.api import assert_layer, assert_loss, assert_network, check_layer, check_loss, check_network
    from gradcheck.errors import ShapeError
    from gradcheck.findings import Report
    from gradcheck.layers._base import Layer
    from gradcheck.losses._base import Loss

__version__ = "0.1.0"
__all__ = [
    "Layer", "Loss", "Report", "ShapeError", "__version__", "assert_layer", "assert_loss", "assert_network",
    "check_layer", "check_loss", "check_network", "from_functions", "from_stateful",
]  # fmt: skip

_CALLS = ("assert_layer", "assert_loss", "assert_network", "check_layer", "check_loss", "check_network")
_HOMES = {
    **dict.fromkeys(_CALLS, "gradcheck.api"),
    "from_functions": "gradcheck.adapters.functions",
    "from_stateful": "gradcheck.adapters.stateful",
    "Layer": "gradcheck.layers._base",
    "Loss": "gradcheck.losses._base",
    "Report": "gradcheck.findings",
    "ShapeError": "gradcheck.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradcheck' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
