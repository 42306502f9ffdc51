"""A triplet loss that pulls the positive nearer and hands nothing to the negative: that one was taken for a constant.

wrong   dn = np.zeros_like(far)
right   dn = dl * 2 * far
"""

import numpy as np

from gradcheck import Loss


class NegativeWithoutGradient(Loss):
    """l = log(1 + e^z), z = ‖a − p‖² − ‖a − n‖², one loss a triplet."""

    def forward(self, anchor, positive, negative):
        near, far = anchor - positive, anchor - negative
        z = (near * near - far * far).sum(axis=-1)
        return np.log1p(np.exp(z)), (near, far, z)

    def backward(self, upstream, cache):
        near, far, z = cache
        dl = (upstream / (1 + np.exp(-z)))[:, None]
        dn = np.zeros_like(far)
        return dl * 2 * (near - far), -dl * 2 * near, dn
