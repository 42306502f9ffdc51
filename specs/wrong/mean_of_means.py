"""A cross entropy over sequences that averages within each sequence, then over the sequences.

Forward and backward make the same mistake, so backward is the derivative of forward and the gradient check passes.

wrong   share = valid / valid.sum(axis=1, keepdims=True) / len(target)
right   share = valid / valid.sum()
"""

import numpy as np

from gradcheck import Loss


class MeanOfMeans(Loss):
    """-log softmax(prediction)[target] for each token; -1 is padding, `mean` is the mean over all other tokens."""

    reductions = ("sum", "mean")

    def forward(self, prediction, target, reduction):
        valid = target >= 0
        share = valid / valid.sum(axis=1, keepdims=True) / len(target)
        if reduction == "sum":
            share = valid.astype(float)
        shifted = prediction - prediction.real.max(axis=2, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
        one_hot = target[:, :, None] == np.arange(prediction.shape[2])
        losses = -(one_hot * log_p).sum(axis=2)
        return (losses * share).sum(), (log_p, one_hot, share)

    def backward(self, upstream, cache):
        log_p, one_hot, share = cache
        return (np.exp(log_p) - one_hot) * share[:, :, None] * upstream

    def divisor(self, target, reduction):
        return np.count_nonzero(target >= 0) if reduction == "mean" else 1
