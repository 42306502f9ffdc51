"""A triplet loss that forgets one of the two paths to its anchor.

wrong   d_anchor = each * near
right   d_anchor = each * (near - far)
"""

import numpy as np

from gradcheck import Loss


class AnchorPulledOnce(Loss):
    """l = max(0, ‖a - p‖² - ‖a - n‖² + 1), one a sample."""

    def forward(self, anchor, positive, negative):
        near, far = anchor - positive, anchor - negative
        z = (near * near).sum(axis=1) - (far * far).sum(axis=1) + 1
        return np.where(z.real > 0, z, 0), (near, far, z > 0 if z.dtype.kind == "f" else z.real > 0)

    def backward(self, upstream, cache):
        near, far, active = cache
        each = 2 * (upstream * active)[:, None]
        d_anchor = each * near
        return d_anchor, -each * near, each * far
