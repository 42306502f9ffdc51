"""The built-in cross entropy with a backward of one's own, which gives back the prediction and forgets the target.

wrong   difference = np.exp(log_q)
right   difference = np.exp(log_q) - u
"""

import numpy as np

from gradcheck.losses.cross_entropy import CrossEntropy


class PredictionAlone(CrossEntropy):
    """l = -log softmax(prediction)[target]: forward is that of `cross_entropy`."""

    def backward(self, upstream, cache):
        log_q, u, _ = cache
        difference = np.exp(log_q)
        return upstream[:, None] * difference
