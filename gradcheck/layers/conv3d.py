"""Three-dimensional convolution, as networks have it: a cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.layers._convolution import Convolution
from gradcheck.layers._windows import Count, MarginTriple, Triple, Windows, each


@dataclass(frozen=True)
class Conv3d(Convolution):
    """Three-dimensional convolution (cross-correlation) of volumes.

    forward     y  = W X + b         x (N, C, D, H, W)   weight W (O, C/G, kd, kh, kw)   bias b (O,)   y (N, O, P, Q, R)
                                     X (N, G, K, M)  the windows of x: column m is what the m-th of M output places
                                                     sees, K = C/G kd kh kw numbers; W is (G, O/G, K) in this product

    backward    dX = Wᵀ dy           dX (N, G, K, M)
                dx = Σ dX            dx (N, C, D, H, W)   summed over the windows that read the place
                dW = Σ dy Xᵀ         dW (O, C/G, kd, kh, kw)   summed over N
                db = Σ dy            db (O,)   summed over N, P, Q, R

    verified    torch.nn.functional.conv3d; obvious loops

    Entry by entry, y[n, o, p, q, r] = b[o] + Σ_cijk x[n, c, p′, q′, r′] W[o, c, i, j, k] with p′ = p s + i d − a, and
    likewise q′ of j and r′ of k, for stride s, dilation d and padding a of zeros; c runs over the channels of o's
    group, one of G = groups.
    Parameters are drawn uniformly from ±1/√K, PyTorch's default.
    """

    out_channels: Count
    kernel_size: Triple
    stride: Triple = 1
    padding: MarginTriple = 0
    dilation: Triple = 1
    groups: Count = 1
    bias: bool = True

    @property
    def _windows(self) -> Windows:
        kernel, stride = each(self.kernel_size, 3), each(self.stride, 3)
        return Windows(kernel, stride, each(self.padding, 3), each(self.dilation, 3))
