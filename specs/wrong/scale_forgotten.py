"""Attention whose backward forgets that the scores were divided by √E.

The scores are s q kᵀ with s = 1/√E, so what comes back to q and k is multiplied by s, too.

wrong   dq, dk = dS @ k, dS.mT @ q
right   dq, dk = s * (dS @ k), s * (dS.mT @ q)
"""

import numpy as np

from gradcheck import Layer


class ScaleForgotten(Layer):
    """y = softmax(q kᵀ / √E) v."""

    def forward(self, q, k, v):
        s = 1 / np.sqrt(q.shape[-1])
        scores = s * (q @ k.mT)
        P = np.exp(scores - scores.real.max(axis=-1, keepdims=True))
        P = P / P.sum(axis=-1, keepdims=True)
        return P @ v, (q, k, v, P, s)

    def backward(self, dy, cache):
        q, k, v, P, s = cache
        dP = dy @ v.mT
        dS = P * (dP - (dP * P).sum(axis=-1, keepdims=True))
        dq, dk = dS @ k, dS.mT @ q
        return (dq, dk, P.mT @ dy), {}
