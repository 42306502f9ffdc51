"""A token loss whose mean divides by the batch times its longest sequence, not by the tokens that there are.

wrong   tokens = len(target) * (target >= 0).sum(axis=1).max()
right   tokens = (target >= 0).sum()
"""

import numpy as np

from gradcheck import Loss


class LongestSequenceAssumed(Loss):
    """-Σ log softmax(prediction)[target] over the targets that are not -1, or its mean over them."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        shifted = prediction - prediction.real.max(axis=2, keepdims=True)
        log_q = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
        one_hot = target[:, :, None] == np.arange(prediction.shape[2])
        tokens = len(target) * (target >= 0).sum(axis=1).max()
        divisor = tokens if reduction == "mean" else 1
        valid = (target >= 0)[:, :, None]
        return -(one_hot * log_q).sum() / divisor, (np.exp(log_q), one_hot, valid, divisor)

    def backward(self, upstream, cache):
        q, one_hot, valid, divisor = cache
        return upstream * (q - one_hot) * valid / divisor

    def divisor(self, target, reduction):
        return (target >= 0).sum() if reduction == "mean" else 1
