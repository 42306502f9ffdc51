"""A cross entropy that skips targets of -1 but counts them in its mean.

Forward and backward make the same mistake, so backward is the derivative of forward and the gradient check passes.

wrong   count = len(target) if reduction == "mean" else 1
right   count = valid.sum() if reduction == "mean" else 1
"""

import numpy as np

from gradcheck import Loss


class IgnoredTargetsCounted(Loss):
    """-log softmax(prediction)[target]; targets of -1 are ignored, `mean` is the mean over the others."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        valid = target >= 0
        shifted = prediction - prediction.real.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        one_hot = target[:, None] == np.arange(prediction.shape[1])
        count = len(target) if reduction == "mean" else 1
        return -(one_hot * log_p).sum() / count, (log_p, one_hot, valid, count)

    def backward(self, upstream, cache):
        log_p, one_hot, valid, count = cache
        return (np.exp(log_p) - one_hot) * valid[:, None] / count * upstream

    def divisor(self, target, reduction):
        return np.count_nonzero(target >= 0) if reduction == "mean" else 1
