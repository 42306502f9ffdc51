"""One-dimensional convolution, as networks have it: a cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._convolution import Convolution
from gradcheck.layers._windows import Count, Margin, Windows


@dataclass(frozen=True)
class Conv1d(Convolution):
    """One-dimensional convolution (cross-correlation) of sequences.

    forward     y  = W X + b         x (N, C, L)   weight W (O, C/G, k)   bias b (O,)   y (N, O, P)
                                     X (N, G, K, M)  the windows of x: column m is what the m-th of M output places
                                                     sees, K = C/G k numbers; W is (G, O/G, K) in this product

    backward    dX = Wᵀ dy           dX (N, G, K, M)
                dx = Σ dX            dx (N, C, L)   summed over the windows that read the place
                dW = Σ dy Xᵀ         dW (O, C/G, k)   summed over N
                db = Σ dy            db (O,)   summed over N, P

    verified    torch.nn.functional.conv1d; obvious loops

    Entry by entry, y[n, o, p] = b[o] + Σ_ci x[n, c, p s + i d − a] W[o, c, i] with stride s, dilation d and
    padding a of zeros; c runs over the channels of o's group, one of G = groups.
    Parameters are drawn uniformly from ±1/√K, PyTorch's default.
    """

    out_channels: Count
    kernel_size: Count
    stride: Count = 1
    padding: Margin = 0
    dilation: Count = 1
    groups: Count = 1
    bias: bool = True

    @property
    def _windows(self) -> Windows:
        return Windows((self.kernel_size,), (self.stride,), (self.padding,), (self.dilation,))
