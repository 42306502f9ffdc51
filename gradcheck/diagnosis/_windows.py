"""Whether a part slides a window."""

from __future__ import annotations

from gradcheck.suspect import Suspect

_WINDOWS = ("kernel", "stride", "pool", "window", "padding", "dilation")


def has_windows(suspect: Suspect) -> bool:
    """Whether it has options of one, or takes images."""
    options = any(word in name for name in suspect.options for word in _WINDOWS)
    return options or (suspect.exact[suspect.inputs[0]].ndim >= 4 and not suspect.is_loss)
