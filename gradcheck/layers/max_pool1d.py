"""Maximum of each window of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._pooling import MaxPooling
from gradcheck.layers._windows import Count, Margin, Windows


@dataclass(frozen=True)
class MaxPool1d(MaxPooling):
    """Maximum of each window of a sequence, channel by channel.

    forward     y  = X[m],  m = argmax X    x (N, C, L)   y, m (N, C, P)
                                            X (k, N, C, P)  the windows of x, −∞ in the padding

    backward    dX = dy at m,  else 0       dX (k, N, C, P)
                dx = Σ dX                   dx (N, C, L)  summed over the windows that read the place

    verified    torch.nn.functional.max_pool1d; obvious loops

    The stride is the kernel's size unless it is given. With ceil_mode a last window that hangs over the edge counts.
    The first of equal maxima is taken; there, where there is no derivative, the whole gradient goes to it.
    """

    kernel_size: Count
    stride: Count | None = None
    padding: Margin = 0
    dilation: Count = 1
    ceil_mode: bool = False

    @property
    def _windows(self) -> Windows:
        stride = self.stride or self.kernel_size
        return Windows((self.kernel_size,), (stride,), (self.padding,), (self.dilation,), self.ceil_mode)
