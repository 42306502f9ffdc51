"""Proves or refutes that a hand-written backward pass is the derivative of its forward pass.

The public names are loaded when they are first used, so that `gradcheck --help` loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.errors import ShapeError
    from gradcheck.layers._base import Layer
    from gradcheck.losses._base import Loss

__version__ = "0.1.0"
__all__ = ["Layer", "Loss", "ShapeError", "__version__"]

_HOMES = {
    "Layer": "gradcheck.layers._base",
    "Loss": "gradcheck.losses._base",
    "ShapeError": "gradcheck.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradcheck' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
