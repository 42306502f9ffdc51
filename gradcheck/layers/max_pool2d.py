"""Maximum of each window of an image."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._pooling import MaxPooling
from gradcheck.layers._windows import MarginPair, Pair, Windows, pair


@dataclass(frozen=True)
class MaxPool2d(MaxPooling):
    """Maximum of each window of an image, channel by channel.

    forward     y  = X[m],  m = argmax X    x (N, C, H, W)   y, m (N, C, P, Q)
                                            X (kh kw, N, C, P, Q)  the windows of x, −∞ in the padding

    backward    dX = dy at m,  else 0       dX (kh kw, N, C, P, Q)
                dx = Σ dX                   dx (N, C, H, W)  summed over the windows that read the pixel

    verified    torch.nn.functional.max_pool2d; obvious loops

    The stride is the kernel's size unless it is given. With ceil_mode a last window that hangs over the edge counts.
    The first of equal maxima is taken; there, where there is no derivative, the whole gradient goes to it, and a
    complex step, which is judged by its real part, is told the same.
    """

    channelwise = True

    kernel_size: Pair
    stride: Pair | None = None
    padding: MarginPair = 0
    dilation: Pair = 1
    ceil_mode: bool = False

    @property
    def _windows(self) -> Windows:
        kernel = pair(self.kernel_size)
        return Windows(kernel, pair(self.stride or kernel), pair(self.padding), pair(self.dilation), self.ceil_mode)
