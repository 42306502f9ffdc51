"""Loss -> the same in PyTorch: one row each, and nothing to register.

A row takes PyTorch, the loss, predictions by position and data by name, all as tensors, and returns the losses before
any reduction and without sample weights; or the scalar, of a loss that takes its `reduction`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unlike(Exception):  # noqa: N818 - what was drawn is right, and PyTorch has no such thing; it is drawn again
    """PyTorch has this operation, but not with these options."""


Row = Callable[..., Any]


def _class_weight(torch: Any, loss: Any, prediction: Any) -> Any:
    return loss.class_weight and torch.tensor(loss.class_weight, dtype=prediction.dtype)


def _cross_entropy(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    axis, probabilities = loss.axis, target.is_floating_point()
    ignored = {} if probabilities else {"ignore_index": loss.ignore_index}
    return torch.nn.functional.cross_entropy(
        prediction.movedim(axis, 1), target.movedim(axis, 1) if probabilities else target,
        _class_weight(torch, loss, prediction), reduction="none", label_smoothing=loss.label_smoothing, **ignored,
    )  # fmt: skip


def _nll(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    weight = _class_weight(torch, loss, prediction)
    rows = prediction.movedim(loss.axis, 1).contiguous()
    return torch.nn.functional.nll_loss(rows, target, weight, ignore_index=loss.ignore_index, reduction="none")


def _multi_margin(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    if prediction.ndim != 2:
        raise Unlike("PyTorch's takes (N, C) alone")
    weight = _class_weight(torch, loss, prediction)
    options = {"p": loss.p, "margin": loss.margin, "reduction": "none"}
    return torch.nn.functional.multi_margin_loss(prediction, target, weight=weight, **options)


def _bce_with_logits(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
    weight = torch.tensor(loss.pos_weight, dtype=prediction.dtype)
    return _functional("binary_cross_entropy_with_logits", pos_weight=weight)(torch, loss, prediction, target)


def _gaussian_nll(torch: Any, loss: Any, mean: Any, variance: Any, target: Any) -> Any:
    if (variance <= loss.eps).any():
        raise Unlike("below eps PyTorch hands back a gradient that is not that of the loss")
    target = target.to(mean.dtype)
    return torch.nn.functional.gaussian_nll_loss(mean, target, variance, loss.full, loss.eps, "none")


def _functional(name: str, *options: str, **values: Any) -> Row:
    """PyTorch's function of that name, of a prediction and a target of real numbers, with options of the loss."""

    def row(torch: Any, loss: Any, prediction: Any, target: Any) -> Any:
        given = {**values, **{option: getattr(loss, option) for option in options}, "reduction": "none"}
        function = getattr(torch.nn.functional, name)
        return function(prediction, target.to(prediction.dtype), **given)

    return row


def _cosine_embedding(torch: Any, loss: Any, left: Any, right: Any, target: Any) -> Any:
    if left.shape[-1] == 1:
        raise Unlike("of one number the cosine is ±1, and 1 − cos nothing but rounding")
    return torch.nn.functional.cosine_embedding_loss(left, right, target, loss.margin, reduction="none")


def _embeddings(name: str, *options: str) -> Row:
    """PyTorch's function of that name, of embeddings and perhaps a target."""
    return lambda torch, loss, *embeddings, **data: getattr(torch.nn.functional, name)(
        *embeddings, **data, **{option: getattr(loss, option) for option in options}, reduction="none"
    )


#: Loss -> PyTorch.
LOSSES: dict[str, Row] = {
    "bce": _functional("binary_cross_entropy"),
    "bce_with_logits": _bce_with_logits,
    "cosine_embedding": _cosine_embedding,
    "cross_entropy": _cross_entropy,
    "gaussian_nll": _gaussian_nll,
    "huber": _functional("huber_loss", "delta"),
    "kl_div": _functional("kl_div", "log_target"),
    "l1": _functional("l1_loss"),
    "mse": _functional("mse_loss"),
    "multi_margin": _multi_margin,
    "nll": _nll,
    "poisson_nll": _functional("poisson_nll_loss", "log_input", "full", "eps"),
    "smooth_l1": _functional("smooth_l1_loss", "beta"),
    "triplet_margin": _embeddings("triplet_margin_loss", "margin", "p", "eps", "swap"),
}
