"""A flatten whose gradient is a view of what it was given."""

from gradcheck import Layer


class ViewOfTheUpstream(Layer):
    """y = x, flat."""

    def forward(self, x):
        return x.reshape(len(x), -1), x.shape

    def backward(self, dy, shape):
        return dy.reshape(shape), {}
