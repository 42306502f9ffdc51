"""A cross entropy that smooths its labels in forward and forgets it in backward.

wrong   difference = q - one_hot
right   difference = q - smooth
"""

from dataclasses import dataclass

import numpy as np

from gradcheck import Loss


@dataclass(frozen=True)
class LabelSmoothingForgotten(Loss):
    """l = -Σ y log softmax(prediction), y = (1 - ε) one_hot + ε / classes."""

    smoothing: float = 0.1

    def forward(self, prediction, target):
        shifted = prediction - prediction.real.max(axis=1, keepdims=True)
        log_q = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        one_hot = target[:, None] == np.arange(prediction.shape[1])
        smooth = (1 - self.smoothing) * one_hot + self.smoothing / prediction.shape[1]
        return -(smooth * log_q).sum(axis=1), (np.exp(log_q), one_hot, smooth)

    def backward(self, upstream, cache):
        q, one_hot, smooth = cache
        difference = q - one_hot
        return upstream[:, None] * difference
