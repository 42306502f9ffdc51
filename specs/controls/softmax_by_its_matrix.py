"""A softmax whose Jacobian is written out, matrix by matrix."""

import numpy as np

from gradcheck import Layer


class SoftmaxByItsMatrix(Layer):
    """y = softmax x."""

    def forward(self, x):
        y = np.exp(x - x.real.max(axis=1, keepdims=True))
        y = y / y.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, dy, y):
        matrices = np.einsum("ni,ij->nij", y, np.eye(y.shape[1])) - np.einsum("ni,nj->nij", y, y)
        return np.einsum("nij,ni->nj", matrices, dy), {}
