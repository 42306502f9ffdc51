"""Which module asks for a layer."""

from __future__ import annotations

import sys
from typing import Any


def caller() -> str:
    """The first module on the way back to the user that is none of ours: what an adapter makes is defined there."""
    frame: Any = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("gradcheck."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "__main__")) if frame is not None else "__main__"
