"""An auxiliary penalty that multiplies by its strength itself, under `mean` alone, and again by the weight of the spec.

wrong   share = self.strength / prediction.size if reduction == "mean" else 1.0
right   share = 1 / prediction.size if reduction == "mean" else 1.0
"""

from dataclasses import dataclass

from gradcheck import Loss


@dataclass(frozen=True)
class AuxiliaryScaledTwice(Loss):
    """Σ prediction², or its mean over all elements; the weight of the term is its strength."""

    reductions = ("sum", "mean")
    strength: float = 0.1

    def forward(self, prediction, reduction):
        share = self.strength / prediction.size if reduction == "mean" else 1.0
        return share * (prediction**2).sum(), (prediction, share)

    def backward(self, upstream, cache):
        prediction, share = cache
        return 2 * share * prediction * upstream

    def divisor(self, prediction, reduction):
        return prediction.size if reduction == "mean" else 1
