"""Mean of each window of an image."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._pooling import AvgPooling
from gradcheck.layers._windows import MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class AvgPool2d(AvgPooling):
    """Mean of each window of an image, channel by channel.

    forward     y  = Σ X / D         x (N, C, H, W)    y (N, C, P, Q)
                                     X (kh kw, N, C, P, Q)  the windows of x, 0 in the padding

    backward    dX = dy / D          dX (kh kw, N, C, P, Q)  the same for every place in the window
                dx = Σ dX            dx (N, C, H, W)   summed over the windows that read the pixel

    verified    torch.nn.functional.avg_pool2d; obvious loops

    D = kh kw; without count_include_pad D (P, Q) is the number of pixels of the image in each window.
    The stride is the kernel's size unless it is given. With ceil_mode a last window that hangs over the edge counts;
    what lies behind the padding is not in its D.
    """

    channelwise = True

    kernel_size: Pair
    stride: Pair | None = None
    padding: MarginPair = 0
    count_include_pad: bool = True
    ceil_mode: bool = False

    @property
    def _windows(self) -> Windows:
        kernel = pair(self.kernel_size)
        return Windows(kernel, pair(self.stride or kernel), pair(self.padding), (1, 1), self.ceil_mode)
