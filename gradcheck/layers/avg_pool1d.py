"""Mean of each window of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._pooling import AvgPooling
from gradcheck.layers._windows import Count, Margin, Windows


@dataclass(frozen=True)
class AvgPool1d(AvgPooling):
    """Mean of each window of a sequence, channel by channel.

    forward     y  = Σ X / D         x (N, C, L)       y (N, C, P)
                                     X (k, N, C, P)    the windows of x, 0 in the padding

    backward    dX = dy / D          dX (k, N, C, P)   the same for every place in the window
                dx = Σ dX            dx (N, C, L)      summed over the windows that read the place

    verified    torch.nn.functional.avg_pool1d; obvious loops

    D = k; without count_include_pad D (P,) is the number of places of the sequence in each window.
    The stride is the kernel's size unless it is given. With ceil_mode a last window that hangs over the edge counts;
    what lies behind the padding is not in its D.
    """

    kernel_size: Count
    stride: Count | None = None
    padding: Margin = 0
    count_include_pad: bool = True
    ceil_mode: bool = False

    @property
    def _windows(self) -> Windows:
        stride = self.stride or self.kernel_size
        return Windows((self.kernel_size,), (stride,), (self.padding,), (1,), self.ceil_mode)
